"""An authinfo: what a terminal may start its camera under. It carries its own terms, sealed."""

import base64
import binascii
import json
import secrets
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from faceauth.simulator.world import World

LIFETIME = 3600  # seconds
MACHINE = 20  # characters at the start of a rawdata that name the machine it was taken on
TERMS = ("appid", "mch_id", "sub_appid", "sub_mch_id", "store_id", "device_id")


class InvalidLicense(Exception):
    """An authinfo that is none, or no longer."""

    def __init__(self, *, expired: bool) -> None:
        super().__init__("expired" if expired else "invalid")
        self.expired = expired


def issue(fields: Mapping[str, str], world: World, *, now: float) -> str:
    """Return an authinfo for these terms; because it carries them, a restart forgets none."""
    issued = {name: fields.get(name, "") for name in TERMS}
    issued["machine"] = fields.get("rawdata", "")[:MACHINE]
    issued["expires_at"] = str(int(now) + LIFETIME)
    nonce = secrets.token_bytes(12)
    sealed = AESGCM(bytes.fromhex(world.authinfo_key)).encrypt(
        nonce, json.dumps(issued).encode(), None
    )
    return base64.b64encode(nonce + sealed).decode()


def terms(authinfo: str, world: World, *, now: float) -> dict[str, str]:
    """
    Return what `authinfo` was issued for.

    :raises InvalidLicense: it was not issued here, or has expired
    """
    try:
        sealed = base64.b64decode(authinfo, validate=True)
        opened = AESGCM(bytes.fromhex(world.authinfo_key)).decrypt(sealed[:12], sealed[12:], None)
    except (binascii.Error, InvalidTag, ValueError):
        raise InvalidLicense(expired=False) from None
    issued: dict[str, str] = json.loads(opened)
    if float(issued.pop("expires_at")) < now:
        raise InvalidLicense(expired=True)
    return issued
