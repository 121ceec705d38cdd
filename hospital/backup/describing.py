"""What a database is, in numbers: told when it is copied, and compared when it is put back."""

from typing import Any, Final

from hospital.backup.engines import Snapshot
from hospital.backup.engines.ground import void

_TRAIL: Final = "SELECT size, root, note FROM audit_checkpoint ORDER BY size DESC LIMIT 1"


def described(snapshot: Snapshot) -> dict[str, Any]:
    """
    Return it as JSON has it.

    :return: `counts` of rows by table; `migrations` as `app.name`; and where there is a trail,
        `trail` and how much of the `ledger` of erasures is known
    """
    left_out = {*void()}
    tables = sorted(set(snapshot.tables()) - left_out)
    counts = {
        table: snapshot.rows(f'SELECT count(*) FROM "{table}"')[0][0]  # noqa: S608 (its own name)
        for table in tables
    }
    found: dict[str, Any] = {"server": snapshot.version, "counts": counts, "migrations": []}
    if "django_migrations" in counts:
        rows = snapshot.rows("SELECT app, name FROM django_migrations ORDER BY app, name")
        found["migrations"] = [f"{app}.{name}" for app, name in rows]
    if "audit_checkpoint" in counts:
        found["trail"] = _trail(snapshot, counts)
    if "privacy_ledgermark" in counts:
        mark = snapshot.rows("SELECT place, digest FROM privacy_ledgermark")
        place, digest = mark[0] if mark else (0, "")
        found["ledger"] = {"place": place, "digest": digest}
    return found


def _trail(snapshot: Snapshot, counts: dict[str, int]) -> dict[str, Any]:
    signed = snapshot.rows(_TRAIL)
    size, root, note = signed[0] if signed else (0, b"", "")
    return {
        "events": counts.get("audit_event", 0),
        "leaves": counts.get("audit_leaf", 0),
        "size": size,
        "root": bytes(root).hex(),
        "note": note,
    }
