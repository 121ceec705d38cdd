"""What surrounds every page of logging in."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from hospital.accounts import second_factor


def around(request: HttpRequest) -> dict[str, Any]:
    """Return the context of a page; what is told and offered is for who has shown both factors."""
    everywhere = admin.site.each_context(request)
    if second_factor.is_passed(request.session):
        return {**everywhere, "is_half": False}
    told = {"banners": [], "keys_in_file": False}
    offered = {"may_find": False, "desk_pages": [], "available_apps": []}
    return {**everywhere, **told, **offered, "is_half": True}
