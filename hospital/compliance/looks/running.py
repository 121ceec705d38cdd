"""How it runs: GB/T 22239-2019 8.1.4.4, 8.1.4.7, 8.1.4.9, 8.1.5.4."""

from datetime import datetime
from importlib.util import find_spec
from typing import Final

from django.conf import settings
from django.utils import timezone

from hospital import checks
from hospital.backup import standing
from hospital.compliance.seen import Seen, all_of, duty, met_if

# What belongs on no server: tools to write, try and look into it.
_TOOLS: Final = ("pytest", "mypy", "debug_toolbar", "django_extensions", "IPython", "flower")
_LIMIT: Final = 64 * 1024  # bytes of a body


def level(_at: datetime) -> Seen:
    unmet = [f"{found.id} {found.msg}（{found.hint}）" for found in checks.production()]
    return met_if(
        not unmet, "；".join(unmet) or f"DEPLOY_LEVEL={settings.DEPLOY_LEVEL}，各项均满足"
    )


def least_installed(_at: datetime) -> Seen:
    there = [one for one in _TOOLS if find_spec(one)]
    return all_of(
        (
            (not settings.DEBUG, "DEBUG 打开", "关闭"),
            (not there, f"装有开发工具：{'、'.join(there)}", "只安装 requirements.txt"),
        ),
        told="没有开发工具，DEBUG 关闭；物料清单见 sbom.json",
    )


def networks(_at: datetime) -> Seen:
    where = "、".join(map(str, settings.ADMIN_NETWORKS))
    return met_if(bool(where), f"管理端只能从 {where} 登录" if where else "没有设置 ADMIN_NETWORKS")


def bodies(_at: datetime) -> Seen:
    parsers = settings.REST_FRAMEWORK["DEFAULT_PARSER_CLASSES"]
    return all_of(
        (
            (settings.DATA_UPLOAD_MAX_MEMORY_SIZE <= _LIMIT, "请求正文上限超过 64 KiB", ""),
            (parsers == ["hospital.api.ObjectParser"], "接口接受 JSON 对象以外的内容", ""),
            (settings.FILE_UPLOAD_HANDLERS == ["hospital.uploads.InMemory"], "上传会写文件", ""),
        ),
        told="正文不超过 64 KiB，只接受规定字段的 JSON；上传只在内存中，用于密钥和证书",
    )


def dependencies(_at: datetime) -> Seen:
    return duty("由流水线运行 pip-audit 和镜像扫描；收集证据时用 --dependency-audit 附上报告")


def database_apart(_at: datetime) -> Seen:
    options = settings.DATABASES["default"].get("OPTIONS", {})
    is_checked = options.get("sslmode") == "verify-full"
    is_postgresql = settings.DATABASES["default"]["ENGINE"].endswith("postgresql")
    return all_of(
        (
            (is_postgresql, "数据库不是 PostgreSQL", "DATABASE_URL"),
            (is_checked, "与数据库的连接没有校验证书", "DATABASE_URL 加 sslmode=verify-full"),
        ),
        told="到数据库的连接加密并校验证书",
    )


def broker_and_cache(_at: datetime) -> Seen:
    broker, cache = settings.CELERY_BROKER_URL, settings.CACHES["default"]
    is_broker = broker.startswith(("amqps://", "rediss://"))
    where = str(cache.get("LOCATION", ""))
    is_cache = where.startswith("rediss://") or cache["BACKEND"].endswith("DatabaseCache")
    return all_of(
        (
            (is_broker, "到消息队列的连接没有加密", "BROKER_URL=amqps://… 或 rediss://…"),
            (is_cache, "到缓存的连接没有加密", "CACHE_URL=rediss://…"),
            (settings.CELERY_TASK_IGNORE_RESULT, "任务结果会留在队列", ""),
        ),
        told="队列和缓存加密传输；任务只带编号，不留结果",
    )


def backup(at: datetime) -> Seen:
    stands = standing.standing(at)
    if not stands.is_configured:
        return duty("未设置备份公钥：须另备加密的全量备份，按季度演练，恢复后运行 replayerasures")
    made, drilled = (
        f"{timezone.localtime(one):%Y-%m-%d %H:%M}" if one else "从未"
        for one in (stands.made_at, stands.drilled_at)
    )
    return all_of(
        (
            (
                not stands.is_late,
                f"最近一次备份：{made}",
                "每天运行 manage.py backup（容器：docker compose run --rm backup）",
            ),
            (not stands.is_drill_due, f"最近一次恢复演练：{drilled}", "每季度运行 drillrestore"),
        ),
        told=f"每天备份，两组人的私钥才能打开；最近备份 {made}，最近演练 {drilled}",
    )


def monitored(_at: datetime) -> Seen:
    is_set = bool(settings.METRICS_TOKEN)
    detail = "/metrics 须持令牌读取" if is_set else "没有设置 METRICS_TOKEN，监测平台读不到指标"
    return met_if(is_set, detail)
