"""The system checks in English, and Django's own in Chinese, by their ids: what is amiss, and what to do."""

# ruff: noqa: E501 (a table, one line each)

from typing import Final

_SOURCE: Final = (
    "the program's own source does not declare something",
    "this is a fault of the release: install the right one, or report it",
)
# fmt: off
ENGLISH: Final[dict[str, tuple[str, str]]] = {
    "hospital.E001": ("the database is not PostgreSQL", "set DATABASE_URL=postgres://…?sslmode=verify-full"),
    "hospital.E002": ("the broker is a demonstration's folder", "set BROKER_URL=amqps://… or rediss://…"),
    "hospital.E003": ("HTTPS is not enforced", "remove HTTPS_ONLY=0"),
    "hospital.E004": ("host names are not limited", "set ALLOWED_HOSTS"),
    "hospital.E005": ("DEPLOY_LEVEL is neither 3 nor demo", "use 3 in production"),
    "hospital.E006": ("SECRET_KEY is short", "at least 50 random characters"),
    "hospital.E007": ("the cache is not shared by all processes; replays are found by it", "set CACHE_URL=rediss://…"),
    "hospital.E008": ("the root key is in a file", "use a device or Vault; where a file has to do, assess the risk and set ACCEPT_FILE_KEYS=1"),
    "hospital.E009": ("the web can open merchant keys", "remove WORKER_KEY_FILE and MERCHANT_KEY_PASSWORD from its environment"),
    "hospital.E010": ("the web can read merchant key files", "give MERCHANT_KEYS_DIR to the worker's account alone (chmod 700)"),
    "hospital.E011": ("the root key's provider is unknown or incomplete", "see KEY_PROVIDER in docs/configuration.md"),
    "hospital.E012": ("Vault is spoken to in plain text", "set VAULT_ADDR=https://…"),
    "hospital.E014": ("a process other than the notary can read the log's key", "remove NOTARY_KEY_FILE from its environment (chmod 600)"),
    "hospital.E016": ("the trail is kept for less than six months", "set TRAIL_KEEP_MONTHS to 6 or more"),
    "hospital.E017": ("staff may come from anywhere", "set ADMIN_NETWORKS, as 10.20.0.0/16"),
    "hospital.E018": ("a variable sets the policy beyond its line", "remove it, or set a value within the line"),
    "hospital.E019": ("a policy was written past its page, beyond its line; it has no effect", "find out who changed the database, then set it anew on the page 安全策略"),
    "hospital.E020": ("TRUSTED_PROXIES is negative", "set the number of proxies in front, or 0"),
    "hospital.E030": ("the ledger of erasures lies beside the database", "set ERASURE_LEDGER to a file on another disk, or LEDGER_DATABASE_URL to another PostgreSQL database"),
    "hospital.E031": ("the HIS is spoken to in plain text", "set HIS_FHIR_URL=https://…"),
    "hospital.E032": ("a retention period was written past two people; it has no effect", "find out who changed the database, then apply anew on the page 保存期限"),
    "hospital.E033": ("PostgreSQL is spoken to in plain text, or is not verified", "add sslmode=verify-full to DATABASE_URL, KEYS_DATABASE_URL and LEDGER_DATABASE_URL"),
    "hospital.E034": ("the broker is spoken to in plain text, or is not verified", "set BROKER_URL=amqps://… or rediss://…"),
    "hospital.E035": ("the cache is spoken to in plain text, or is not verified", "set CACHE_URL=rediss://…"),
    "hospital.W013": ("the keys are in the patients' database", "set KEYS_DATABASE_URL to another server or database"),
    "audit.E001": _SOURCE,
    "audit.E002": ("a guard of the trail's tables is missing, changed or foreign", "see docs/audit-database.md; find out who did it"),
    "audit.E010": ("FORWARD_ENTERPRISE is not positive", "set the hospital's number from IANA"),
    "audit.E011": ("METRICS_TOKEN is short", "at least 32 random characters"),
    "audit.W010": ("the trail is forwarded under documentation's enterprise number", "set FORWARD_ENTERPRISE to the hospital's own"),
    "backup.E001": ("backups could be opened by one person, or a public key is none", "two groups of keys of two people; make them by createbackupkey"),
    "backup.E002": ("a backup is kept for longer or shorter than may be", "see BACKUP_KEEP_DAYS in docs/configuration.md"),
    "backup.W003": ("no backups are made", "set BACKUP_RECIPIENTS_FIRST and BACKUP_RECIPIENTS_SECOND"),
    "faceauth.E001": ("the merchant signs with MD5", "choose HMAC-SHA256"),
    "faceauth.E002": ("the merchant's address is not WeChat's", "a simulator is for demonstrations only"),
    "faceauth.W003": ("the merchant is incomplete", "complete it in the admin"),
    "faceauth.W004": ("a certificate of the merchant's ends soon", "upload the new one and its key in the admin"),
    "faceauth.W005": ("the 服务商's signing key is on this server", "use its signing service: that key can speak for all its hospitals"),
    "privacy.E001": _SOURCE, "privacy.E002": _SOURCE,
    **{f"compliance.E00{number}": _SOURCE for number in range(1, 5)},
    **{f"crypto.E{number:03}": _SOURCE for number in range(1, 14)},
    "crypto.E007": ("CRYPTO_SUITE is no supported suite", "aes-256-gcm or sm4-gcm"),
    "security.W009": ("SECRET_KEY is easy to guess", "at least 50 random characters, as docker/prepare.sh makes"),
    "crypto.E014": ("DEBUG is on where there is sealed data", "DEBUG = False"),
}
# Of Django's, those that nothing of ours says.
CHINESE: Final[dict[str, tuple[str, str]]] = {
    "security.W009": ("SECRET_KEY 容易猜到", "换成至少 50 个随机字符（docker/prepare.sh 会生成）"),
}
# fmt: on
