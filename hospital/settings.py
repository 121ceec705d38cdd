"""
Every choice is an environment variable; a secret may also come as NAME_FILE.

A missing value stops the start. An unsafe one is a system check (`hospital.checks`).
The default of `DEPLOY_LEVEL` is the strict one: only `make demo` and tests relax it.
"""

import gc
import ssl
from datetime import date
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import django_stubs_ext
import environ
import structlog
from celery.schedules import crontab
from kombu import Queue

from hospital.parameters import PARAMETERS
from hospital.redaction import frames_only

gc.disable()  # until all is loaded, which stays (`hospital.apps`): a quarter of a start otherwise
django_stubs_ext.monkeypatch()  # lets annotations like ModelAdmin[Store] exist at run time

env = environ.FileAwareEnv()

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = Path(env("VAR_DIR", default=str(BASE_DIR / "var")))

# "3": 等保三级, every floor is a start-up error. "demo": says what is relaxed.
DEPLOY_LEVEL = env("DEPLOY_LEVEL", default="3")
HOSPITAL_NAME = env("HOSPITAL_NAME", default="本院")
# How patients reach who is responsible for personal data: told on /privacy and in the notice.
PRIVACY_CONTACT = env("PRIVACY_CONTACT", default="")
# 院区: code=name,code=name. A registrar sees their own only. A code stays what it is for ever.
CAMPUSES = env.dict("CAMPUSES", default={"main": HOSPITAL_NAME})
# Days off besides weekends, as 2026-10-01: what is due on the next working day is not due then.
HOLIDAYS = frozenset(map(date.fromisoformat, env.list("HOLIDAYS", default=[])))
WORKDAYS = frozenset(map(date.fromisoformat, env.list("WORKDAYS", default=[])))

SECRET_KEY = env("SECRET_KEY")
DEBUG = False
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
# Proxies in front of us whose X-Forwarded-For entry we count back over. 0: none is believed.
TRUSTED_PROXIES = env.int("TRUSTED_PROXIES", default=0)
# From where staff may come, as 10.20.0.0/16; with none, from anywhere (a check refuses it).
ADMIN_NETWORKS = [ip_network(one) for one in env.list("ADMIN_NETWORKS", default=[])]

INSTALLED_APPS = [
    "hospital.apps.HospitalConfig",
    "hospital.apps.HospitalAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "csp",
    "axes",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "hospital.crypto.apps.CryptoConfig",
    "hospital.audit.apps.AuditConfig",
    "hospital.accounts.apps.AccountsConfig",
    "hospital.patients.apps.PatientsConfig",
    "hospital.privacy.apps.PrivacyConfig",
    "hospital.his.apps.HisConfig",
    "devices.apps.DevicesConfig",
    "faceauth.apps.FaceauthConfig",
    "hospital.backup.apps.BackupConfig",
    "hospital.compliance.apps.ComplianceConfig",
    "hospital.operations.apps.OperationsConfig",
]

MIDDLEWARE = [
    "hospital.tracing.RequestTrace",
    "hospital.metrics.http.Before",
    "hospital.draining.Draining",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "hospital.content_policy.ContentPolicy",
    "hospital.content_policy.Isolation",
    "hospital.privacy.erasing.gate.UnreplayedGate",
    "hospital.accounts.addresses.AdminNetworks",
    "hospital.accounts.middleware.IdleSession",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "hospital.accounts.middleware.ShutDoors",
    "hospital.accounts.middleware.LiveSession",
    "allauth.account.middleware.AccountMiddleware",
    "hospital.accounts.second_factor.BeforeAnyPage",
    "hospital.accounts.middleware.DuePassword",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "hospital.metrics.http.After",
]

ROOT_URLCONF = "hospital.urls"
WSGI_APPLICATION = "hospital.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "accounts.Staff"
LOGIN_URL = "admin:login"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "hospital.apps.relaxations",
                "hospital.audit.banners.shown",
            ],
        },
    },
]

