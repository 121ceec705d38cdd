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
    stated: ClassVar[frozenset[str]] = frozenset()  # fields whose new value is a fact
    apart: ClassVar[frozenset[str]] = frozenset()  # fields whose change is an event of its own

    def save_model(
        self, request: HttpRequest, obj: models.Model, form: ModelForm[Any], change: bool
    ) -> None:
        if not change:
            super().save_model(request, obj, form, change)
            record(self.created, by=request.user, on=obj, at=timezone.now())  # type: ignore[arg-type]
            return
        # Only what this person changed: another may be changing the rest right now.
        obj.save(update_fields=[*form.changed_data, *_touched(obj)])
        fields = set(form.changed_data) - self.apart
        facts = {name: getattr(obj, name) for name in self.stated & fields}
        if fields:
            record(
                self.changed,
                by=request.user,  # type: ignore[arg-type]
                on=obj,
                at=timezone.now(),
                fields=fields,
                **facts,
            )


def _touched(obj: models.Model) -> list[str]:
    """Return the columns that say when a row was changed."""
    return [column.name for column in obj._meta.fields if getattr(column, "auto_now", False)]
