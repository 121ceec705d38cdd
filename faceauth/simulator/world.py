"""Keys and numbers: WeChat's, and those of the merchants it knows. They outlive a restart."""

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from faceauth.simulator import keys

_FILE = "simulator.json"
_ENDED = datetime(2025, 12, 31, tzinfo=UTC)  # before any clock of today


@dataclass(frozen=True, slots=True)
class Hospital:
    """A 特约商户 of the 服务商: names are encrypted to its own certificate."""

    sub_mch_id: str
    sub_appid: str
    key: str = field(repr=False)  # PEM
    certificate: str = field(repr=False)

    @property
    def serial(self) -> str:
        """Its sub_serial_no."""
        return keys.serial(self.certificate)


@dataclass(frozen=True, slots=True)
class Merchant:
    """Who signs requests: a 普通商户, or a 服务商 if it has hospitals."""

    mch_id: str
    appid: str
    apiv2_key: str = field(repr=False)
    apiv3_key: str = field(repr=False)
    key: str = field(repr=False)  # PEM
    certificate: str = field(repr=False)
    hospitals: tuple[Hospital, ...] = ()

    @property
    def serial(self) -> str:
        """The serial of its API certificate."""
        return keys.serial(self.certificate)

    def hospital(self, sub_mch_id: str) -> Hospital | None:
        """Return its sub-merchant of that number."""
        return next((one for one in self.hospitals if one.sub_mch_id == sub_mch_id), None)


@dataclass(frozen=True, slots=True)
class World:
    """Everything that is agreed between WeChat and the merchants, and all sides' keys."""

    mch_id: str
    appid: str
    store_id: str
    wechat_public_key_id: str
    apiv2_key: str = field(repr=False)
    apiv3_key: str = field(repr=False)
    authinfo_key: str = field(repr=False)  # hex
    merchant_key: str = field(repr=False)  # these are PEM
    merchant_certificate: str = field(repr=False)
    platform_key: str = field(repr=False)
    platform_certificate: str = field(repr=False)
    wechat_key: str = field(repr=False)
    next_platform_key: str = field(repr=False)
    next_platform_certificate: str = field(repr=False)
    ended_platform_certificate: str = field(repr=False)
    partner: Merchant

    @classmethod
    def fresh(cls) -> Self:
        """Make new secrets; the RSA keys, which are slow to make, once per process."""
        return cls(
            mch_id="1900000001",
            appid="wx0000000000000001",
            store_id="SIM001",
            wechat_public_key_id="PUB_KEY_ID_0119000000012026010100000001",
            apiv2_key=secrets.token_hex(16),
            apiv3_key=secrets.token_hex(16),
            authinfo_key=secrets.token_hex(32),
            merchant_key=keys.key("merchant"),
            merchant_certificate=keys.certificate("merchant"),
            platform_key=keys.key("platform"),
            platform_certificate=keys.certificate("platform"),
            wechat_key=keys.key("wechat"),
            next_platform_key=keys.key("next platform"),
            next_platform_certificate=keys.certificate("next platform"),
            ended_platform_certificate=keys.certificate("ended platform", end=_ENDED),
            partner=_partner(),
        )

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Load the world kept in `directory`; what is not there yet is made and kept."""
        path = directory / _FILE
        kept: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        if not kept.keys() >= set(cls.__slots__):
            kept = {**asdict(cls.fresh()), **kept}
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            keep(path, json.dumps(kept))
        return cls(**{**kept, "partner": _read(kept["partner"])})

    @property
    def direct(self) -> Merchant:
        """The 普通商户, who signs for itself."""
        return Merchant(
            self.mch_id,
            self.appid,
            self.apiv2_key,
            self.apiv3_key,
            self.merchant_key,
            self.merchant_certificate,
        )

    @property
    def merchant_serial(self) -> str:
        """The serial of the 普通商户's API certificate."""
        return keys.serial(self.merchant_certificate)

    @property
    def platform_serial(self) -> str:
        """The serial of WeChat's platform certificate."""
        return keys.serial(self.platform_certificate)

    @property
    def next_platform_serial(self) -> str:
        """The serial of the platform certificate that is to follow."""
        return keys.serial(self.next_platform_certificate)

    def merchant(self, mch_id: str) -> Merchant | None:
        """Return the 普通商户 or 服务商 of that number."""
        return next((one for one in (self.direct, self.partner) if one.mch_id == mch_id), None)


def keep(path: Path, text: str) -> None:
    """Write a file only its owner may read, whole or not at all."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)


def _partner() -> Merchant:
    return Merchant(
        mch_id="1900000100",
        appid="wx0000000000000100",
        apiv2_key=secrets.token_hex(16),
        apiv3_key=secrets.token_hex(16),
        key=keys.key("partner"),
        certificate=keys.certificate("partner"),
        hospitals=(_hospital(1), _hospital(2)),
    )


def _hospital(number: int) -> Hospital:
    owner = f"hospital {number}"
    return Hospital(
        sub_mch_id=f"190000010{number}",
        sub_appid=f"wx000000000000010{number}",
        key=keys.key(owner),
        certificate=keys.certificate(owner),
    )


def _read(partner: Mapping[str, Any]) -> Merchant:
    hospitals = tuple(Hospital(**one) for one in partner["hospitals"])
    return Merchant(**{**partner, "hospitals": hospitals})