# Databases. SQLite is the embedded default for a first run; production is PostgreSQL.
DATABASE_POOL = env.int("DATABASE_POOL", default=20)
OWN_ENGINES = {"django.db.backends.postgresql": "hospital.postgresql"}


def _database(url: dict[str, Any], *, is_seldom_asked: bool = False) -> dict[str, Any]:
    """Return what `env.db` made of a URL, with the options its engine needs."""
    if url["ENGINE"].endswith("sqlite3"):
        options = {
            # IMMEDIATE: a transaction that will write takes the lock at once, instead of
            # failing half-way when another writer was faster.
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            # FULL: what was answered 202 survives the power, not only the process.
            # secure_delete: what is dropped (a pending face_sid) leaves no page behind.
            "init_command": (
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; "
                "PRAGMA foreign_keys=ON; PRAGMA secure_delete=ON;"
            ),
        }
        return {**url, "OPTIONS": options}
    pool = {"min_size": 1, "max_size": DATABASE_POOL, "timeout": 10}
    # A server that is gone without a word (its power) is noticed in half a minute, not hours.
    alive = {
        "keepalives_idle": 10,  # seconds
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 25_000,  # milliseconds
    }
    # Of the statements that ask for it (`hospital.statements`), what comes often is planned once.
    prepared = {"prepare_threshold": 3}
    if is_seldom_asked:  # by one thread of a process, and the others wait for what it hears
        alive |= {"connect_timeout": 3, "tcp_user_timeout": 3_000}
        brief = {"options": "-c statement_timeout=3s"}
        return {**url, "OPTIONS": {**alive, **brief, **url.get("OPTIONS", {})}}
    return {
        **url,
        "ENGINE": OWN_ENGINES.get(url["ENGINE"], url["ENGINE"]),
        "CONN_HEALTH_CHECKS": True,  # the server may have restarted
        "OPTIONS": {**alive, **prepared, **url.get("OPTIONS", {}), "pool": pool},
    }


DATABASES = {
    "default": _database(env.db("DATABASE_URL", default=f"sqlite:///{VAR_DIR}/hospital.sqlite3"))
}
# Where to find its server itself, if DATABASE_URL names a pooler: host or host:port (`direct`).
DATABASE_DIRECT = env("DATABASE_DIRECT", default="")
DATABASE_ROUTERS: list[str] = []
# The key tables may live on a database of their own, whose backups end sooner.
if KEYS_DATABASE_URL := env("KEYS_DATABASE_URL", default=""):
    DATABASES["keys"] = _database(env.db("KEYS_DATABASE_URL"))
    DATABASE_ROUTERS.append("hospital.crypto.routing.KeyTables")
# Who was forgotten, where several hosts share no disk: on one that no backup puts back.
if LEDGER_DATABASE_URL := env("LEDGER_DATABASE_URL", default=""):
    DATABASES["ledger"] = _database(env.db("LEDGER_DATABASE_URL"), is_seldom_asked=True)
    DATABASE_ROUTERS.append("hospital.privacy.erasing.routing.LedgerTable")

# Who signs the certificates of broker and cache, instead of the system's authorities.
SERVICES_CA = env("SERVICES_CA", default="") or None

# Nonces, throttles and sealed authinfo. Shared by every process, so never LocMem.
CACHES = {"default": env.cache("CACHE_URL", default="dbcache://cache")}
if CACHES["default"]["BACKEND"].endswith("DatabaseCache"):
    # Past this number what expired is removed. With so rare a cull nothing else ever is: a
    # nonce that is still valid must not be forgotten.
    CACHES["default"]["OPTIONS"] = {"MAX_ENTRIES": 20_000, "CULL_FREQUENCY": 2**31}
elif CACHES["default"]["BACKEND"].endswith("RedisCache"):
    CACHES["default"]["BACKEND"] = "hospital.caching.RedisCache"
    if SERVICES_CA:
        CACHES["default"].setdefault("OPTIONS", {})["ssl_ca_certs"] = SERVICES_CA

