"""The demo's first rows: a hospital with two stores, three terminals, six people."""

import hashlib
import json
import secrets
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections, transaction
from django.db.models import Model
from django.utils import timezone

from devices import activation
from devices.models import Store, Terminal
from faceauth import consent, merchant_keys, pem
from faceauth.models import Merchant, Notice, Slot
from hospital import terms
from hospital.accounts.granting import OF_A_CAMPUS
from hospital.accounts.models import Staff
from hospital.audit import log_key, trail
from hospital.audit.actions import Action
from hospital.audit.recording import SYSTEM, record
from hospital.crypto.providers.file import FileProvider
from hospital.demo.installation import write_private
from hospital.labels import Label
from hospital.notice_text import draft
from hospital.privacy import assessing
from hospital.privacy.models import Assessment
from hospital.roles import Role

TERMINALS = [
    ("T-0001", "门诊大厅 1 号机", "menzhen"),
    ("T-0002", "门诊大厅 2 号机", "menzhen"),
    ("T-0003", "急诊入口", "jizhen"),
]
PEOPLE = [
    ("lin", "林工", "E0001", Role.SYSTEM, Label.INTERNAL),
    ("mei", "梅工", "E0002", Role.SECURITY, Label.INTERNAL),
    ("zhou", "周审计", "E0003", Role.AUDITOR, Label.INTERNAL),
    ("chen", "陈登记", "E0004", Role.REGISTRAR, Label.IDENTIFYING),
    ("sun", "孙登记", "E0006", Role.REGISTRAR, Label.IDENTIFYING),
    ("gu", "顾个保", "E0005", Role.PRIVACY, Label.SENSITIVE),
]
ASSESSMENT = "DEMO-PIA-1"


