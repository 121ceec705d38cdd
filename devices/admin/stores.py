from django.contrib import admin

from devices.models import Store
from hospital.audit.actions import Action
from hospital.audit.trailed import TrailedAdmin
from hospital.roles import May


@admin.register(Store)
class StoreAdmin(TrailedAdmin):
    view = frozenset({May.MANAGE_STORES})
    add = change = May.MANAGE_STORES
    created, changed = Action.STORE_CREATE, Action.STORE_CHANGE
    list_display = ["code", "name"]