# The security policy: each within its line, or nothing starts (`hospital.parameters`).
POLICY = {one.key: env.int(one.key, default=one.default) for one in PARAMETERS}

# Passwords and sessions.
AUTHENTICATION_BACKENDS = ["hospital.accounts.signing_in.Passwords"]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.ScryptPasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "hospital.accounts.passwords.Long"},
    {"NAME": "hospital.accounts.passwords.Varied"},
    {"NAME": "hospital.accounts.passwords.NotTheirName"},
    {"NAME": "hospital.accounts.commonness.NotCommon"},
    {"NAME": "hospital.accounts.passwords.NotUsedBefore"},
]
# How long a row lives after the last click; when a login ends the policy says
# (`hospital.accounts.sessions`), and says so in the trail, for which it has to be there still.
SESSION_COOKIE_AGE = 12 * 3600  # seconds
SESSION_SAVE_EVERY_REQUEST = True
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Strict"
CSRF_COOKIE_HTTPONLY = True
# Guessing (`hospital.accounts.lockout`): the counter, its rows and limits are ours.
AXES_HANDLER = "hospital.accounts.lockout.Counter"
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
SILENCED_SYSTEM_CHECKS = [
    "axes.W002",  # its middleware tells who is locked out; ours are told what others are
    "axes.W003",  # its backend asks before the others; ours asks by itself
]
# Plain http is for a demo on the loopback only; a check refuses it at level 3.
HTTPS_ONLY = env.bool("HTTPS_ONLY", default=True)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS_ONLY
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS_ONLY else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS_ONLY
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
# The probes of a load balancer, and of monitoring, come from inside and in plain http.
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 64 * 1024  # bytes; an API body is never larger
FILE_UPLOAD_HANDLERS = ["hospital.uploads.InMemory"]  # what is uploaded is a key: never a file
FILE_UPLOAD_MAX_MEMORY_SIZE = 64 * 1024  # bytes; more is refused

# Logging in: a password, then a second factor (allauth's tables and checks, our own pages).
ACCOUNT_ADAPTER = "hospital.accounts.adapter.NoSignUp"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*"]
ACCOUNT_USER_MODEL_EMAIL_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "none"
MFA_ADAPTER = "hospital.accounts.adapter.SecondFactors"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_TOTP_TOLERANCE = 1  # steps of 30 s: people type slowly, and phones drift

# Language, time, static files.
LANGUAGE_CODE = "zh-hans"
TIME_ZONE = "Asia/Shanghai"
USE_I18N = True
USE_TZ = True
STATIC_URL = "static/"
STATIC_ROOT = Path(env("STATIC_ROOT", default=str(VAR_DIR / "static")))
STATICFILES_DIRS = [("hospital", BASE_DIR / "templates" / "assets")]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

