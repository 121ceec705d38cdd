from django.db import migrations, models

from hospital.audit import guards

BATCH = 10_000  # ids in one statement, which is a transaction
# Those from before there was a queue. No notary has worked on them: it comes with this release.
QUEUE = """
    INSERT INTO audit_pending (event_id)
    SELECT e.id FROM audit_event e
    WHERE e.id BETWEEN %s AND %s
      AND NOT EXISTS (SELECT 1 FROM audit_leaf l WHERE l.event_id = e.id)
      AND NOT EXISTS (SELECT 1 FROM audit_pending p WHERE p.event_id = e.id)
    ON CONFLICT DO NOTHING
"""

# How long a statement waits for a table others write to, before it gives up and is tried again.
PATIENCE = "SET lock_timeout = '5s'"
IMPATIENCE = "RESET lock_timeout"

# Without a default first: no row is written anew, and those from before stay without a number.
NUMBERED = (
    "ALTER TABLE audit_event ADD COLUMN IF NOT EXISTS txid xid8",
    "ALTER TABLE audit_event ALTER COLUMN txid SET DEFAULT pg_current_xact_id()",
)
INDEXED = (
    "DROP INDEX CONCURRENTLY IF EXISTS event_txid",  # an invalid one, of an attempt that failed
    "CREATE INDEX CONCURRENTLY event_txid ON audit_event (txid) WHERE txid IS NOT NULL",
)


def queue(_apps, schema_editor):
    """Give the events from before the log their place in the queue."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT min(id), max(id) FROM audit_event")
        first, last = cursor.fetchone()
        for start in range(first, last + 1, BATCH) if last else ():
            cursor.execute(QUEUE, [start, start + BATCH - 1])


def number(_apps, schema_editor):
    """Have PostgreSQL note with each event which transaction wrote it, while others write."""
    if schema_editor.connection.vendor == "postgresql":
        for statement in (PATIENCE, *NUMBERED, IMPATIENCE, *INDEXED):
            schema_editor.execute(statement)


def forget(_apps, schema_editor):
    guards.remove(schema_editor.connection)
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("ALTER TABLE audit_event DROP COLUMN txid CASCADE")


class Migration(migrations.Migration):
    atomic = False  # an index is made while others write

    dependencies = [
        ("audit", "0003_keeping"),
    ]

    operations = [
        migrations.CreateModel(
            name="Change",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("tx", models.CharField(max_length=32, verbose_name="事务")),
                ("label", models.CharField(max_length=64, verbose_name="模型")),
                ("row_id", models.CharField(max_length=64, verbose_name="行")),
                ("object_type", models.CharField(max_length=64, verbose_name="对象类型")),
                ("object_id", models.CharField(max_length=64, verbose_name="对象")),
                ("facts", models.TextField(verbose_name="事实")),
                ("event_id", models.BigIntegerField(null=True, verbose_name="事件")),
            ],
            options={
                "verbose_name": "待留痕的改动",
                "verbose_name_plural": "待留痕的改动",
            },
        ),
        migrations.RunPython(queue, migrations.RunPython.noop),
        migrations.RunPython(number, forget),
    ]
