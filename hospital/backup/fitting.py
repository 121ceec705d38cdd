"""A database that was loaded becomes one that may serve: nobody who was forgotten is in it."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from django.core.management import call_command
from django.db import connection, connections, transaction

from hospital.audit import trail, verification
from hospital.audit.actions import Action
from hospital.audit.checkpoint import BadNote, Note
from hospital.audit.guards.installing import wanted
from hospital.audit.recording import SYSTEM, record
from hospital.backup import describing
from hospital.backup.engines import grounds
from hospital.backup.engines.ground import void
from hospital.crypto import keyring
from hospital.crypto.sealing import Unopenable
from hospital.patients.models import Patient
from hospital.privacy.erasing import replaying, standing, verifying
from hospital.privacy.models import Erasure

_OPENED: Final = 5  # patients whose name is opened, for a try
# What is no fault of a copy: at its moment nobody had sealed it yet, and accounts differ.
_EXPECTED: Final = frozenset({"pending", "unsigned", "guards"})


class Unfit(Exception):
    """It must not serve; the text says why, in Chinese."""


def fit(manifests: Mapping[str, Any], *, note: Mapping[str, Any], at: datetime) -> dict[str, Any]:
    """
    Compare it with what was copied, bring it to this release, and forget again who was forgotten.

    :param note: what the trail says of it; nothing, for a try
    :return: numbers, and what is wrong with the trail in words
    :raises Unfit:
    """
    rows = _compared(manifests)
    for ground in grounds().values():  # and not the ledger, which is the one that is served
        call_command("migrate", database=ground.alias, verbosity=0, interactive=False)
    _shut()
    told = manifests["data"].get("trail", {})
    findings = _verified(told, at=datetime.fromisoformat(manifests["data"]["made_at"]))
    _demand_keys()
    erasures = _replayed(at=at)
    opened = _opened()
    _analyse()
    found = {
        "rows": rows,
        "erasures": erasures,
        "findings": sum(findings.values()),
        "total": told.get("size", 0),
    }
    if note:
        with transaction.atomic():
            root = told.get("root", "")
            record(Action.BACKUP_RESTORE, by=SYSTEM, on=None, at=at, root=root, **note, **found)
    return {**found, "kinds": dict(findings), "opened": opened}


def _compared(manifests: Mapping[str, Any]) -> int:
    """Return how many rows there are: as many as there were, table by table."""
    rows = 0
    for kind, ground in grounds().items():
        manifest = manifests[kind]
        with ground.snapshot() as snapshot:
            here = describing.described(snapshot)
        manifest = {**manifest, "counts": kept(manifest["counts"])}
        for what in ("counts", "migrations", "trail", "ledger"):
            if here.get(what) != manifest.get(what):
                raise Unfit(f"载入的内容和备份时不一致（{what}），没有启用")
        rows += sum(here["counts"].values())
    return rows


def kept(counts: Mapping[str, int]) -> dict[str, int]:
    """Return those of tables whose rows are kept: the release before left out fewer of them."""
    left_out = {*void()}
    return {table: count for table, count in counts.items() if table not in left_out}


def _shut() -> None:
    """Loaded without anybody's rights, a function is everybody's: also one that removes events."""
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        for function in wanted(connection).functions:
            cursor.execute(
                f"REVOKE ALL ON FUNCTION {function.name}({function.arguments}) FROM PUBLIC"
            )


def _verified(told: Mapping[str, Any], *, at: datetime) -> "Counter[str]":
    """Return what is wrong with the trail, beyond what is of every copy."""
    try:
        notes = [Note.parse(told["note"])] if told.get("note") else []
        verdict = verification.verify(at=at, verifiers=trail.verifiers(), anchors=notes)
    except trail.NotConfigured as exc:
        raise Unfit(str(exc)) from None
    except BadNote:
        raise Unfit("备份中留痕的检查点不可读") from None
    return Counter({kind: n for kind, n in verdict.kinds.items() if kind not in _EXPECTED})


def _demand_keys() -> None:
    try:
        keyring.open_all()
    except keyring.KeyUnavailable as exc:
        raise Unfit(f"密钥提供方不可用：{exc.reason}") from None
    except keyring.WrongKey:
        raise Unfit("密钥提供方的根密钥不是备份时的那一把：数据打不开，没有启用") from None


def _replayed(*, at: datetime) -> int:
    """Return how many people were forgotten again."""
    try:
        count = sum(1 for _ in replaying.replay(at=at))
        standing.demand_replayed(thorough=True)
    except standing.Unreplayed as exc:
        raise Unfit(f"{exc}：须有完整的删除台账（{standing.store()}）") from None
    except replaying.StillLegible:
        raise Unfit("重做删除后仍有内容可读，没有启用") from None
    except verifying.NotVerified:
        raise Unfit("核验删除的进程没有完成") from None
    except OSError as exc:
        raise Unfit(f"删除台账不能读写：{exc.strerror}") from None
    return count


def _opened() -> int:
    """Return how many of the newest names could be opened: all of them, or none is served."""
    gone = Erasure.objects.values("subject")
    some = Patient.objects.exclude(pk__in=gone).order_by("-pk")[:_OPENED]
    opened = 0
    for patient in some:
        try:
            opened += bool(patient.real_name)
        except Unopenable:
            raise Unfit("封存的内容打不开：密钥备份和数据备份不是一套，没有启用") from None
    return opened


def _analyse() -> None:
    """A dump has no statistics, and without them queries take as long as they like."""
    for ground in grounds().values():
        with connections[ground.alias].cursor() as cursor:
            cursor.execute("ANALYZE")
