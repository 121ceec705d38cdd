import django.db.models.deletion
import hospital.crypto.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("privacy", "0002_inquiries"),
    ]

    operations = [
        migrations.CreateModel(
            name="RightsCopy",
            fields=[
                (
                    "request",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="copy",
                        serialize=False,
                        to="privacy.rightsrequest",
                    ),
                ),
                ("patient", models.UUIDField(verbose_name="患者")),
                (
                    "packed",
                    hospital.crypto.fields.SealedField(
                        context="rights.copy", subject="patient", verbose_name="内容"
                    ),
                ),
            ],
            options={
                "verbose_name": "个人信息副本",
                "verbose_name_plural": "个人信息副本",
            },
        ),
    ]
