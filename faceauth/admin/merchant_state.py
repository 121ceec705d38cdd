"""What a page may say of a key it cannot read: that it is there, since when, by whom."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from faceauth import merchant_certificates, pem
from faceauth.models import Merchant, Slot
from hospital.accounts.models import Staff
from hospital.audit.actions import Action
from hospital.audit.models import Event

# The column that keeps the fingerprint of a key's public half.
PRINTS = {Slot.SIGNING_KEY: "signing_key_print", Slot.DECRYPTING_KEY: "decrypting_key_print"}
PUBLIC = ("merchant_certificate", "decrypting_certificate", "wechat_public_key")

PRINT_SHOWN: Final = 16  # hex digits
CHANGES: Final = (Action.MERCHANT_CREATE.value.tag, Action.MERCHANT_CHANGE.value.tag)


@dataclass(frozen=True)
class Upload:
    """When a column was last changed, and the name of who did it."""

    at: datetime
    by: str


def states(merchant: Merchant, *, at: datetime) -> dict[str, SafeString]:
    """Return a line for each field that takes a key or a certificate."""
    uploads = _uploads(merchant)
    lines = {slot.value: _slot(merchant, slot, uploads.get(slot)) for slot in Slot}
    lines |= {column: _badge("created", "未设置") for column in PUBLIC}
    for column, certificate in merchant_certificates.certificates(merchant).items():
        lines[column] = _certificate(certificate, uploads.get(column), at=at)
    if merchant.wechat_public_key:
        key = pem.wechat_public_key(merchant.wechat_public_key.encode())
        lines["wechat_public_key"] = _set(uploads.get("wechat_public_key"), key.fingerprint)
    elif merchant.wechat_public_key_file:
        lines["wechat_public_key"] = _badge("success", "文件")
    return lines


def _slot(merchant: Merchant, slot: Slot, upload: Upload | None) -> SafeString:
    if getattr(merchant, slot):
        if slot is Slot.SIGNER_KEY:  # the name the signing service knows it by
            return format_html("{} · 编号 {}", _set(upload), merchant.signer_key_id)
        return _set(upload, getattr(merchant, PRINTS.get(slot, ""), ""))
    if name := getattr(merchant, slot.file):
        return format_html("{} {}", _badge("success", "文件"), name)
    return _badge("created", "未设置")


def _set(upload: Upload | None, fingerprint: str = "") -> SafeString:
    line = _badge("success", "已设置")
    if upload:
        when = timezone.localtime(upload.at).strftime("%Y-%m-%d %H:%M")
        line = format_html("{} {} {}", line, when, upload.by)
    if fingerprint:
        line = format_html("{} · 公钥指纹 {}", line, fingerprint[:PRINT_SHOWN])
    return line


def _certificate(one: pem.Certificate, upload: Upload | None, *, at: datetime) -> SafeString:
    line = _set(upload, one.fingerprint)
    until = timezone.localtime(one.expires_at).strftime("%Y-%m-%d")
    return format_html("{} · 序列号 {} · {} 到期 {}", line, one.serial, until, _left(one, at=at))


def _left(one: pem.Certificate, *, at: datetime) -> SafeString:
    left = one.expires_at - at
    if left.days < 0:
        return _badge("failed", "已过期")
    if left <= merchant_certificates.NOTICE:
        return _badge("denied", f"还有 {left.days} 天")
    return SafeString()


def _uploads(merchant: Merchant) -> dict[str, Upload]:
    """The trail knows: of each column the newest change."""
    found: dict[str, tuple[datetime, str]] = {}
    for event in Event.objects.on(merchant).filter(action__in=CHANGES).order_by("-id"):
        for name in json.loads(event.payload)["facts"].get("fields", ()):
            found.setdefault(name, (event.at, event.actor_id))
    people = Staff.objects.in_bulk([pk for _, pk in found.values() if pk])
    names = {str(pk): person.display_name for pk, person in people.items()}
    return {name: Upload(at, names.get(pk, "系统")) for name, (at, pk) in found.items()}


def _badge(kind: str, text: str) -> SafeString:
    return format_html('<span class="badge badge-{}">{}</span>', kind, text)
