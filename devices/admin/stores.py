from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Field
from django.forms import ChoiceField, ModelForm
from django.forms import Field as FormField
from django.http import HttpRequest

from devices.models import Store
from hospital.accounts import campuses
from hospital.audit.actions import Action
from hospital.audit.trailed import TrailedAdmin
from hospital.roles import May


class StoreForm(ModelForm[Store]):
    def clean_campus(self) -> str:
        """Whoever was seen at its terminals stays a patient of the campus where that was."""
        campus: str = self.cleaned_data["campus"]
        if "campus" in self.changed_data and self.instance.terminals.exists():
            raise ValidationError("门店已有终端，不能改院区；请在新院区另建门店")
        return campus


@admin.register(Store)
class StoreAdmin(TrailedAdmin):
    view = frozenset({May.MANAGE_STORES, May.VIEW_SYSTEM})
    add = change = May.MANAGE_STORES
    form = StoreForm
    created, changed = Action.STORE_CREATE, Action.STORE_CHANGE
    list_display = ["code", "name", "place", "fallback"]
    fields = ["code", "name", "campus", "fallback"]

    @admin.display(description="院区", ordering="campus")
    def place(self, store: Store) -> str:
        return campuses.name(store.campus)

    def formfield_for_dbfield(
        self, db_field: Field[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> FormField | None:
        if db_field.name == "campus":
            return ChoiceField(label=db_field.verbose_name, choices=campuses.choices)
        return super().formfield_for_dbfield(db_field, request, **kwargs)
