"""Who came and went, and who tried: on record."""

from typing import Any

from django.contrib.auth import signals
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from hospital import tracing
from hospital.accounts import lockout, sessions
from hospital.accounts.models import Staff
from hospital.accounts.second_factor import methods_of
from hospital.audit import flood
from hospital.audit.actions import Action
from hospital.audit.recording import UNKNOWN, record


def connect() -> None:
    signals.user_logged_in.connect(_came, dispatch_uid="trail")
    signals.user_logged_out.connect(_went, dispatch_uid="trail")
    signals.user_login_failed.connect(_failed, dispatch_uid="trail")


def _came(user: Staff, request: HttpRequest, **_kwargs: Any) -> None:
    now = timezone.now()
    with transaction.atomic():
        is_replacing = sessions.begin(user, request.session, at=now)
        record(Action.LOGIN, by=user, on=user, at=now, methods=methods_of(request))
        if is_replacing:
            record(Action.SESSION_REPLACED, by=user, on=user, at=now)


def _went(user: Staff | None, **_kwargs: Any) -> None:
    if user is not None:
        with transaction.atomic():
            record(Action.LOGOUT, by=user, on=user, at=timezone.now())


def _failed(credentials: dict[str, Any], factor: str = "password", **_kwargs: Any) -> None:
    # What was typed is not recorded: people type passwords into the wrong box.
    known = lockout.account_of(str(credentials.get("username", "")))
    network = lockout.network_of(tracing.current().ip)
    source = f"login:{network}:{known.pk if known else '-'}"
    missed = flood.admit(source, Action.LOGIN_FAILED, by=UNKNOWN, on=known)
    if missed is None:
        return
    with transaction.atomic():
        record(
            Action.LOGIN_FAILED,
            by=UNKNOWN,
            on=known,
            at=timezone.now(),
            outcome="denied",
            factor=factor,
            suppressed=missed,
        )
