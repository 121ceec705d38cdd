"""Admin pages whose every save is in the trail, in the same transaction."""

from typing import Any, ClassVar

from django.db import models
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils import timezone

from hospital.admin import GrantedAdmin
from hospital.audit.actions import Action
from hospital.audit.recording import record


class TrailedAdmin(GrantedAdmin):
    """Names the actions its saves are recorded as. Django wraps the save in a transaction."""

    created: ClassVar[Action]
    changed: ClassVar[Action]

    def save_model(
        self, request: HttpRequest, obj: models.Model, form: ModelForm[Any], change: bool
    ) -> None:
        super().save_model(request, obj, form, change)
        if not change:
            record(self.created, by=request.user, on=obj, at=timezone.now())  # type: ignore[arg-type]
        elif form.changed_data:
            record(
                self.changed,
                by=request.user,  # type: ignore[arg-type]
                on=obj,
                at=timezone.now(),
                fields=form.changed_data,
            )