# The terminals' API.
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["devices.authentication.TerminalSignature"],
    "DEFAULT_PERMISSION_CLASSES": ["devices.authentication.IsTerminal"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["hospital.api.ObjectParser"],
    "DEFAULT_THROTTLE_CLASSES": ["devices.throttling.TerminalThrottle"],
    "DEFAULT_THROTTLE_RATES": {
        "terminal": env("TERMINAL_RATE", default="240/min"),
        "activation": "20/min",
    },
    "EXCEPTION_HANDLER": "hospital.api.problem",
    "DEFAULT_SCHEMA_CLASS": "hospital.schema.Schema",
    "UNAUTHENTICATED_USER": None,
    "NUM_PROXIES": TRUSTED_PROXIES,
}
# What the admin calls an outdated terminal ("": none is) and one whose clock drifts.
OLDEST_AGENT_VERSION = env("OLDEST_AGENT_VERSION", default="")
CLOCK_DRIFT = env.float("CLOCK_DRIFT", default=30)  # seconds
LONG_POLLS = env.int("LONG_POLLS", default=48)  # at once in one process
SPECTACULAR_SETTINGS = {
    "TITLE": "刷脸实名建档 终端接口",
    "DESCRIPTION": "终端领取调用凭证、提交刷脸结果、查询建档进度。每个请求按 RFC 9421 签名。",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "hospital.schema.share",
    ],
    "SWAGGER_UI_DIST": "SIDECAR",  # nothing is fetched from elsewhere
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    # No validator of somebody else's; and no trying out: a browser has no terminal's key.
    "SWAGGER_UI_SETTINGS": {"validatorUrl": None, "supportedSubmitMethods": []},
    "ENUM_NAME_OVERRIDES": {
        "FaceSessionState": "faceauth.models.FaceSession.State",
        "FaceSessionKind": "faceauth.models.FaceSession.Kind",
        "SDKFlag": ["0", "1"],  # what the SDK takes for no and yes
    },
    "APPEND_COMPONENTS": {
        "securitySchemes": {
            "terminalSignature": {
                "type": "apiKey",
                "in": "header",
                "name": "Signature",
                "description": (
                    "HTTP Message Signatures（RFC 9421）。每个请求带三个头：Content-Digest"
                    "（RFC 9530，sha-256，GET 为空正文的摘要）、Signature-Input、Signature。"
                    '覆盖且仅覆盖 "@method" "@path" "@query" "content-digest"，依此顺序；'
                    'tag="face-terminal-v1"，并带 created（unix 秒）、nonce（16–128 字符，'
                    "只用一次）、keyid、alg（ecdsa-p256-sha256 或 ed25519）。"
                    "keyid 是公钥 DER SubjectPublicKeyInfo 的 SHA-256，base64url，无填充。"
                ),
            }
        }
    },
}

# Sealing (hospital.crypto).
CRYPTO_SUITE = env("CRYPTO_SUITE", default="aes-256-gcm")  # or sm4-gcm
KEY_PROVIDER = env("KEY_PROVIDER", default="file")
KEY_FILE = Path(env("KEY_FILE", default=str(VAR_DIR / "keys" / "root.key")))
ACCEPT_FILE_KEYS = env.bool("ACCEPT_FILE_KEYS", default=False)  # a risk somebody signed for
PKCS11_MODULE = env("PKCS11_MODULE", default="")  # path of the library that came with the token
PKCS11_TOKEN = env("PKCS11_TOKEN", default="")  # its label
PKCS11_PIN = env("PKCS11_PIN", default="").strip()  # a file ends with a newline
PKCS11_KEY = env("PKCS11_KEY", default="hospital-root")
VAULT_ADDR = env("VAULT_ADDR", default="")
# The file is read whenever the token is needed: an agent renews it.
VAULT_TOKEN_FILE = env("VAULT_TOKEN_FILE", default="")
VAULT_TOKEN = "" if VAULT_TOKEN_FILE else env("VAULT_TOKEN", default="")
VAULT_KEY = env("VAULT_KEY", default="hospital-root")
VAULT_MOUNT = env("VAULT_MOUNT", default="transit")
VAULT_NAMESPACE = env("VAULT_NAMESPACE", default="")
VAULT_CACERT = env("VAULT_CACERT", default="")
KEY_CACHE_SECONDS = env.int("KEY_CACHE_SECONDS", default=60)
ROOT_KEY_CACHE_SECONDS = env.int("ROOT_KEY_CACHE_SECONDS", default=3600)

