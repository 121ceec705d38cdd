"""A merchant's keys: uploaded by one, opened by the worker alone, shown to nobody."""

import base64
import functools
import json
import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.db import connection as database
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from structlog.testing import capture_logs

from faceauth import checks, connection, merchant_certificates, merchant_keys, pem, wechat
from faceauth.admin import merchant_form
from faceauth.models import Merchant, NotConfigured, Slot
from faceauth.simulator import people
from faceauth.tasks import warn_of_expiry
from hospital.audit.models import Event
from hospital.crypto import letterbox
from hospital.metrics.operation import Operation
from tests import signing_in

pytestmark = pytest.mark.django_db

APIV2, APIV3 = "Canary2" + "v" * 25, "Canary3" + "w" * 25
PASSWORD = "canary of a password"
ADD = "admin:faceauth_merchant_add"
LIST = "admin:faceauth_merchant_changelist"
OPENED = {"mode": "direct", "appid": "wx0000000000000001", "mch_id": "1900000001"}
OPENED |= {"is_active": "on", "sign_type": "HMAC-SHA256"}
OPENED |= {"v2_base_url": "https://payapp.weixin.qq.com"}
OPENED |= {"v3_base_url": "https://api.mch.weixin.qq.com"}


@functools.cache
def rsa_key(owner, bits=2048):
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def pem_of(key, password=None, form=PrivateFormat.PKCS8):
    closing = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, form, closing).decode()


