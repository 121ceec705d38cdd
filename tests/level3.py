"""`manage.py` as a level-3 installation would run it, with throwaway secrets and no services."""

import base64
import os
import secrets
import sys
import tempfile
from pathlib import Path

# Public keys of age, of nobody.
_RECIPIENTS = (
    "age1279jq4dycca0c8fxhv908gq9ztrnrhclvdv5c96jf7jgjkqclerszpcyx8",
    "age1xaumx8u68kcxze2patlu9gmg7gcrxmxzwa996s8c048k5qj4v5rsww80pj",
)
ROOT = Path(__file__).resolve().parents[1]


def environment(var: str) -> dict[str, str]:
    return {
        "DJANGO_SETTINGS_MODULE": "hospital.settings",
        "VAR_DIR": var,
        "DEPLOY_LEVEL": "3",
        "SECRET_KEY": secrets.token_urlsafe(64),
        "AUDIT_MAC_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
        "DATABASE_URL": "postgres://hospital@127.0.0.1:1/hospital?sslmode=verify-full",
        "BROKER_URL": "amqps://hospital@127.0.0.1:1//",
        "CACHE_URL": "rediss://127.0.0.1:1/1",
        "ALLOWED_HOSTS": "jiandang.hospital.invalid",
        "ADMIN_NETWORKS": "10.20.0.0/16",
        "ACCEPT_FILE_KEYS": "1",
        "ERASURE_LEDGER": f"{var}-ledger/erasures.jsonl",
        "BACKUP_RECIPIENTS_FIRST": _RECIPIENTS[0],
        "BACKUP_RECIPIENTS_SECOND": _RECIPIENTS[1],
    }


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    with tempfile.TemporaryDirectory() as var:
        os.environ.update(environment(var))
        from django.core.management import execute_from_command_line

        execute_from_command_line(["manage.py", *sys.argv[1:]])