# The trail (hospital.audit): base64 of 32 bytes, kept apart from the sealing keys.
AUDIT_MAC_KEY = env("AUDIT_MAC_KEY")
# The log over it: its name for ever, and the public keys of who signs and who cosigns it.
TRAIL_ORIGIN = env("TRAIL_ORIGIN", default="")
TRAIL_VERIFIERS = env.list("TRAIL_VERIFIERS", default=[])
# The notary's alone: no other process needs its key, or may have it.
NOTARY_KEY_FILE = env("NOTARY_KEY_FILE", default="")
# How far it has signed, and where it leaves copies: on disks the database's owner has no part in.
NOTARY_STATE = Path(env("NOTARY_STATE", default=str(VAR_DIR / "notary" / "signed")))
ANCHOR_FILE = env("ANCHOR_FILE", default="")
WITNESS_URL = env("WITNESS_URL", default="")
WITNESS_CA_FILE = env("WITNESS_CA_FILE", default="")
# Others it asks for something over a checkpoint: a time stamp (RFC 3161), a signature with SM2.
TIMESTAMP_URL = env("TIMESTAMP_URL", default="")
TIMESTAMP_CA = env("TIMESTAMP_CA", default="")
COUNTERSIGN_COMMAND = env("COUNTERSIGN_COMMAND", default="")
COUNTERSIGN_PUBLIC_KEY = env("COUNTERSIGN_PUBLIC_KEY", default="")
# How far `verifyaudit --incremental` has come.
VERIFIED_STATE = Path(env("VERIFIED_STATE", default=str(VAR_DIR / "notary" / "verified")))
# Where a worker makes a copy of the trail, before it is in the database: each host has its own.
EXPORTS_DIR = Path(env("EXPORTS_DIR", default=str(VAR_DIR / "exports")))
# Old events: archived after so many days, and only after so many months, if two people want it,
# removed. A hold on them, for an investigation, keeps them for as long as it is set.
ARCHIVE_DIR = Path(env("ARCHIVE_DIR", default=str(VAR_DIR / "archive")))
TRAIL_HOT_DAYS = env.int("TRAIL_HOT_DAYS", default=200)
TRAIL_KEEP_MONTHS = env.int("TRAIL_KEEP_MONTHS", default=36)
TRAIL_HOLD = env.bool("TRAIL_HOLD", default=False)
# Who was forgotten, one line each: on a disk that is not restored together with a database. Not
# asked for with LEDGER_DATABASE_URL, where the lines are rows.
ERASURE_LEDGER = Path(env("ERASURE_LEDGER", default=str(VAR_DIR / "erasures.jsonl")))
# Backups: sealed to public keys of age, to one of each group at once. Who took over a server can
# read none. They end when those who were erased were told they would, those with keys sooner.
BACKUP_DIR = Path(env("BACKUP_DIR", default=str(VAR_DIR / "backups")))
BACKUP_RECIPIENTS_FIRST = env.list("BACKUP_RECIPIENTS_FIRST", default=[])
BACKUP_RECIPIENTS_SECOND = env.list("BACKUP_RECIPIENTS_SECOND", default=[])
BACKUP_KEEP_DAYS = env.int("BACKUP_KEEP_DAYS", default=35)
BACKUP_KEYS_KEEP_DAYS = env.int("BACKUP_KEYS_KEEP_DAYS", default=30)
# Where pg_dump and pg_restore are; "": in PATH.
BACKUP_PG_BIN = env("BACKUP_PG_BIN", default="")
# The forwarder's: the log server that gets each sealed line, by syslog over TLS.
FORWARD_ADDRESS = env("FORWARD_ADDRESS", default="")
FORWARD_CA = env("FORWARD_CA", default="")
FORWARD_CERTIFICATE = env("FORWARD_CERTIFICATE", default="")
FORWARD_KEY_FILE = env("FORWARD_KEY_FILE", default="")
FORWARD_ENTERPRISE = env.int("FORWARD_ENTERPRISE", default=32473)  # documentation's, RFC 5612
# Who else may be connected to, as host or host:port, besides WeChat and whom other settings name
# (`hospital.egress`): the signing service of a 服务商. A demo's WeChat is on this machine.
EGRESS_ALLOW = env.list(
    "EGRESS_ALLOW", default=["127.0.0.1", "localhost"] if DEPLOY_LEVEL == "demo" else []
)
# A directory in which the processes of one web keep their figures, empty at its start; read by
# prometheus_client itself, in the environment. "": each keeps its own.
PROMETHEUS_MULTIPROC_DIR = env("PROMETHEUS_MULTIPROC_DIR", default="")
# Who may read /metrics; without one there is no such page.
METRICS_TOKEN = env("METRICS_TOKEN", default="").strip()  # a file ends with a newline