def certificate_of(key, *, ends=None, serial=0xA1B2C3):
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hospital")])
    ends = ends or datetime(2049, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(ends - timedelta(days=1825))
        .not_valid_after(ends)
        .sign(rsa_key("issuer"), hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.PEM).decode()


def of_version(text, number):
    der = bytearray(x509.load_pem_x509_certificate(text.encode()).public_bytes(Encoding.DER))
    der[der.index(b"\xa0\x03\x02\x01") + 4] = number - 1
    body = base64.encodebytes(bytes(der)).decode()
    return f"-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n"


def public_of(key):
    spki = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return spki.decode()


@pytest.fixture(autouse=True)
def worker_key(settings, tmp_path_factory):
    """The web knows the public half; `as_worker` is what only the worker's environment has."""
    place = tmp_path_factory.mktemp("worker")
    settings.WORKER_KEY_FILE = ""
    settings.WORKER_PUBLIC_KEY_FILE = str(place / "worker.pub")
    settings.MERCHANT_KEYS_DIR = place
    letterbox.create(private=place / "worker.key", public=place / "worker.pub")
    return place / "worker.key"


@pytest.fixture
def as_worker(settings, worker_key):
    def become():
        settings.WORKER_KEY_FILE = str(worker_key)

    return become


@pytest.fixture
def desk(lin):
    browser = Client()
    browser.force_login(lin)
    signing_in.step_up(browser, lin)

    def send(merchant=None, **given):
        # What a browser would: every field as the page shows it, and what was typed.
        shown = {}
        if merchant:
            columns = [one for one in merchant._meta.fields if one.name not in Slot.values]
            shown = {one.name: one.value_from_object(merchant) for one in columns}
            shown = {name: value for name, value in shown.items() if value not in (None, False)}
            for name in ("merchant_certificate", "decrypting_certificate", "wechat_public_key"):
                shown.pop(name)
            shown["shown"] = shown.pop("changed_at").isoformat()
        address = change(merchant) if merchant else reverse(ADD)
        return browser.post(address, {**OPENED, **shown, **given})

    return SimpleNamespace(send=send, get=browser.get, post=browser.post)


@pytest.fixture
def capture_log():
    with capture_logs() as lines:
        yield lines


def change(merchant):
    return reverse("admin:faceauth_merchant_change", args=[merchant.pk])


def errors(answer):
    return re.findall(r'<ul class="errorlist[^>]*>\s*<li>(.*?)</li>', answer.text)


def full(**changes):
    """All a direct merchant uploads."""
    key = rsa_key("ours")
    given = {
        "apiv2_key": APIV2,
        "apiv3_key": APIV3,
        "signing_key": pem_of(key),
        "merchant_certificate": certificate_of(key),
        "wechat_public_key": public_of(rsa_key("wechat")),
        "wechat_public_key_id": "PUB_KEY_ID_0119000000012026010100000001",
    }
    return {**given, **changes}


@pytest.fixture
def uploaded(desk):
    answer = desk.send(**full())
    assert answer.status_code == 302, errors(answer)
    return Merchant.objects.get()


# Into the row, and out of it


def test_what_is_uploaded_is_sealed_and_the_worker_opens_it(uploaded, as_worker):
    as_worker()

    assert merchant_keys.take(uploaded, Slot.APIV2_KEY) == APIV2.encode()
    assert merchant_keys.take(uploaded, Slot.APIV3_KEY) == APIV3.encode()
    assert merchant_keys.take(uploaded, Slot.SIGNING_KEY).decode() == pem_of(rsa_key("ours"))
    assert uploaded.missing == []


def test_the_web_cannot_open_what_it_took(uploaded):
    for slot in (Slot.APIV2_KEY, Slot.APIV3_KEY, Slot.SIGNING_KEY):
        with pytest.raises(NotConfigured):
            merchant_keys.take(uploaded, slot)
    with pytest.raises(NotConfigured):
        connection.authinfo_client(uploaded)
    with pytest.raises(NotConfigured):
        connection.identity_client(uploaded)


def test_the_keys_of_before_a_change_are_not_kept(uploaded, as_worker):
    as_worker()
    before = connection.identity_client(uploaded)
    assert connection.identity_client(uploaded) is before

    Merchant.objects.update(changed_at=timezone.now())
    uploaded.refresh_from_db()
    assert connection.identity_client(uploaded) is not before

    assert before not in connection._identity.values()


def test_a_key_does_not_open_in_another_slot(uploaded, as_worker):
    as_worker()
    uploaded.apiv2_key = uploaded.apiv3_key

    with pytest.raises(NotConfigured):
        merchant_keys.take(uploaded, Slot.APIV2_KEY)


def test_a_key_does_not_open_in_another_row(uploaded, as_worker):
    as_worker()
    Merchant.objects.update(is_active=False)
    other = Merchant.objects.create(**{**OPENED, "is_active": True}, apiv2_key=uploaded.apiv2_key)

    with pytest.raises(NotConfigured):
        merchant_keys.take(other, Slot.APIV2_KEY)


def test_a_key_sealed_to_another_worker_says_so_in_the_log(
    uploaded, settings, tmp_path, capture_log
):
    letterbox.create(private=tmp_path / "new.key", public=tmp_path / "new.pub")
    settings.WORKER_KEY_FILE = str(tmp_path / "new.key")

    with pytest.raises(NotConfigured):
        merchant_keys.take(uploaded, Slot.APIV2_KEY)

    assert [(line["fact"], line["slot"]) for line in capture_log] == [("KeyUnknown", "apiv2_key")]


def test_clients_are_made_of_what_is_sealed(uploaded, as_worker):
    as_worker()

    assert isinstance(connection.authinfo_client(uploaded), wechat.AuthinfoClient)
    assert isinstance(connection.identity_client(uploaded), wechat.IdentityClient)
    assert connection.identity_client(uploaded) is connection.identity_client(uploaded)


def test_a_changed_merchant_gets_a_new_client(desk, uploaded, as_worker):
    as_worker()
    before = connection.authinfo_client(uploaded)

    desk.send(uploaded, apiv2_key="N" * 32)

    uploaded.refresh_from_db()
    assert connection.authinfo_client(uploaded) is not before


def test_sealed_keys_ask_wechat(merchant, simulator, as_worker, kiosk, authorized):
    key = simulator.world.merchant_key.encode()
    given = {
        Slot.APIV2_KEY: simulator.world.apiv2_key.encode(),
        Slot.APIV3_KEY: simulator.world.apiv3_key.encode(),
        Slot.SIGNING_KEY: key,
    }
    for slot in Slot:
        setattr(merchant, slot.file, "")
        if slot in given:
            setattr(merchant, slot, merchant_keys.seal(merchant, slot, given[slot]))
    merchant.wechat_public_key_file = ""
    merchant.wechat_public_key = public_of(
        load_pem_private_key(simulator.world.wechat_key.encode(), None)
    )
    merchant.save()
    as_worker()
    client = connection.identity_client(merchant)

    identity = client.open(client.ask(authorized.face_sid).body)

    assert identity.real_name == people.find("stranger-1").name


@pytest.mark.parametrize("password", ["", PASSWORD])
def test_files_do_as_well(uploaded, settings, password):
    settings.MERCHANT_KEY_PASSWORD = password
    (settings.MERCHANT_KEYS_DIR / "key.pem").write_text(pem_of(rsa_key("ours"), password))
    (settings.MERCHANT_KEYS_DIR / "apiv3").write_text(APIV3 + "\n")
    for slot in Slot:
        setattr(uploaded, slot, b"")
    uploaded.signing_key_file, uploaded.apiv3_key_file = "key.pem", "apiv3"
    uploaded.save()

    assert isinstance(connection.identity_client(uploaded), wechat.IdentityClient)


def test_a_file_with_a_password_nobody_gave_is_not_configured(uploaded, settings):
    path = settings.MERCHANT_KEYS_DIR / "key.pem"
    path.write_text(pem_of(rsa_key("ours"), PASSWORD))
    Merchant.objects.update(signing_key=b"", signing_key_file="key.pem")

    with pytest.raises(NotConfigured):
        connection.identity_client(Merchant.objects.get())


def test_a_signing_service_needs_its_own_key_and_no_signing_key(desk, as_worker):
    signer = ed25519.Ed25519PrivateKey.generate()
    hospital = rsa_key("ours")
    given = {
        "mode": "partner",
        "sub_mch_id": "1900000002",
        "apiv2_key": APIV2,
        "decrypting_key": pem_of(hospital),
        "decrypting_certificate": certificate_of(hospital, serial=0xBEEF),
        "wechat_public_key": public_of(rsa_key("wechat")),
        "wechat_public_key_id": "PUB_KEY_ID_1",
        "signer_url": "https://sign.partner.example/v1",
        "signer_key": pem_of(signer),
    }

    answer = desk.send(**given)

    assert errors(answer) == []
    merchant = Merchant.objects.get()
    as_worker()
    assert merchant.missing == []
    assert merchant.sub_serial_no == "BEEF"
    assert merchant.signer_key_id in desk.get(change(merchant)).text
    assert isinstance(connection.identity_client(merchant), wechat.IdentityClient)


# What is refused


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"apiv2_key": "short"}, "APIv2 密钥须为 32 位字母和数字"),
        ({"apiv2_key": "!" * 32}, "APIv2 密钥须为 32 位字母和数字"),
        ({"apiv3_key": "密" * 32}, "APIv3 密钥须为 32 位字符"),
        ({"signing_key": "nonsense"}, "不是 PEM 私钥：请用 apiclient_key.pem 的全部内容"),
        ({"signing_key": pem_of(rsa_key("small", 1024))}, "RSA 密钥至少 2048 位"),
        ({"signing_key": pem_of(ed25519.Ed25519PrivateKey.generate())}, "不是 RSA 密钥"),
        ({"signing_key": pem_of(rsa_key("ours"), PASSWORD)}, "私钥有密码保护，请填写密码"),
        (
            {"signing_key": pem_of(rsa_key("ours"), PASSWORD), "signing_key-password": "no"},
            "私钥密码不对",
        ),
        ({"signing_key": certificate_of(rsa_key("ours"))}, pem.NotAKey.message),
        ({"signer_key": pem_of(rsa_key("ours"))}, "签名服务私钥须为 Ed25519 或 P-256"),
        (
            {"signer_key": pem_of(ec.generate_private_key(ec.SECP384R1()))},
            "签名服务私钥须为 Ed25519 或 P-256",
        ),
        ({"merchant_certificate": pem_of(rsa_key("ours"))}, pem.NotACertificate.message),
        (
            {"merchant_certificate": of_version(certificate_of(rsa_key("ours")), 4)},
            pem.NotACertificate.message,
        ),
        ({"wechat_public_key": "x"}, pem.NotAPublicKey.message),
        ({"wechat_public_key_id": ""}, "请填写公钥编号（PUB_KEY_ID_ 开头）"),
        ({"signing_key": pem_of(rsa_key("another"))}, "证书与私钥不是一对，请一起更换"),
        ({"apiv2_key_file": "apiv2"}, "已上传密钥，文件名请留空"),
        ({"signing_key_file": "../key.pem", "signing_key": ""}, "只填文件名，不含路径"),
        ({"signing_key-removed": "on"}, "粘贴、选择文件、清除，只用一种"),
        ({"mode": "partner", "sub_serial_no": "1"}, "服务商模式须填写子商户号"),
        (
            {"mode": "partner", "sub_mch_id": "1900000002"},
            "服务商模式须上传解密证书，或填写子商户证书序列号",
        ),
        ({"sub_mch_id": "1900000002"}, "普通商户没有子商户：改为服务商模式，或清空子商户各项"),
        ({"appid": "wx-1"}, "只含字母和数字，最多 32 位"),
        ({"mch_id": "19a"}, "只含数字"),
    ],
)
def test_what_does_not_fit_is_refused_in_chinese(desk, given, said):
    answer = desk.send(**full(**given))

    assert errors(answer) == [said]
    assert not Merchant.objects.exists()


