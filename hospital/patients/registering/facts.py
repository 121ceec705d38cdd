"""Facts of an event, without those there are none of."""

from typing import Any


def stated(**facts: Any) -> dict[str, Any]:
    """Return those that are there."""
    return {name: value for name, value in facts.items() if value is not None}
