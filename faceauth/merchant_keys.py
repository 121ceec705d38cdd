"""
A merchant's keys: sealed into its row by whoever uploads them, opened by the worker alone.

Each is a letter to the worker (`hospital.crypto.letterbox`) that opens only as the key it is, of
the merchant it is of.
"""

from pathlib import Path

import structlog
from django.conf import settings

from faceauth.models import Merchant, NotConfigured, Slot
from hospital.crypto import letterbox

log = structlog.get_logger(__name__)


def seal(merchant: Merchant, slot: Slot, key: bytes) -> bytes:
    """
    Return what to keep in the column of `slot`.

    :raises NoKeyFile: this process does not know whom to seal it to
    """
    to = letterbox.public_key(Path(settings.WORKER_PUBLIC_KEY_FILE))
    return letterbox.post(key, to=to, info=_purpose(merchant, slot))


def take(merchant: Merchant, slot: Slot) -> bytes:
    """
    Return the key in `slot`, sealed or from its file; a file may want its password.

    :raises NotConfigured: there is none, or none this process can open; the log says why
    """
    try:
        if sealed := bytes(getattr(merchant, slot)):
            key = letterbox.private_key(Path(settings.WORKER_KEY_FILE))
            return letterbox.read(sealed, key=key, info=_purpose(merchant, slot))
        return file(getattr(merchant, slot.file))
    except (letterbox.NoKeyFile, letterbox.Unreadable, OSError) as exc:
        fact = type(exc).__name__
        log.error("merchant_key_unusable", merchant=str(merchant.pk), slot=str(slot), fact=fact)  # noqa: TRY400
        raise NotConfigured from None


def file(name: str) -> bytes:
    """
    Return what is in the file a merchant names.

    :raises FileNotFoundError: it names none
    :raises OSError:
    """
    if not name:
        raise FileNotFoundError
    directory: Path = settings.MERCHANT_KEYS_DIR
    return (directory / name).read_bytes()


def _purpose(merchant: Merchant, slot: Slot) -> bytes:
    return f"merchant-key|{merchant.pk}|{slot.value}".encode()