def test_without_the_workers_public_key_nothing_is_taken(desk, settings):
    settings.WORKER_PUBLIC_KEY_FILE = ""

    answer = desk.send(**full())

    assert "后台没有工作进程的公钥" in errors(answer)[0]
    assert not Merchant.objects.exists()


def test_a_typed_key_is_not_shown_again_after_an_error(desk):
    shown = desk.send(**full(mch_id="x", **{"signing_key-password": PASSWORD})).text

    for secret in (APIV2, APIV3, PASSWORD, *pem_of(rsa_key("ours")).splitlines()[1:-1]):
        assert secret not in shown


def test_an_upload_too_large_is_not_written_anywhere(desk):
    large = SimpleUploadedFile("key.pem", b"x" * (64 * 1024 + 1))

    answer = desk.send(**{"signing_key-upload": large})

    assert answer.status_code == 400
    assert "不能超过 64 KB" in answer.text
    assert not Merchant.objects.exists()


@pytest.mark.parametrize("person", ["mei", "zhou", "chen", "gu"])
def test_nobody_else_uploads(person, uploaded, request):
    browser = Client()
    browser.force_login(request.getfixturevalue(person))
    before = Merchant.objects.values().get()

    assert browser.get(change(uploaded)).status_code == 403
    assert browser.post(change(uploaded), {**OPENED, "apiv2_key": "N" * 32}).status_code == 403
    assert browser.post(reverse(ADD), OPENED).status_code == 403
    assert Merchant.objects.values().get() == before


