from django.contrib import admin

from hospital.admin import GrantedAdmin
from hospital.crypto.models import KeyEpoch
from hospital.roles import May

SHOWN = ("epoch", "suite", "provider", "state", "created_at")


@admin.register(KeyEpoch)
class KeyEpochAdmin(GrantedAdmin):
    """Which wrapping keys exist and in what state; never a key, wrapped or not."""

    view = frozenset({May.VIEW_KEYS})
    list_display = fields = readonly_fields = SHOWN
