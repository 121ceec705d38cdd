from django.db import migrations, models


# What is compressed already is not tried to be compressed again, with every part.
STORED = "ALTER TABLE audit_exportpart ALTER COLUMN content SET STORAGE EXTERNAL"


def store(_apps, schema_editor):
    """Of a table that was made a moment ago, which nobody else knows of yet."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(STORED)


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0005_own_uid"),
    ]

    operations = [
        migrations.CreateModel(
            name="ExportPart",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("export", models.UUIDField(verbose_name="导出")),
                ("attempt", models.PositiveSmallIntegerField(verbose_name="第几次尝试")),
                ("place", models.PositiveIntegerField(verbose_name="序号")),
                ("content", models.BinaryField(verbose_name="内容")),
            ],
            options={
                "verbose_name": "留痕导出的内容",
                "verbose_name_plural": "留痕导出的内容",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("export", "attempt", "place"), name="export_part_in_place"
                    )
                ],
            },
        ),
        migrations.RunPython(store, migrations.RunPython.noop),
    ]
