"""The project as no hospital runs it: what an authinfo costs but for all that is written of it."""

from hospital import wsgi

application = wsgi.application

# Know models, which exist only now.
from devices import journal  # noqa: E402
from faceauth import credential  # noqa: E402


def _nothing(*_args: object, **_facts: object) -> None:
    pass


credential._record_issue = _nothing
journal.note = _nothing  # else its server alone would write the notes of each slice at once
