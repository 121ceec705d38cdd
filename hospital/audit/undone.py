"""What was done, recorded, and then rolled back together with its record."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial

from django.db import transaction

_done: ContextVar[list[str] | None] = ContextVar("done", default=None)


@contextmanager
def watched() -> Iterator[list[str]]:
    """Yield the tags of the acts recorded in here and not committed yet; after all, the undone."""
    tags: list[str] = []
    token = _done.set(tags)
    try:
        yield tags
    finally:
        _done.reset(token)


def note(tag: str) -> None:
    """Remember an act until its transaction is committed, if anybody watches."""
    tags = _done.get()
    if tags is not None:
        tags.append(tag)
        transaction.on_commit(partial(tags.remove, tag))
