"""The log's key: an Ed25519 key in a PEM file, for the notary alone."""

import os
import stat
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from hospital import durable
from hospital.audit.checkpoint import Signer


class Unusable(Exception):
    """There is no such key; the text says why, in Chinese, and names the file."""


def create(path: Path, *, name: str, is_witness: bool = False) -> Signer:
    """
    Make a key that signs as `name`, on disk before this returns, mode 0600.

    :raises FileExistsError: there is one; signatures by another would not continue its log
    :raises ValueError: nobody can be called that
    """
    key = Ed25519PrivateKey.generate()
    signer = Signer(name, key, is_witness=is_witness)
    durable.create(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return signer


def load(path: Path, *, name: str, is_witness: bool = False) -> Signer:
    """
    Return who signs as `name` with the key at `path`.

    :raises Unusable:
    """
    try:
        with path.open("rb") as file:
            # Of the open file, not of the path: it cannot change in between.
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise Unusable(f"{path} 他人可读，请 chmod 600")
            key = load_pem_private_key(file.read(), password=None)
    except OSError as exc:
        raise Unusable(f"{path} 无法读取：{exc.strerror}") from None
    except (ValueError, TypeError):
        raise Unusable(f"{path} 不是 PEM 私钥") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise Unusable(f"{path} 不是 Ed25519 私钥")
    return Signer(name, key, is_witness=is_witness)
