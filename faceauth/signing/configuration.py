"""
One TOML file: who the 服务商 is, and for which hospitals it signs what.

Everything is checked at the start, in words for whoever wrote the file.
"""

import base64
import hashlib
import os
import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

MINIMUM_BITS = 2048

_MCH_ID = re.compile(r"[0-9]{1,32}", re.ASCII)
_APPID = re.compile(r"[0-9A-Za-z_-]{1,32}", re.ASCII)
_SERIAL = re.compile(r"[0-9A-F]{1,40}", re.ASCII)  # twenty octets at most: RFC 5280 4.1.2.2
_LINE = re.compile(r"[^\x00-\x1f\x7f]{1,200}")

PublicKey = Ed25519PublicKey | EllipticCurvePublicKey


class UnusableConfiguration(Exception):
    """The message says what to mend, in Chinese, and quotes no secret."""


@dataclass(frozen=True, slots=True)
class Hospital:
    """Who may have a question signed, known by `public_key`, for its own sub-merchants."""

    name: str
    public_key: PublicKey = field(repr=False)
    sub_mch_ids: frozenset[str]

    @property
    def key_id(self) -> str:
        """base64url, unpadded, of SHA-256 over the DER SubjectPublicKeyInfo."""
        der = self.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class Configuration:
    """A whole, checked configuration; `hospitals` by their key_id."""

    mch_id: str
    appid: str
    serial_no: str
    private_key: RSAPrivateKey = field(repr=False)
    hospitals: Mapping[str, Hospital]


def from_environment(environ: Mapping[str, str]) -> Configuration:
    """
    Read the file SIGNING_CONFIG names; SIGNING_KEY_PASSWORD(_FILE) opens its key.

    :raises UnusableConfiguration:
    """
    path = environ.get("SIGNING_CONFIG", "")
    if not path:
        raise UnusableConfiguration("没有设置环境变量 SIGNING_CONFIG（配置文件的路径）")
    password = environ.get("SIGNING_KEY_PASSWORD", "")
    if given := environ.get("SIGNING_KEY_PASSWORD_FILE", ""):
        password = _read(Path(given)).decode(errors="replace").rstrip("\r\n")
    return load(Path(path), password=password)


def load(path: Path, *, password: str = "") -> Configuration:
    """
    Read and check a configuration file; the paths in it are relative to it.

    :raises UnusableConfiguration:
    """
    try:
        table = tomllib.loads(_read(path).decode())
    except UnicodeDecodeError:
        raise UnusableConfiguration(f"{path} 不是 UTF-8 文本") from None
    except tomllib.TOMLDecodeError as exc:
        raise UnusableConfiguration(f"{path} 不是有效的 TOML：{exc}") from None
    _only(table, {"mch_id", "appid", "serial_no", "private_key", "hospital"}, where="配置文件")
    key_file = path.parent / _text(table, "private_key", _LINE, where="配置文件")
    return Configuration(
        mch_id=_text(table, "mch_id", _MCH_ID, where="配置文件"),
        appid=_text(table, "appid", _APPID, where="配置文件"),
        serial_no=_text(table, "serial_no", _SERIAL, where="配置文件"),
        private_key=_private_key(key_file, password=password),
        hospitals=_hospitals(table.get("hospital"), folder=path.parent),
    )


def _hospitals(tables: object, *, folder: Path) -> dict[str, Hospital]:
    if not isinstance(tables, list) or not tables:
        raise UnusableConfiguration("配置文件中至少要有一个 [[hospital]]")
    hospitals: dict[str, Hospital] = {}
    owners: dict[str, str] = {}
    for number, table in enumerate(tables, start=1):
        where = f"第 {number} 个 [[hospital]]"
        one = _hospital(table, where=where, folder=folder)
        if hospitals.setdefault(one.key_id, one) is not one:
            raise UnusableConfiguration(f"{where} 的公钥与前面的重复：每把公钥只能登记一次")
        # A hospital that changes keys stands in the file twice, under one name.
        if any(owners.setdefault(mch_id, one.name) != one.name for mch_id in one.sub_mch_ids):
            raise UnusableConfiguration(f"{where} 的 sub_mchids 中有别家医院的子商户号")
    return hospitals