# What is taken


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_a_password_is_used_once_and_not_kept(desk, as_worker, form):
    closed = pem_of(rsa_key("ours"), PASSWORD, form)

    answer = desk.send(**full(signing_key=closed, **{"signing_key-password": PASSWORD}))

    assert errors(answer) == []
    as_worker()
    kept = merchant_keys.take(Merchant.objects.get(), Slot.SIGNING_KEY)
    assert kept.decode() == pem_of(rsa_key("ours"))


def test_a_file_is_chosen_as_well_as_pasted(desk, as_worker):
    chosen = SimpleUploadedFile("apiclient_key.pem", pem_of(rsa_key("ours")).encode())

    answer = desk.send(**full(signing_key="", **{"signing_key-upload": chosen}))

    assert errors(answer) == []
    as_worker()
    assert merchant_keys.take(Merchant.objects.get(), Slot.SIGNING_KEY)


def test_a_certificate_gives_its_serial(uploaded):
    assert uploaded.merchant_serial == "A1B2C3"


def test_saving_without_an_upload_keeps_every_key(desk, uploaded):
    before = Merchant.objects.values().get()

    answer = desk.send(uploaded, asks_union_id="on")

    after = Merchant.objects.values().get()
    assert errors(answer) == []
    assert {name for name in after if after[name] != before[name]} == {
        "asks_union_id",
        "changed_at",
    }