# WeChat: a merchant's keys are sealed to the worker. The web knows the public half; the other
# belongs in the worker's environment alone.
WORKER_PUBLIC_KEY_FILE = env("WORKER_PUBLIC_KEY_FILE", default="")
WORKER_KEY_FILE = env("WORKER_KEY_FILE", default="")
# Or they are files a Merchant names; for the worker alone, like the password of such files.
MERCHANT_KEYS_DIR = Path(env("MERCHANT_KEYS_DIR", default=str(VAR_DIR / "merchant")))
MERCHANT_KEY_PASSWORD = env("MERCHANT_KEY_PASSWORD", default="")

# The hospital's own system, which is told of patients in HL7 FHIR R4. "": none is, of anybody.
HIS_FHIR_URL = env("HIS_FHIR_URL", default="")
# The URI within which our patient numbers are unique: it tells them from everybody else's.
HIS_IDENTIFIER_SYSTEM = env("HIS_IDENTIFIER_SYSTEM") if HIS_FHIR_URL else ""
HIS_TOKEN = env("HIS_TOKEN", default="").strip()  # a file ends with a newline
HIS_CA_FILE = env("HIS_CA_FILE", default="")
# Seconds for one patient; a worker has each for half a minute.
HIS_TIMEOUT = min(env.float("HIS_TIMEOUT", default=10), 20)

# In this time what a request or a task has read is written back, or never: it waits for nothing
# longer than that (WeChat and the HIS 20 s, a connection 10 s). Celery stops none of its threads.
IN_HAND_SECONDS = 60

# The broker only wakes workers; what is to be done is in the database.
CELERY_BROKER_URL = env("BROKER_URL", default="filesystem://")
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True  # bounded: the session row counts attempts
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = TIME_ZONE
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # for as long as it takes
# Where messages wait. Not Celery's own name: a queue that is there once stays what it is.
CELERY_TASK_DEFAULT_QUEUE = env("BROKER_QUEUE", default="hospital")
# A request waits for the broker no longer than this, and the sweeper finds what was not published.
# Who works (workers, beat) has more patience.
CELERY_BROKER_CONNECTION_TIMEOUT = 0.4  # seconds
BROKER_PATIENCE = 4.0  # seconds
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 0}
if CELERY_BROKER_URL.startswith("amqps"):
    # None becomes the host's name. Without it any name would do that some authority signed for.
    CELERY_BROKER_USE_SSL = {
        "server_hostname": None,
        "cert_reqs": ssl.CERT_REQUIRED,
        "ca_certs": SERVICES_CA,
    }
elif CELERY_BROKER_URL.startswith("rediss"):
    CELERY_BROKER_USE_SSL = {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_ca_certs": SERVICES_CA}
if CELERY_BROKER_URL.startswith("filesystem"):
    CELERY_BROKER_TRANSPORT = "hospital.broker:Transport"
    CELERY_BROKER_TRANSPORT_OPTIONS = PATIENT_TRANSPORT_OPTIONS = {
        "data_folder_in": str(VAR_DIR / "broker"),
        "data_folder_out": str(VAR_DIR / "broker"),
        "control_folder": str(VAR_DIR / "broker-control"),
        "polling_interval": 0.1,  # seconds
    }
elif CELERY_BROKER_URL.startswith("redis"):
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        # Longer than any task takes, or it is handed out again while it is at work. What a dead
        # worker held is due in the database long before.
        "visibility_timeout": 600,
        # Every second look, instead of one in ten every ten seconds.
        "unacked_restore_interval": 2,
        "unacked_restore_throttle": 1,
        "socket_keepalive": True,
        "health_check_interval": 5,
        "socket_timeout": CELERY_BROKER_CONNECTION_TIMEOUT,
        "socket_connect_timeout": CELERY_BROKER_CONNECTION_TIMEOUT,
    }
    PATIENT_TRANSPORT_OPTIONS = CELERY_BROKER_TRANSPORT_OPTIONS | {
        "socket_timeout": BROKER_PATIENCE,  # more than the second for which a worker asks
        "socket_connect_timeout": BROKER_PATIENCE,
    }