def _hospital(table: object, *, where: str, folder: Path) -> Hospital:
    if not isinstance(table, dict):
        raise UnusableConfiguration(f"{where} 应为一张表")
    _only(table, {"name", "key_id", "public_key", "sub_mchids"}, where=where)
    one = Hospital(
        name=_text(table, "name", _LINE, where=where),
        public_key=_public_key(folder / _text(table, "public_key", _LINE, where=where)),
        sub_mch_ids=_sub_mch_ids(table.get("sub_mchids"), where=where),
    )
    if _text(table, "key_id", _LINE, where=where) != one.key_id:
        raise UnusableConfiguration(
            f"{where} 的 key_id 与公钥文件不符：请与医院核对，公钥文件的 key_id 是 {one.key_id}"
        )
    return one


def _sub_mch_ids(given: object, *, where: str) -> frozenset[str]:
    if isinstance(given, list) and given:
        mch_ids = [one for one in given if isinstance(one, str) and _MCH_ID.fullmatch(one)]
        if len(mch_ids) == len(given):
            return frozenset(mch_ids)
    raise UnusableConfiguration(f"{where} 的 sub_mchids 应为子商户号的列表，每个都是带引号的数字")


def _private_key(path: Path, *, password: str) -> RSAPrivateKey:
    pem = _read(path, private=True)
    try:
        key = load_pem_private_key(pem, password=password.encode() or None)
    except TypeError:
        wrong = "密钥没有加密，不要设口令" if password else "密钥已加密，请设 SIGNING_KEY_PASSWORD"
        raise UnusableConfiguration(f"{path}：{wrong}") from None
    except (ValueError, UnsupportedAlgorithm):
        raise UnusableConfiguration(f"{path} 不是 PEM 私钥，或口令不对") from None
    if not isinstance(key, RSAPrivateKey) or key.key_size < MINIMUM_BITS:
        raise UnusableConfiguration(f"{path} 应为不少于 {MINIMUM_BITS} 位的 RSA 私钥")
    return key


def _public_key(path: Path) -> PublicKey:
    try:
        key = load_pem_public_key(_read(path))
    except (ValueError, UnsupportedAlgorithm):
        raise UnusableConfiguration(f"{path} 不是 PEM 公钥") from None
    match key:
        case Ed25519PublicKey() | EllipticCurvePublicKey(curve=SECP256R1()):
            return key
    raise UnusableConfiguration(f"{path} 应为 Ed25519 或 P-256 公钥")


def _read(path: Path, *, private: bool = False) -> bytes:
    try:
        with path.open("rb") as file:
            # Of the open file, not of the path: it cannot change in between.
            shared = stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077
            content = b"" if private and shared else file.read()
    except (OSError, ValueError) as exc:  # a path may hold a NUL
        reason = exc.strerror if isinstance(exc, OSError) else "路径无效"
        raise UnusableConfiguration(f"读不到 {path}：{reason}") from None
    if private and shared:
        raise UnusableConfiguration(f"{path} 别人也能读：请 chmod 600")
    return content


def _only(table: Mapping[str, Any], names: set[str], *, where: str) -> None:
    if unknown := table.keys() - names:
        raise UnusableConfiguration(f"{where} 有不认识的项：{'、'.join(sorted(unknown))}")


def _text(table: Mapping[str, Any], name: str, shape: re.Pattern[str], *, where: str) -> str:
    value = table.get(name)
    if not isinstance(value, str) or not shape.fullmatch(value):
        raise UnusableConfiguration(f"{where} 的 {name} 缺失或格式不对")
    return value