def test_replacing_one_key_asks_for_nothing_else(desk, uploaded, as_worker):
    answer = desk.send(uploaded, apiv2_key="N" * 32)

    as_worker()
    assert errors(answer) == []
    uploaded.refresh_from_db()
    assert merchant_keys.take(uploaded, Slot.APIV2_KEY) == b"N" * 32
    assert merchant_keys.take(uploaded, Slot.APIV3_KEY) == APIV3.encode()


def test_an_upload_takes_the_place_of_a_file_and_a_file_of_an_upload(desk, uploaded):
    desk.send(uploaded, signing_key_file="key.pem")
    uploaded.refresh_from_db()
    assert (uploaded.signing_key, uploaded.signing_key_print) == (b"", "")

    desk.send(uploaded, signing_key=pem_of(rsa_key("ours")))
    uploaded.refresh_from_db()
    assert uploaded.signing_key
    assert uploaded.signing_key_file == ""


def test_a_merchant_that_leaves_its_partner_leaves_the_key_of_then(desk, uploaded, as_worker):
    then = {"decrypting_key": pem_of(rsa_key("another"))}
    partner = {"mode": "partner", "sub_mch_id": "1900000002", "sub_serial_no": "1"}
    desk.send(uploaded, **then, **partner)
    direct = {"mode": "direct", "sub_mch_id": "", "sub_serial_no": ""}

    refused = desk.send(Merchant.objects.get(), **direct)
    answer = desk.send(Merchant.objects.get(), **direct, **{"decrypting_key-removed": "on"})

    assert errors(refused) == [merchant_form.LEFT_OVER]
    assert errors(answer) == []
    assert Merchant.objects.get().decrypting_slot == Slot.SIGNING_KEY


def test_the_trail_says_where_signatures_are_asked_for(desk, uploaded):
    desk.send(uploaded, signer_url="https://sign.partner.example/v1")

    changed = json.loads(Event.objects.order_by("-id").first().payload)
    assert changed["facts"]["signer_url"] == "https://sign.partner.example/v1"


def test_a_page_of_before_a_change_undoes_nothing(desk, uploaded, as_worker):
    desk.send(uploaded, apiv2_key="", apiv2_key_file="apiv2")
    stale = Merchant.objects.get()
    desk.send(stale, apiv2_key="N" * 32)
    kept = Merchant.objects.values().get()

    answers = [desk.send(stale, asks_union_id="on"), desk.send(stale, shown="")]

    assert [errors(answer) for answer in answers] == [[merchant_form.OUTDATED]] * 2
    assert Merchant.objects.values().get() == kept
    as_worker()
    assert merchant_keys.take(Merchant.objects.get(), Slot.APIV2_KEY) == b"N" * 32


def test_a_page_sends_back_which_row_it_showed(desk, uploaded):
    shown = re.search(r'name="shown" value="([^"]+)"', desk.get(change(uploaded)).text)

    assert shown[1] == uploaded.changed_at.isoformat()


