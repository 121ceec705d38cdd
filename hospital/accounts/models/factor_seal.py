from typing import ClassVar

from django.db import models
from uuid6 import uuid7

from hospital.audit.coverage import changes_unrecorded
from hospital.crypto.fields import SealedField
from hospital.crypto.keyring import SYSTEM_SUBJECT


@changes_unrecorded("made once, with the first secret; the binding of each factor is on record")
class FactorSeal(models.Model):
    """What the secrets of second factors are sealed with (`hospital.accounts.mfa_sealing`)."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    is_current = models.BooleanField(default=True)
    # 32 bytes in base64. Of no patient, so a change of data keys finds and seals it anew.
    factor_key = SealedField(context="factor_seal.key", subject=SYSTEM_SUBJECT)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                "is_current",
                condition=models.Q(is_current=True),
                name="factor_seal_one_current",
            )
        ]