else:
    CELERY_BROKER_TRANSPORT = "hospital.broker:RabbitMQ"
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "confirm_publish": True,  # without it what a broker lost was never missed
        # A RabbitMQ that hangs, or blocks publishers, would keep whoever publishes for ever.
        "read_timeout": CELERY_BROKER_CONNECTION_TIMEOUT,
        "write_timeout": CELERY_BROKER_CONNECTION_TIMEOUT,
    }
    PATIENT_TRANSPORT_OPTIONS = CELERY_BROKER_TRANSPORT_OPTIONS | {
        "read_timeout": BROKER_PATIENCE,
        "write_timeout": BROKER_PATIENCE,
    }
    # On a majority of the nodes' disks. The limits bound what piles up while nobody works, and
    # how often a message is handed out that kills whoever takes it: the rows stay due.
    CELERY_TASK_QUEUES = [
        Queue(
            CELERY_TASK_DEFAULT_QUEUE,
            queue_arguments={
                "x-queue-type": "quorum",
                "x-delivery-limit": 10,
                "x-message-ttl": 600_000,  # milliseconds
            },
        )
    ]
    # A worker's mailbox. Were it its connection's alone, one whose connection went dead without the
    # broker being told could not start again under its name until the broker missed it: minutes.
    CELERY_CONTROL_QUEUE_EXCLUSIVE = False
    CELERY_CONTROL_QUEUE_DURABLE = True  # newer brokers have no others; gone 10 s after its worker
    CELERY_WORKER_CONSUMER = "hospital.broker:Consumer"
    CELERY_WORKER_DETECT_QUORUM_QUEUES = True  # they know no prefetch count for a whole channel
# A worker that took nothing for so long, though it could and something was there, begins anew.
WATCHDOG_SECONDS = env.float("WATCHDOG_SECONDS", default=6)  # 0: it does not
WATCHDOG_DUE = env.float("WATCHDOG_DUE", default=10)  # seconds a session is due that nobody took
CELERY_BEAT_SCHEDULER = "hospital.beating:OneOfMany"
# Seconds for which a beat may reach no broker before it lets another try.
BEAT_PATIENCE = env.float("BEAT_PATIENCE", default=15)
# What nobody took is out of date when it is sent again; but hosts' clocks are seconds apart.
EXPIRES_AT_LEAST = 10.0
CELERY_BEAT_SCHEDULE = {
    name: {
        "task": task,
        "schedule": seconds,
        "options": {"expires": max(seconds, EXPIRES_AT_LEAST)},
    }
    for name, task, seconds in (
        ("wake-due-sessions", "faceauth.tasks.wake_due", 1.0),
        ("expire-sessions", "faceauth.tasks.expire", 30.0),
        ("note-life", "hospital.operations.tasks.note_life", 5.0),
        # Said once a day; asked every hour, so that a beat that starts anew misses no day.
        ("warn-of-expiry", "faceauth.tasks.warn_of_expiry", 3600.0),
        ("note-silence", "devices.tasks.note_silence", 60.0),
        # What lives for minutes or hours at most: asked every minute, gone with the next.
        ("sweep-artefacts", "hospital.privacy.tasks.sweep_artefacts", 60.0),
        ("sweep-retention", "hospital.privacy.tasks.sweep_retention", 3600.0),
        ("erase", "hospital.privacy.tasks.erase", 30.0),
        ("clear-sessions", "hospital.accounts.tasks.clear_sessions", 3600.0),
        ("forget-tries", "hospital.accounts.tasks.forget_tries", 3600.0),
        ("attend-to-emergencies", "hospital.accounts.tasks.attend_to_emergencies", 30.0),
        ("sweep-exports", "hospital.audit.tasks.sweep_exports", 15.0),
        ("watch-the-trail", "hospital.audit.tasks.watch", 60.0),
        ("attend-to-proposals", "hospital.audit.tasks.attend_to_proposals", 60.0),
        # The week that ended; asked every hour, so that a Monday without a beat loses none.
        ("analyse-the-week", "hospital.audit.tasks.analyse", 3600.0),
        ("attend-to-incidents", "hospital.privacy.tasks.attend_to_incidents", 60.0),
        # Ends with a day: asked every hour, so that a beat that starts anew misses none.
        ("attend-to-rights", "hospital.privacy.tasks.attend_to_rights", 3600.0),
        ("attend-to-assessments", "hospital.privacy.tasks.attend_to_assessments", 3600.0),
    )
}
if HIS_FHIR_URL:
    CELERY_BEAT_SCHEDULE["send-handoffs"] = {
        "task": "hospital.his.tasks.send_due",
        "schedule": 5.0,
        "options": {"expires": EXPIRES_AT_LEAST},
    }