def test_a_kept_key_can_be_removed(desk, uploaded):
    desk.send(uploaded, **{"apiv3_key-removed": "on"})

    uploaded.refresh_from_db()
    assert uploaded.apiv3_key == b""


# What is left behind


def needles():
    numbers = rsa_key("ours").private_numbers()
    raw = [APIV2.encode(), APIV3.encode(), PASSWORD.encode()]
    raw += [number.to_bytes(256, "big")[-32:] for number in (numbers.d, numbers.p, numbers.q)]
    lines = (
        pem_of(rsa_key("ours")).splitlines()[1:-1]
        + pem_of(rsa_key("ours"), form=PrivateFormat.TraditionalOpenSSL).splitlines()[1:-1]
    )
    # The first line of either PEM has the public modulus in it; a certificate shows that as well.
    private = [line.encode() for line in lines[7:26]]
    return [*raw, *[one.hex().encode() for one in raw], *map(base64.b64encode, raw), *private]


def test_an_upload_leaves_no_key_behind(desk, capfd, lin):
    answers = [desk.send(**full(mch_id="x")), desk.send(**full())]
    merchant = Merchant.objects.get()
    closed = pem_of(rsa_key("ours"), PASSWORD)
    answers += [
        desk.send(merchant, signing_key=closed, **{"signing_key-password": PASSWORD}),
        desk.get(change(merchant)),
        desk.get(reverse(LIST)),
        desk.get(reverse("admin:index")),
    ]
    call_command("dumpdata", "faceauth.merchant", "audit.event")
    said = capfd.readouterr()

    left = {
        "pages": "".join(answer.text for answer in answers).encode(),
        "database": database.connection.serialize(),
        "trail": "".join(event.payload for event in Event.objects.all()).encode(),
        "output and log": (said.out + said.err).encode(),
        "repr": repr([merchant, pem.rsa_key(pem_of(rsa_key("ours")).encode())]).encode(),
    }
    found = [(place, n) for place, text in left.items() for n in needles() if n in text]
    assert found == []
    assert b"1900000001" in left["database"]


def test_the_search_would_find_a_key(desk):
    planted = "\n".join([APIV2, pem_of(rsa_key("ours"))]).encode()

    assert [n for n in needles() if n in planted]


def test_the_trail_names_the_slots_and_nothing_of_them(desk, uploaded):
    desk.send(uploaded, apiv2_key="N" * 32)

    created, changed = [json.loads(event.payload) for event in Event.objects.order_by("id")][-2:]
    assert created["action"] == "merchant.create"
    assert set(created["facts"]["fields"]) == {
        "apiv2_key",
        "apiv3_key",
        "signing_key",
        "merchant_certificate",
        "wechat_public_key",
    }
    assert changed["action"] == "merchant.change"
    assert changed["facts"] == {"fields": ["apiv2_key"]}


def test_the_page_says_what_is_there_since_when_and_by_whom(desk, uploaded, lin):
    shown = desk.get(change(uploaded)).text

    lines = re.findall(r'_helptext">\s*<div>(.*?)</div>', shown, re.DOTALL)
    told = [re.sub("<[^>]+>", "", line).strip() for line in lines]
    today = timezone.localtime().strftime("%Y-%m-%d")
    fingerprint = pem.rsa_key(pem_of(rsa_key("ours")).encode()).fingerprint[:16]
    assert told[0].startswith(f"已设置 {today}")
    assert told[0].endswith(lin.display_name)
    assert any(fingerprint in line and "A1B2C3" in line and "2049-01-01" in line for line in told)
    assert "未设置" in told


def test_the_page_of_files_names_them(desk, merchant):
    shown = desk.get(change(merchant)).text

    assert "文件</span> merchant_key.pem" in shown


# A certificate ends


