from django.db import IntegrityError, migrations

# How long a statement waits for a table others write to, before it gives up and is tried again.
PATIENCE = "SET lock_timeout = '5s'"
IMPATIENCE = "RESET lock_timeout"

# From now on first, which looks at no row; of an attempt that failed there may be one.
CHECKED = """
    ALTER TABLE audit_event
        DROP CONSTRAINT IF EXISTS audit_event_own_uid,
        ADD CONSTRAINT audit_event_own_uid CHECK (
            strpos(payload, '"uid":"' || uid::text || '"') > 0 OR strpos(payload, '"uid":"') = 0
        ) NOT VALID
"""
# Then for those that are there, while others write.
VALIDATED = "ALTER TABLE audit_event VALIDATE CONSTRAINT audit_event_own_uid"


def check(_apps, schema_editor):
    """
    Have PostgreSQL refuse a line that states the number of another; SQLite has a trigger for it.

    If somebody put such a line in before, it cannot be removed, and keeps nobody from the next
    release: the constraint holds for new ones, and `verifyaudit` tells of both.
    """
    if schema_editor.connection.vendor != "postgresql":
        return
    for statement in (PATIENCE, CHECKED, IMPATIENCE):
        schema_editor.execute(statement)
    try:
        schema_editor.execute(VALIDATED)
    except IntegrityError:
        pass


def forget(_apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("ALTER TABLE audit_event DROP CONSTRAINT audit_event_own_uid")


class Migration(migrations.Migration):
    atomic = False  # the rows are looked at while others write

    dependencies = [
        ("audit", "0004_completeness"),
    ]

    operations = [
        migrations.RunPython(check, forget),
    ]
