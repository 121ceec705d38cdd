"""When a merchant's certificates end, and who is told in time."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog
from django.db import transaction
from django.utils import timezone

from faceauth import pem
from faceauth.models import Merchant
from hospital.audit.actions import Action
from hospital.audit.models import Event
from hospital.audit.recording import SYSTEM, record

NOTICE: Final = timedelta(days=30)  # how long before its end a certificate is warned of

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Ending:
    """A certificate that ends soon, or has."""

    merchant: Merchant
    column: str
    label: str
    serial: str
    expires_at: datetime
    days: int  # whole ones that are left; below 0: it has ended

    def __str__(self) -> str:
        until = timezone.localtime(self.expires_at).strftime("%Y-%m-%d")
        if self.days < 0:
            return f"{self.label}已于 {until} 过期，请立即更换"
        return f"{self.label}将于 {until} 过期，还有 {self.days} 天，请及时更换"


def certificates(merchant: Merchant) -> dict[str, pem.Certificate]:
    """Return the certificates of `merchant` by their columns."""
    columns = ("merchant_certificate", "decrypting_certificate")
    texts = {column: getattr(merchant, column) for column in columns}
    return {column: pem.certificate(text.encode()) for column, text in texts.items() if text}


def days_left(*, at: datetime) -> dict[str, int]:
    """Return column → whole days until that certificate of the merchant in use ends."""
    return {
        column: (one.expires_at - at).days
        for merchant in Merchant.objects.filter(is_active=True)
        for column, one in certificates(merchant).items()
    }


def endings(*, at: datetime) -> list[Ending]:
    """Return what ends within `NOTICE` of the merchant in use."""
    found = []
    for merchant in Merchant.objects.filter(is_active=True):
        for column, one in certificates(merchant).items():
            if one.expires_at - at > NOTICE:
                continue
            label = str(Merchant._meta.get_field(column).verbose_name)  # type: ignore[union-attr]
            days = (one.expires_at - at).days
            found.append(Ending(merchant, column, label, one.serial, one.expires_at, days))
    return found


def warn(*, at: datetime) -> None:
    """Put every certificate that ends soon on record and into the log, once a day each."""
    for ending in endings(at=at):
        with transaction.atomic():
            Merchant.objects.select_for_update().get(pk=ending.merchant.pk)  # one at a time
            if _told(ending, at=at):
                continue
            record(
                Action.MERCHANT_EXPIRING,
                by=SYSTEM,
                on=ending.merchant,
                at=at,
                certificate=ending.column,
                serial=ending.serial,
                days=ending.days,
            )
        log.warning(
            "merchant_certificate_expiring",
            merchant=str(ending.merchant.pk),
            certificate=ending.column,
            days=ending.days,
        )


def _told(ending: Ending, *, at: datetime) -> bool:
    midnight = timezone.localtime(at).replace(hour=0, minute=0, second=0, microsecond=0)
    today = Event.objects.on(ending.merchant).filter(
        action=Action.MERCHANT_EXPIRING.value.tag,
        at_us__gte=int(midnight.timestamp()) * 1_000_000,
        payload__contains=f'"serial":"{ending.serial}"',
    )
    return today.exists()
