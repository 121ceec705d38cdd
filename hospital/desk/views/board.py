"""今日工作台, and the part of it that is asked for again and again."""

import hashlib
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import path
from django.utils import timezone
from django.utils.cache import get_conditional_response

from hospital.accounts.middleware import by_itself
from hospital.accounts.models import staff_of
from hospital.audit.facts import Shown
from hospital.desk import board as desk
from hospital.desk.doors import needs
from hospital.patients import showing, viewing
from hospital.roles import May


@needs(May.VIEW_SESSIONS)
def board(request: HttpRequest) -> HttpResponse:
    shown = _shown(request, ticks=False)
    context = {**admin.site.each_context(request), "title": "今日工作台", **shown}
    return TemplateResponse(request, "desk/board.html", context)


@needs(May.VIEW_SESSIONS)
def live(request: HttpRequest) -> HttpResponseBase:
    """Answer with what is on the board now; 304 to who has it already."""
    shown = render_to_string("desk/_board.html", _shown(request, ticks=by_itself(request)), request)
    etag = f'"{hashlib.sha256(shown.encode()).hexdigest()}"'
    response = HttpResponse(shown, headers={"ETag": etag})
    answer = get_conditional_response(request, etag=etag, response=response)
    return response if answer is None else answer


def _shown(request: HttpRequest, *, ticks: bool) -> dict[str, Any]:
    staff, now = staff_of(request), timezone.now()
    found = desk.waiting(staff, at=now)
    classes = {*viewing.NAMED, Shown.CORRECTIONS, Shown.LIKENESSES}
    showing.show(request, found.patients, classes=classes, ticks=ticks)
    return desk.shown(found, staff, at=now)


urls = [
    path("", board, name="board"),
    path("live/", live, name="board-live"),
]