CELERY_BEAT_SCHEDULE["stop-dormant-accounts"] = {
    "task": "hospital.accounts.tasks.stop_dormant",
    "schedule": crontab(hour=1, minute=10),
    "options": {"expires": 3600},
}
CELERY_BEAT_SCHEDULE["look-for-privilege"] = {
    "task": "hospital.accounts.tasks.look_for_privilege",
    "schedule": crontab(hour=1, minute=30),
    "options": {"expires": 3600},
}
CELERY_BEAT_SCHEDULE["look-over-the-policy"] = {
    "task": "hospital.accounts.tasks.look_over_policy",
    "schedule": crontab(hour=1, minute=20),
    "options": {"expires": 3600},
}
CELERY_BEAT_SCHEDULE["look-over-retention"] = {
    "task": "hospital.privacy.tasks.look_over_retention",
    "schedule": crontab(hour=1, minute=25),
    "options": {"expires": 3600},
}
CELERY_BEAT_SCHEDULE["verify-nightly"] = {
    "task": "hospital.audit.tasks.verify_nightly",
    "schedule": crontab(hour=2, minute=30),
    "options": {"expires": 3600},
}
CELERY_BEAT_SCHEDULE["count-people"] = {
    "task": "hospital.privacy.tasks.count_people",
    "schedule": crontab(hour=1, minute=40),
    "options": {"expires": 3600},
}

# Logs: one JSON line each, ids only. httpx would log the URL that carries a face_sid.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {
            "()": structlog.stdlib.ProcessorFormatter,
            "processors": [
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(ensure_ascii=False),
            ],
            "foreign_pre_chain": [
                structlog.contextvars.merge_contextvars,
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                frames_only,
            ],
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"handlers": ["stderr"], "level": env("LOG_LEVEL", default="INFO")},
    "loggers": {
        "httpx": {"level": "WARNING"},
        "httpcore": {"level": "WARNING"},
        # Its message would quote the raw path; RequestTrace logs the route and the frames.
        "django.request": {"level": "CRITICAL"},
        "django.security": {"level": "CRITICAL"},  # would quote a forged Host header
        "health_check": {"level": "ERROR"},  # else a line for each probe while somebody is away
        "kombu.connection": {"level": "ERROR"},  # warns that a folder has no host name
        "fido2": {"level": "WARNING"},  # names every key that signs
        "axes": {"level": "CRITICAL"},  # would quote what was typed
        "celery.app.trace": {"level": "WARNING"},
        "celery.beat": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
    },
}
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        frames_only,
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
    cache_logger_on_first_use=True,
)
