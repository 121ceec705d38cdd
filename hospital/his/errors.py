"""
What can go wrong between us and the hospital's own system; the class says what to do next.

* NotNow   network, overload, our own configuration: the same may work later
* Refused  it said no: a person has to look

Each carries a short constant, `fact`. What that system wrote is never in one: it is about a person.
"""


class HisError(Exception):
    def __init__(self, fact: str) -> None:
        super().__init__(fact)
        self.fact = fact


class NotNow(HisError):
    """`after`: the seconds it asked us to wait, if it did."""

    def __init__(self, fact: str, *, after: float | None = None) -> None:
        super().__init__(fact)
        self.after = after


class Refused(HisError):
    pass