class Command(BaseCommand):
    help = "准备演示：迁移数据库，建立门店、终端、账号和告知书（可重复运行）"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--merchant", type=Path, required=True)
        parser.add_argument("--logins", type=Path, required=True)
        parser.add_argument("--activation", type=Path, required=True)
        parser.add_argument("--verifier", type=Path, required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.DEPLOY_LEVEL != "demo":
            raise CommandError("只在演示环境（DEPLOY_LEVEL=demo）运行")
        if not settings.KEY_FILE.exists():
            FileProvider.create(settings.KEY_FILE)
        _worker_key()
        _log_key(options["verifier"])
        for database in connections:
            call_command("migrate", database=database, verbosity=0)
        call_command("createcachetable", verbosity=0)
        call_command("collectstatic", interactive=False, verbosity=0)
        with transaction.atomic():
            terminal = _places()
            _merchant(options["merchant"])
            _notice()
            logins = _people()
            options["activation"].unlink(missing_ok=True)
            if not terminal.keys.in_force().exists():
                code = activation.issue(terminal, by=SYSTEM, at=timezone.now())
                write_private(options["activation"], code)
        _forget_key_files()
        if logins:
            write_private(options["logins"], json.dumps(logins, ensure_ascii=False))
        self.stdout.write("演示环境就绪")


def _worker_key() -> None:
    halves = (Path(settings.WORKER_KEY_FILE), Path(settings.WORKER_PUBLIC_KEY_FILE))
    if all(half.exists() for half in halves):
        return
    for half in halves:  # one alone is what a killed run left; what was sealed to it is so anew
        half.unlink(missing_ok=True)
    call_command("createworkerkey")


def _log_key(verifier: Path) -> None:
    path = trail.key_file()
    if not path.exists():
        log_key.create(path, name=trail.origin())
    signer = log_key.load(path, name=trail.origin())
    write_private(verifier, str(signer.verifier))


def _forget_key_files() -> None:
    """Earlier releases of the demo kept the merchant's keys in clear; they are sealed by now."""
    for name in ("merchant_key.pem", "wechat_public_key.pem", "apiv2_key", "apiv3_key"):
        (settings.MERCHANT_KEYS_DIR / name).unlink(missing_ok=True)


def _places() -> Terminal:
    stores = {}
    for code, name in (("menzhen", "示范医院门诊楼"), ("jizhen", "示范医院急诊楼")):
        stores[code], is_new = Store.objects.get_or_create(
            code=code, defaults={"name": name, "campus": next(iter(settings.CAMPUSES))}
        )
        if is_new:
            _say(Action.STORE_CREATE, stores[code])
    terminals = []
    for serial, name, store in TERMINALS:
        terminal, is_new = Terminal.objects.get_or_create(
            serial=serial, defaults={"name": name, "store": stores[store]}
        )
        terminals.append(terminal)
        if is_new:
            _say(Action.TERMINAL_CREATE, terminal)
    return terminals[0]


def _merchant(description: Path) -> None:
    """Do what an administrator does with the files of the merchant platform: upload them."""
    exported: dict[str, str] = json.loads(description.read_text())
    names = ("merchant_key_file", "merchant_certificate_file", "wechat_public_key_file")
    key, certificate, public_key = [
        (description.parent / exported[name]).read_bytes() for name in names
    ]
    known = Merchant.objects.filter(mch_id=exported["mch_id"]).first()
    merchant = known or Merchant()
    for name in ("mch_id", "appid", "v2_base_url", "v3_base_url", "wechat_public_key_id"):
        setattr(merchant, name, exported[name])
    keys = {
        Slot.APIV2_KEY: exported["apiv2_key"].encode(),
        Slot.APIV3_KEY: exported["apiv3_key"].encode(),
        Slot.SIGNING_KEY: key,
    }
    for slot, content in keys.items():
        setattr(merchant, slot, merchant_keys.seal(merchant, slot, content))
        setattr(merchant, slot.file, "")
    merchant.signing_key_print = pem.rsa_key(key).fingerprint
    merchant.merchant_certificate = certificate.decode()
    merchant.merchant_serial = pem.certificate(certificate).serial
    merchant.wechat_public_key = public_key.decode()
    merchant.wechat_public_key_file = merchant.decrypting_key_file = ""
    merchant.save()
    _say(Action.MERCHANT_CHANGE if known else Action.MERCHANT_CREATE, merchant, fields=list(keys))


def _notice() -> None:
    written = draft(
        hospital=settings.HOSPITAL_NAME,
        contact=settings.PRIVACY_CONTACT,
        period=terms.period,
        has_his=bool(settings.HIS_FHIR_URL),
    )
    notice, made = Notice.objects.get_or_create(version=1, defaults=asdict(written))
    if made:
        _say(Action.NOTICE_CREATE, notice)
        consent.enforce(notice, by=SYSTEM, at=timezone.now())
    if not Assessment.objects.filter(reference=ASSESSMENT).exists():
        now = timezone.now()
        assessing.approve(
            ASSESSMENT,
            digest=hashlib.sha256(notice.text.encode()).hexdigest(),  # there is no report here
            notice_version=notice.version,
            purposes=notice.purposes,
            review_on=timezone.localdate(now) + timedelta(days=365),
            by=SYSTEM,
            at=now,
        )


def _people() -> list[dict[str, str]]:
    """Return the logins made now; those of an earlier run keep their passwords."""
    made = []
    first = next(iter(settings.CAMPUSES))
    for username, name, person, role, clearance in PEOPLE:
        if Staff.objects.filter(username=username).exists():
            continue
        password = secrets.token_urlsafe(9)
        staff = Staff.objects.create_user(
            username,
            password,
            display_name=name,
            person_id=person,
            role=role,
            campus=first if role in OF_A_CAMPUS else "",
            clearance=clearance,
        )
        _say(Action.STAFF_CREATE, staff, role=role)
        made.append({"role": role.label, "username": username, "password": password})
    return made


def _say(action: Action, on: Model, **facts: Any) -> None:
    record(action, by=SYSTEM, on=on, at=timezone.now(), **facts)
