"""
Who guesses is shut out for a while: an account from one address, and an address altogether.

One counter for every secret somebody may be asked for: password, second factor, step-up. A try is
taken before what was sent is looked at, so a hundred answers at once get no more tries than a
hundred one after the other. An account that does not exist is counted and shut like one that does.

The rows are django-axes'. Nothing that was typed is in them: people type passwords into the wrong
box, so the name is a keyed digest.
"""

import unicodedata
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network
from typing import Any, Final

from axes.handlers.base import AxesHandler
from axes.models import AccessAttempt
from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone
from django.utils.crypto import salted_hmac

from hospital import policy, tracing
from hospital.accounts.models import Staff
from hospital.audit.actions import Action
from hospital.audit.recording import UNKNOWN, HasActor, record
from hospital.errors import Refusal

_ANYBODY: Final = ""  # the name in the row of an address
_NOWHERE: Final = "0.0.0.0"  # noqa: S104 (no server's: who came through no socket)
_NETWORK: Final = 64  # bits of an IPv6 address that are not the client's own choice


class NotLocked(Refusal):
    code = "not_locked"
    message = "该账号没有被锁定"


@dataclass(frozen=True)
class _Counted:
    """What one request has taken: of each name the number of its try."""

    request_id: str = ""
    tries: dict[str, int] = field(default_factory=dict)


_counted: ContextVar[_Counted] = ContextVar("tries", default=_Counted())  # noqa: B039 (replaced)


def take(username: str) -> bool:
    """
    Take one of the tries of an account, from where this request comes; False: none is left.

    Ask before looking at what was sent, and say `give_back` if it was right. A second time in one
    request takes nothing more. Commits at once, unless a transaction is open already.

    :param username: as it was typed
    """
    name, tries = _digest(username), _tries()
    if name not in tries:
        at, address = timezone.now(), _address()
        # The address first: who is shut out there makes no more rows and costs no more work.
        tries[_ANYBODY] = _count(_ANYBODY, address, policy.value("ADDRESS_FAIL_LIMIT"), at)
        is_open = bool(tries[_ANYBODY])
        tries[name] = _count(name, address, policy.value("LOGIN_FAIL_LIMIT"), at) if is_open else 0
    return bool(tries[name])


def give_back(username: str) -> None:
    """What was sent was right: this request's try is no failure. Earlier ones stay counted."""
    if not _tries().get(_digest(username)):
        return
    _tries().pop(_digest(username))
    rows = AccessAttempt.objects.filter(ip_address=_address(), failures_since_start__gt=0)
    named = rows.filter(username__in=[_ANYBODY, _digest(username)])
    named.update(failures_since_start=F("failures_since_start") - 1)


def is_shut_out(staff: Staff, *, at: datetime) -> bool:
    """Whether an account is locked from anywhere: for who may unlock it."""
    return _of(staff, at=at).exists()


def unlock(staff: Staff, *, by: HasActor, at: datetime) -> None:
    """
    Let an account try again, from wherever it was locked. Addresses stay as they are.

    :raises NotLocked: there is nothing to unlock
    """
    with transaction.atomic():
        deleted, _ = _of(staff, at=at).delete()
        if not deleted:
            raise NotLocked
        record(Action.LOGIN_UNLOCK, by=by, on=staff, at=at)


def forget(*, at: datetime) -> int:
    """Remove the rows that count for nothing any more; return how many."""
    until = at - max(_window(), _lock())
    deleted: int = AccessAttempt.objects.filter(attempt_time__lte=until).delete()[0]
    return deleted


def account_of(username: str) -> Staff | None:
    """Return whose tries these are, however the name was written."""
    return Staff.objects.filter(username__iexact=_plain(username)[:32]).first()


def network_of(address: str) -> str:
    """Return what is one client for all we know: of IPv6 the network, whose rest is its choice."""
    try:
        ip = ip_address(address)
    except ValueError:
        return _NOWHERE
    if ip.version == 4:  # noqa: PLR2004 (its name)
        return str(ip)
    if ip.ipv4_mapped:
        return str(ip.ipv4_mapped)
    return str(ip_network((ip, _NETWORK), strict=False).network_address)


class Counter(AxesHandler):  # type: ignore[misc] # without types
    """What django-axes calls when somebody failed, or came in."""

    def user_login_failed(
        self, sender: Any, credentials: dict[str, Any], request: Any = None, **kwargs: Any
    ) -> None:
        username = str(credentials.get("username", ""))
        take(username)
        tries = _tries()
        if tries.get(_digest(username), 0) >= policy.value("LOGIN_FAIL_LIMIT"):
            _record_lock(account_of(username))
        if tries.get(_ANYBODY, 0) >= policy.value("ADDRESS_FAIL_LIMIT"):
            _record_lock(None)

    def user_logged_in(self, sender: Any, request: Any, user: Staff, **kwargs: Any) -> None:
        give_back(user.username)
        AccessAttempt.objects.filter(
            username=_digest(user.username), ip_address=_address()
        ).delete()

    def post_save_access_attempt(self, instance: AccessAttempt, **kwargs: Any) -> None:
        pass

    def post_delete_access_attempt(self, instance: AccessAttempt, **kwargs: Any) -> None:
        pass


def _count(name: str, address: str, limit: int, at: datetime) -> int:
    """Return the number of the try that was taken; 0 if none was left to take."""
    with transaction.atomic():
        row, _ = AccessAttempt.objects.select_for_update().get_or_create(
            username=name, ip_address=address, user_agent="", defaults={"failures_since_start": 0}
        )
        since = _lock() if row.failures_since_start >= limit else _window()
        if row.attempt_time <= at - since:
            row.failures_since_start = 0
        if row.failures_since_start >= limit:
            return 0
        row.failures_since_start += 1
        # The window begins with the first try, being shut out with the last.
        if row.failures_since_start in {1, limit}:
            row.attempt_time = at
        row.save(update_fields=["failures_since_start", "attempt_time"])
        return int(row.failures_since_start)


def _record_lock(account: Staff | None) -> None:
    # Once for each lock; how many there can be is bounded by the limit of an address.
    with transaction.atomic():
        record(
            Action.LOGIN_LOCK,
            by=UNKNOWN,
            on=account,
            at=timezone.now(),
            outcome="denied",
            minutes=policy.value("LOGIN_LOCK_MINUTES"),
        )


def _of(staff: Staff, *, at: datetime) -> "QuerySet[Any]":
    rows: QuerySet[Any] = AccessAttempt.objects.filter(
        username=_digest(staff.username),
        failures_since_start__gte=policy.value("LOGIN_FAIL_LIMIT"),
        attempt_time__gt=at - _lock(),
    )
    return rows


def _tries() -> dict[str, int]:
    """Return what the request that is being answered has taken."""
    request_id = tracing.current().request_id
    if not request_id or _counted.get().request_id != request_id:
        _counted.set(_Counted(request_id, {}))
    return _counted.get().tries


def _digest(username: str) -> str:
    # However it is written: variations of one name have no more tries together.
    plain = _plain(username).casefold()
    return salted_hmac("hospital.accounts.lockout", plain, algorithm="sha256").hexdigest()


def _plain(username: str) -> str:
    return unicodedata.normalize("NFKC", username).strip()


def _address() -> str:
    return network_of(tracing.current().ip)


def _window() -> timedelta:
    return timedelta(minutes=policy.value("LOGIN_FAIL_WINDOW_MINUTES"))


def _lock() -> timedelta:
    return timedelta(minutes=policy.value("LOGIN_LOCK_MINUTES"))
