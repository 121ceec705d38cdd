"""How long a category is kept, as people read it: the value in force, from when, and what then."""

from dataclasses import dataclass
from typing import Final

from hospital import retention
from hospital.categories import BY_KEY, CATEGORIES, Category, Unit
from hospital.inventory import WITHOUT_RULE

_YEAR: Final = 12  # months


@dataclass(frozen=True)
class Term:
    """One line of the schedule; `value` is what is in force now."""

    category: Category
    value: int

    @property
    def period(self) -> str:
        return in_words(self.value, self.category.unit)

    @property
    def sentence(self) -> str:
        one = self.category
        return f"自{one.trigger}起 {self.period}，到期{one.outcome}"


def schedule() -> list[Term]:
    """Return every category with what is in force, in the order of the table."""
    return [_term(category) for category in CATEGORIES]


def sentence(key: str) -> str:
    """Return how long what is kept under `key` stays: a category, or one without a rule."""
    if key in WITHOUT_RULE:
        return WITHOUT_RULE[key]
    return _term(BY_KEY[key]).sentence


def period(key: str) -> str:
    """Return the bare length in force, as `15 年`."""
    return _term(BY_KEY[key]).period


def _term(category: Category) -> Term:
    is_trail = category.key == "trail"
    return Term(category, retention.trail_months() if is_trail else retention.value(category.key))


def in_words(value: int, unit: Unit) -> str:
    """Return `15 年` for 180 months: whole years are read as such."""
    years, months = divmod(value, _YEAR)
    if unit is Unit.MONTHS and years and not months:
        return f"{years} 年"
    return f"{value} {unit}"
