"""Changes without an event: what a database that cannot refuse them has noted."""

from collections.abc import Iterator

from hospital.audit.log import Change


def unrecorded() -> Iterator[tuple[str, str]]:
    """
    Return the changes of covered tables that no event of their transaction names.

    :returns: the model and the row's id, each pair once; none with PostgreSQL, which refuses them
    """
    rows = Change.objects.filter(event_id=None).order_by("label", "row_id")
    yield from rows.values_list("label", "row_id").distinct().iterator()
