"""The table of the ledger of erasures: on its own database (`LEDGER_DATABASE_URL`), else nowhere."""

from typing import Any

from django.db import migrations

# No line is ever changed: not by its owner either, unless they take this down on purpose. Asked
# once a statement, so it knows of TRUNCATE as well; ALWAYS: in a replica's session, too.
_APPEND_ONLY = (
    "CREATE OR REPLACE FUNCTION erasure_ledger_kept() RETURNS trigger LANGUAGE plpgsql"
    " SET search_path = pg_catalog, pg_temp AS $$BEGIN"
    " RAISE EXCEPTION 'the ledger of erasures is append-only: %', TG_OP"
    " USING ERRCODE = 'restrict_violation'; END$$",
    "CREATE OR REPLACE TRIGGER erasure_ledger_kept BEFORE UPDATE OR DELETE OR TRUNCATE"
    " ON erasure_ledger FOR EACH STATEMENT EXECUTE FUNCTION erasure_ledger_kept()",
    "ALTER TABLE erasure_ledger ENABLE ALWAYS TRIGGER erasure_ledger_kept",
)


def make(_apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.alias != "ledger":
        return
    schema_editor.execute(
        "CREATE TABLE IF NOT EXISTS erasure_ledger"
        " (place integer PRIMARY KEY CHECK (place > 0), line text NOT NULL)",
        None,
    )
    if schema_editor.connection.vendor == "postgresql":
        for statement in _APPEND_ONLY:
            schema_editor.execute(statement, None)


class Migration(migrations.Migration):
    dependencies = [("privacy", "0003_rights_copy")]

    operations = [
        # Undone, it stays: who was forgotten stays forgotten.
        migrations.RunPython(make, migrations.RunPython.noop, hints={"table": "erasure_ledger"}),
    ]