def ending(days, **changes):
    """A merchant whose certificate ends in so many days, to the second."""
    at = timezone.now().replace(microsecond=0)
    pem_text = certificate_of(rsa_key("ours"), ends=at + timedelta(days=days), serial=0xE0D)
    merchant = Merchant.objects.create(
        **{**OPENED, "is_active": True, "merchant_certificate": pem_text, **changes}
    )
    return merchant, at


@pytest.mark.parametrize(
    ("days", "said"),
    [
        (31, None),
        (30, "还有 30 天"),
        (1, "还有 1 天"),
        (0, "还有 0 天"),
        (-1, "请立即更换"),
    ],
)
def test_a_certificate_is_warned_of_30_days_ahead(days, said):
    _, at = ending(days)

    found = [str(one) for one in merchant_certificates.endings(at=at)]

    assert len(found) == (0 if said is None else 1)
    assert said is None or said in found[0]


def test_only_the_merchant_in_use_is_warned_of():
    merchant, at = ending(3)
    Merchant.objects.filter(pk=merchant.pk).update(is_active=False)

    assert merchant_certificates.endings(at=at) == []


def test_whoever_can_replace_it_is_told_and_nobody_else(desk, chen):
    merchant, _ = ending(10)
    other = Client()
    other.force_login(chen)

    assert "请及时更换" in desk.get(reverse("admin:index")).text
    assert "请及时更换" in desk.get(reverse(LIST)).text
    assert re.search(r"badge-denied\">还有 \d+ 天", desk.get(change(merchant)).text)
    assert "请及时更换" not in other.get(reverse("admin:index")).text


def test_an_ended_one_is_marked(desk):
    merchant, _ = ending(-1)

    assert "已过期</span>" in desk.get(change(merchant)).text


def test_it_is_on_record_once_a_day(capture_log):
    merchant, at = ending(10)
    noon = timezone.localtime(at).replace(hour=12)

    merchant_certificates.warn(at=noon)
    merchant_certificates.warn(at=noon + timedelta(hours=1))
    merchant_certificates.warn(at=noon + timedelta(days=1))

    told = [json.loads(one.payload) for one in Event.objects.on(merchant).order_by("id")]
    assert [one["action"] for one in told] == ["merchant.expiring"] * 2
    assert told[0]["facts"]["certificate"] == "merchant_certificate"
    assert told[0]["facts"]["serial"] == "E0D"
    assert [line["event"] for line in capture_log] == ["merchant_certificate_expiring"] * 2


@pytest.mark.django_db(transaction=True)  # each part is asked in a thread of its own
def test_who_watches_the_server_is_told_of_it_as_well(client):
    merchant, at = ending(400)
    assert "certificates" not in client.get("/readyz").json()["degraded"]

    ends = at + timedelta(days=10, hours=1)
    merchant.merchant_certificate = certificate_of(rsa_key("ours"), ends=ends, serial=0xE0D)
    merchant.save()

    assert "certificates" in client.get("/readyz").json()["degraded"]
    metrics = Operation().collect()
    [days] = [one for one in metrics if one.name == "merchant_certificate_days"]
    assert [sample.value for sample in days.samples] == [10]


def test_two_certificates_are_two_warnings():
    merchant, at = ending(10)
    own = certificate_of(rsa_key("another"), ends=at + timedelta(days=5), serial=0xF00)
    Merchant.objects.update(decrypting_certificate=own)

    warn_of_expiry()

    assert Event.objects.on(merchant).count() == 2


def test_nothing_is_recorded_of_one_that_lasts():
    merchant, at = ending(31)

    merchant_certificates.warn(at=at)

    assert not Event.objects.on(merchant).exists()


def test_the_check_warns_as_well():
    ending(10)

    found = {one.id for one in checks.merchants(databases=["default"])}

    assert found == {"faceauth.W003", "faceauth.W004"}


def test_the_check_asks_a_partners_key_to_stay_with_the_partner():
    ending(100, mode="partner", sub_mch_id="1", sub_serial_no="1")

    assert "faceauth.W005" in {one.id for one in checks.merchants(databases=["default"])}
