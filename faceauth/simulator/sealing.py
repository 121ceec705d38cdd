"""real_name_info: name and number encrypted to whoever may open them."""

import base64
import hmac
import secrets
from datetime import date, timedelta
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from faceauth.simulator.keys import private_key
from faceauth.simulator.people import Person, citizen_number
from faceauth.simulator.weather import Spell

_OAEP = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)  # noqa: S303 - v3's own
_RESIDENT = {1, 6, 7}  # 身份证, 临时身份证, 户口簿: all carry the citizen number


def seal(person: Person, key: str, *, spell: Spell | None) -> dict[str, Any]:
    """Encrypt to the holder of `key` (PEM), with the padding this one API has."""
    name = spell.name if spell else ""
    document_type, number = person.document_type, person.document_number
    if spell and name == "credential-type":
        document_type, number = spell.value, _number(person, spell.value)
    if name == "wrong-checksum":
        number = number[:-1] + ("0" if number[-1] == "X" else str((int(number[-1]) + 1) % 10))
    encoding = "gb18030" if name == "gbk" else "utf-8"
    return {
        "encrypted_real_name": _sealed(person.name.encode(encoding), key, name),
        "credential_type": document_type,
        "encrypted_credential_id": _sealed(number.encode(), key, name),
    }


def _sealed(text: bytes, key: str, name: str) -> str:
    public = private_key(key).public_key()
    if name == "garbage":
        return base64.b64encode(b"\0" + secrets.token_bytes(public.key_size // 8 - 1)).decode()
    padded = _OAEP if name == "oaep" else padding.PKCS1v15()
    return base64.b64encode(public.encrypt(text, padded)).decode()


def _number(person: Person, document_type: int) -> str:
    """Return a number `person` might have on a document of that type, always the same."""
    if document_type == person.document_type or {document_type, person.document_type} <= _RESIDENT:
        return person.document_number
    digest = hmac.digest(b"simulated document", person.id.encode(), "sha256")
    chosen = int.from_bytes(digest[:4], "big") % 10**6
    if document_type in _RESIDENT:
        birth = date(1960, 1, 1) + timedelta(days=chosen % 15_000)
        return citizen_number(999902, birth, chosen // 15_000)
    digits = f"{chosen:06d}"
    forms = {
        2: f"E99{digits}",  # 护照
        3: f"军字第99{digits}号",  # 军官证
        4: f"士字第99{digits}号",  # 士兵证
        5: f"H99{digits}",  # 回乡证
        8: f"99{digits}",  # 警官证
        9: f"99{digits}",  # 台胞证
        10: f"99000000{digits}000X",  # 营业执照
    }
    return forms.get(document_type, f"QT99{digits}")
