"""
What production must have. At level 3 an unmet one is an error; in a demo a warning.

Ids are stable: documentation and the evidence pack quote them.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, collapse_addresses
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError

from hospital import direct, engines, policy, retention
from hospital.parameters import BY_KEY

MINIMUM_SECRET = 50  # characters
MINIMUM_MONTHS = 6  # 网络安全法: logs are kept that long

# What each provider of the root key cannot do without: all of these, or of a pair either.
PROVIDERS: dict[str, tuple[tuple[str, ...], ...]] = {
    "file": (("KEY_FILE",),),
    "pkcs11": (("PKCS11_MODULE",), ("PKCS11_TOKEN",), ("PKCS11_PIN",)),
    "vault": (("VAULT_ADDR",), ("VAULT_TOKEN", "VAULT_TOKEN_FILE")),
}


# What each is about, for who has to see to it; the last heading is for the rest.
_GROUPS: dict[str, frozenset[str]] = {
    heading: frozenset(f"hospital.{ident}" for ident in idents.split())
    for heading, idents in (
        ("数据库、队列和缓存", "E001 E002 E007 E030 E033 E034 E035"),
        ("网络和访问", "E003 E004 E017 E020 E031"),
        ("密钥", "E006 E008 E009 E010 E011 E012 E014"),
        ("安全策略和留痕", "E016 E018"),
        ("其他", ""),
    )
}


def _finding(ident: str, message: str, hint: str) -> CheckMessage:
    kind = Warning if settings.DEPLOY_LEVEL == "demo" else Error
    return kind(message, hint=hint, id=f"hospital.{ident}")


@register(Tags.security, deploy=True)
def production(**_kwargs: Any) -> list[CheckMessage]:
    """Return what keeps this configuration from level 3."""
    wanted = [
        (
            settings.DATABASES["default"]["ENGINE"].endswith("postgresql"),
            "E001",
            "数据库不是 PostgreSQL",
            "设置 DATABASE_URL=postgres://…?sslmode=verify-full",
        ),
        (
            not settings.CELERY_BROKER_URL.startswith(("filesystem", "memory")),
            "E002",
            "消息队列是演示用的文件队列",
            "设置 BROKER_URL=amqps://… 或 rediss://…",
        ),
        (
            settings.HTTPS_ONLY,
            "E003",
            "没有强制 HTTPS",
            "去掉 HTTPS_ONLY=0",
        ),
        (
            bool(settings.ALLOWED_HOSTS) and "*" not in settings.ALLOWED_HOSTS,
            "E004",
            "没有限定访问域名",
            "设置 ALLOWED_HOSTS",
        ),
        (
            settings.DEPLOY_LEVEL in {"3", "demo"},
            "E005",
            "DEPLOY_LEVEL 只能是 3 或 demo",
            "正式运行用 3",
        ),
        (
            len(settings.SECRET_KEY) >= MINIMUM_SECRET,
            "E006",
            "SECRET_KEY 过短",
            f"至少 {MINIMUM_SECRET} 个随机字符",
        ),
        (
            settings.CACHES["default"]["BACKEND"].endswith(("RedisCache", "DatabaseCache")),
            "E007",
            "缓存须由所有进程共享：防重放靠它",
            "设置 CACHE_URL=rediss://…",
        ),
        (
            settings.KEY_PROVIDER != "file" or settings.ACCEPT_FILE_KEYS,
            "E008",
            "主密钥保存在文件中",
            "使用硬件密码设备或密钥管理系统；确需使用文件，评估风险后设置 ACCEPT_FILE_KEYS=1",
        ),
        (
            settings.KEY_PROVIDER in PROVIDERS and not _missing_of(settings.KEY_PROVIDER),
            "E011",
            "主密钥的提供方不存在，或没有配置完整",
            _hint_about_provider(),
        ),
        (
            settings.KEY_PROVIDER != "vault" or settings.VAULT_ADDR.startswith("https://"),
            "E012",
            "与 Vault 的通信没有加密",
            "设置 VAULT_ADDR=https://…",
        ),
        (
            settings.TRAIL_KEEP_MONTHS >= MINIMUM_MONTHS,
            "E016",
            "留痕的保存期限不足六个月",
            f"设置 TRAIL_KEEP_MONTHS 不小于 {MINIMUM_MONTHS}",
        ),
        (
            bool(settings.ADMIN_NETWORKS) and not _is_everywhere(settings.ADMIN_NETWORKS),
            "E017",
            "没有限定管理端的访问地址",
            "设置 ADMIN_NETWORKS，例如 10.20.0.0/16,10.30.8.0/24",
        ),
        (
            settings.TRUSTED_PROXIES >= 0,
            "E020",
            "TRUSTED_PROXIES 不能是负数",
            "设为前面代理的个数，没有代理用 0",
        ),
        (
            _is_ledger_apart(),
            "E030",
            "删除台账与数据库放在一起，恢复备份时会一同退回",
            "设置 ERASURE_LEDGER（另一块磁盘上的文件）或 LEDGER_DATABASE_URL（另一个数据库）",
        ),
        (
            not settings.HIS_FHIR_URL or settings.HIS_FHIR_URL.startswith("https://"),
            "E031",
            "与 HIS 的通信没有加密",
            "设置 HIS_FHIR_URL=https://…",
        ),
        (
            all(map(engines.is_private_database, _databases())),
            "E033",
            "与 PostgreSQL 的通信没有加密，或没有核对对方身份",
            "在各个数据库的 URL（DATABASE_URL 等）中加上 sslmode=verify-full；本机套接字除外",
        ),
        (
            settings.CELERY_BROKER_URL.startswith(("filesystem", "memory"))
            or engines.is_private(settings.CELERY_BROKER_URL),
            "E034",
            "与消息队列的通信没有加密，或没有核对对方身份",
            "设置 BROKER_URL=amqps://… 或 rediss://…；本机除外",
        ),
        (
            not settings.CACHES["default"]["BACKEND"].endswith("RedisCache")
            or engines.is_private(
                settings.CACHES["default"]["LOCATION"], settings.CACHES["default"].get("OPTIONS")
            ),
            "E035",
            "与缓存的通信没有加密，或没有核对对方身份",
            "设置 CACHE_URL=rediss://…；本机除外",
        ),
    ]
    return [_finding(ident, message, hint) for met, ident, message, hint in wanted if not met]


@register(Tags.security)
def policy_within_its_lines(**_kwargs: Any) -> list[CheckMessage]:
    """Return an error for each parameter set beyond its line: a demo has the same lines."""
    hint = "去掉该环境变量，或设为允许范围内的值"
    return [
        Error(BY_KEY[key].refusal(value), hint=hint, id="hospital.E018")
        for key, value in policy.beyond().items()
    ]


@register(Tags.database)
def choices_within_their_lines(
    databases: Sequence[str] | None = None, **_kwargs: Any
) -> list[CheckMessage]:
    """Return an error for each row that somebody wrote into the policy past its pages."""
    if not databases or "default" not in databases:
        return []
    try:
        forced = policy.forced()
    except DatabaseError:  # not migrated yet
        return []
    hint = "没有生效。查明是谁直接改了数据库，再由安全管理员在“安全策略”中重新设置"
    return [
        Error(f"安全策略 {key} 在数据库中被改为 {value}，越过底线", hint=hint, id="hospital.E019")
        for key, value in forced.items()
    ]


@register(Tags.database)
def periods_within_their_lines(
    databases: Sequence[str] | None = None, **_kwargs: Any
) -> list[CheckMessage]:
    """Return an error for each period that somebody wrote past the two people it takes."""
    if not databases or "default" not in databases:
        return []
    try:
        forced = retention.forced()
    except DatabaseError:  # not migrated yet
        return []
    hint = "没有生效。查明是谁直接改了数据库，再在“保存期限”中重新申请"
    return [
        Error(f"保存期限 {key} 在数据库中被改为 {value}，越过底线", hint=hint, id="hospital.E032")
        for key, value in forced.items()
    ]


@register(Tags.database)
def keys_apart(databases: Sequence[str] | None = None, **_kwargs: Any) -> list[CheckMessage]:
    """Return a warning where one backup holds both the patients and the keys to them."""
    keys, data = settings.DATABASES.get("keys"), settings.DATABASES["default"]
    apart = keys is not None and _place(keys) != _place(data)
    if not databases or apart or settings.DEPLOY_LEVEL == "demo":
        return []
    hint = "设置 KEYS_DATABASE_URL，指向另一台服务器或另一个数据库，备份另存、保留期更短"
    return [Warning("密钥表与患者数据在同一个数据库", hint=hint, id="hospital.W013")]


def refuse_unfit(*, web: bool = False) -> None:
    """
    Stop a process that serves patients and does not meet its level.

    :raises ImproperlyConfigured: naming every unmet requirement
    """
    found = production()
    if web and (settings.WORKER_KEY_FILE or settings.MERCHANT_KEY_PASSWORD):
        hint = "从网页进程的环境中去掉 WORKER_KEY_FILE、MERCHANT_KEY_PASSWORD，只留给工作进程"
        found.append(_finding("E009", "网页进程能打开商户密钥", hint))
    if web and _may_read_any(settings.MERCHANT_KEYS_DIR):
        hint = "让 MERCHANT_KEYS_DIR 只属于工作进程的系统账号（chmod 700），或改为在后台上传密钥"
        found.append(_finding("E010", "网页进程读得到商户密钥文件", hint))
    if settings.NOTARY_KEY_FILE and os.access(settings.NOTARY_KEY_FILE, os.R_OK):
        hint = "从其他进程的环境中去掉 NOTARY_KEY_FILE；文件只给签名进程的系统账号（chmod 600）"
        found.append(_finding("E014", "签名进程（notary）之外的进程读得到留痕的签名密钥", hint))
    unmet = [one for one in found if isinstance(one, Error)]
    if unmet:
        # One list: the lines of the policy stop a process on their own, and on record, elsewhere.
        raise ImproperlyConfigured("\n".join(_in_groups([*unmet, *policy_within_its_lines()])))


def _databases() -> Iterator[dict[str, Any]]:
    """Yield each as it is spoken to."""
    yield from settings.DATABASES.values()
    yield direct.past_poolers(settings.DATABASES["default"], settings.DATABASE_DIRECT)


def _in_groups(unmet: Sequence[CheckMessage]) -> Iterator[str]:
    """Yield every duty that is not met under its heading, with its remedy."""
    yield f"还不能以 DEPLOY_LEVEL=3 运行，共 {len(unmet)} 项，全部处理后再启动："
    for heading, idents in _GROUPS.items():
        of_it = [one for one in unmet if (one.id in idents) or (not idents and _is_other(one))]
        if of_it:
            yield f"【{heading}】"
        yield from (f"{one.id} {one.msg}。处理：{one.hint}" for one in of_it)


def _is_other(one: CheckMessage) -> bool:
    return not any(one.id in idents for idents in _GROUPS.values())


def _missing_of(provider: str) -> list[str]:
    return [
        " 或 ".join(names)
        for names in PROVIDERS[provider]
        if not any(getattr(settings, name) for name in names)
    ]


def _hint_about_provider() -> str:
    if settings.KEY_PROVIDER not in PROVIDERS:
        return f"KEY_PROVIDER 只能是 {'、'.join(PROVIDERS)}"
    return f"设置 {'、'.join(_missing_of(settings.KEY_PROVIDER))}"


def _is_everywhere(networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    """Whether they are all there is, of either family, in however many parts."""
    old = collapse_addresses(one for one in networks if isinstance(one, IPv4Network))
    new = collapse_addresses(one for one in networks if isinstance(one, IPv6Network))
    return any(not one.prefixlen for one in old) or any(not one.prefixlen for one in new)


def _is_ledger_apart() -> bool:
    """Whether what puts a database back, or is taken for it, leaves the ledger as it is."""
    ledger = settings.DATABASES.get("ledger")
    if ledger is None:
        return not settings.ERASURE_LEDGER.resolve().is_relative_to(settings.VAR_DIR.resolve())
    others = [_place(one) for one in _databases() if one is not ledger]
    return ledger["ENGINE"].endswith("postgresql") and _place(ledger) not in others


def _place(named: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return which database it is, however its URL is written."""
    options = named.get("OPTIONS", {})
    host = str(named.get("HOST") or options.get("host", "")).lower()
    return host, str(named.get("PORT") or "5432"), str(named.get("NAME", ""))


def _may_read_any(directory: Path) -> bool:
    try:
        return any(os.access(path, os.R_OK) for path in directory.iterdir() if path.is_file())
    except OSError:  # not there, or not for us to look into
        return False
