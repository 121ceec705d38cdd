"""What a terminal's request needs: without it nobody is served."""

from dataclasses import dataclass
from typing import ClassVar, Final

from django.conf import settings
from django.core.cache import cache
from django.db import connections
from health_check.checks import Database
from uuid6 import uuid7

from faceauth.models import Merchant
from hospital.crypto import keyring
from hospital.crypto.sealing import Unopenable
from hospital.errors import Unavailable
from hospital.operations.part import Part
from hospital.operations.verdicts import Words, broken
from hospital.privacy.erasing import standing

# One each for the patients' and, where they live apart, the keys' and the ledger's.
_DATABASES: Final = {
    "default": ("database", Words("数据库", "database")),
    "keys": ("key_database", Words("密钥库", "database of the keys")),
    "ledger": ("ledger_database", Words("删除台账库", "database of the ledger of erasures")),
}


@dataclass(repr=False)
class DatabasePart(Part, Database):
    """django-health-check's own question, by the name of ours."""

    remedy: ClassVar = Words(
        "检查数据库是否在运行、连接它的变量、网络和证书，以及连接数上限",
        "see whether it runs; check its URL, the network, certificates and max_connections",
    )

    @property
    def name(self) -> str:  # type: ignore[override]
        return _DATABASES[self.alias][0]

    @property
    def label(self) -> Words:  # type: ignore[override]
        return _DATABASES[self.alias][1]


@dataclass(repr=False)
class Cache(Part):
    """
    Nonces and throttles: without them a request of a terminal's cannot be believed.

    Not django-health-check's: that asks in the one thread asgiref has, for all of the process.
    """

    name: ClassVar = "cache"
    label: ClassVar = Words("缓存", "cache")
    remedy: ClassVar = Words(
        "检查 Redis 是否在运行、CACHE_URL、网络和证书；用数据库缓存的先运行 createcachetable",
        "see whether Redis runs; check CACHE_URL; a cache in the database needs createcachetable",
    )

    def run(self) -> None:
        key, value = f"readyz:{uuid7()}", str(uuid7())
        cache.set(key, value, 10)
        if cache.get(key) != value:
            raise broken(Words("写入后读不回来", "forgets what it was told"), self.remedy)
        cache.delete(key)


@dataclass(repr=False)
class Keys(Part):
    name: ClassVar = "keys"
    label: ClassVar = Words("密钥", "keys")
    remedy: ClassVar = Words(
        "检查 KEY_PROVIDER 及其配置；密码设备或 Vault 是否可用；根密钥是否与数据库配套",
        "check KEY_PROVIDER and its settings, the device or Vault, and whose root key it is",
    )

    def run(self) -> None:
        try:
            keyring.data_key(keyring.SYSTEM_SUBJECT)
        except (Unavailable, Unopenable):
            said = Words("打不开系统密钥", "the key of the system itself cannot be opened")
            raise broken(said, self.remedy) from None


@dataclass(repr=False)
class MerchantPart(Part):
    """None yet is fine, since it is set up through this very process; a simulator's is not."""

    name: ClassVar = "merchant"
    label: ClassVar = Words("微信商户", "WeChat merchant")
    remedy: ClassVar = Words(
        "在后台“微信商户”把接入地址改为微信的；模拟器只用于演示",
        "set WeChat's own addresses in the admin; a simulator is for demonstrations only",
    )

    def run(self) -> None:
        merchant = Merchant.objects.filter(is_active=True).first()
        if merchant is None:
            self.told = Words("尚未配置", "none is set up yet")
        elif not merchant.is_official and settings.DEPLOY_LEVEL != "demo":
            raise broken(Words("接入地址不是微信的", "its address is not WeChat's"), self.remedy)


@dataclass(repr=False)
class Erasures(Part):
    name: ClassVar = "erasures"
    label: ClassVar = Words("删除台账", "ledger of erasures")
    remedy: ClassVar = Words(
        "运行 manage.py replayerasures；台账缺失的从其备份取回，见 docs/erasure.md",
        "run manage.py replayerasures; bring a lost ledger back from its backup (docs/erasure.md)",
    )

    def run(self) -> None:
        if refusal := standing.refusal():
            raise broken(Words(str(refusal), f"not replayed: {refusal.code}"), self.remedy)


def serving() -> list[Part]:
    """Return them, and the databases there are."""
    databases = [DatabasePart(alias) for alias in connections]
    return [*databases, Cache(), Keys(), MerchantPart(), Erasures()]
