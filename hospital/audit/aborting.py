"""Acts that were undone together with their record are on record all the same."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Final

import structlog
from django.db import Error, transaction
from django.utils import timezone
from redis.exceptions import RedisError

from hospital.audit import canonical, flood, undone
from hospital.audit.actions import Action
from hospital.audit.recording import SYSTEM, Actor, record
from hospital.errors import TrailUnavailable

# What keeps the record from being made: what it is about is said in another way already.
AWAY: Final = (TrailUnavailable, Error, RedisError)

logger = structlog.get_logger(__name__)


@contextmanager
def told(route: str) -> Iterator[None]:
    """
    Record what is undone because of what is raised in here.

    :param route: which task it is
    """
    with undone.watched() as acts:
        try:
            yield
        except BaseException as exc:
            tell(acts, exc, route=route)
            raise


def tell(acts: Collection[str], exc: BaseException, *, route: str) -> None:
    """Record acts that were rolled back with this error, if there are any."""
    if acts:
        note(acts, by=SYSTEM, route=route, code=_code(exc))


def note(acts: Collection[str], *, by: Actor, route: str, code: str) -> None:
    """Record acts that were rolled back, now that nothing can roll this back."""
    try:
        missed = flood.admit(
            f"abort:{by.id}:{route}", Action.REQUEST_ABORT, by=by, outcome="failed", route=route
        )
        if missed is None:
            return
        with transaction.atomic():
            record(
                Action.REQUEST_ABORT,
                by=by,
                on=None,
                at=timezone.now(),
                outcome="failed",
                route=route,
                code=code,
                actions=set(acts),
                suppressed=missed,
            )
    except AWAY as exc:
        logger.warning("abort.unrecorded", route=route, reason=type(exc).__name__)


def _code(exc: BaseException) -> str:
    """Return an error's own code, or what it is called; nothing it says."""
    if isinstance(exc, SystemExit) and exc.__context__:  # how a command says that it failed
        exc = exc.__context__
    said = getattr(exc, "code", None)
    if isinstance(said, str) and said and canonical.SLUG.fullmatch(said):
        return said
    return type(exc).__name__
