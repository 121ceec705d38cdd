"""
What each fact is. A name means the same wherever it is stated, and so it has one shape.

Default deny, twice: a name that is not in the table is no fact, and what has another shape than
its own is refused like free text. A person's number is a slug, but no id and no digest.
"""

import re
from collections.abc import Callable
from enum import StrEnum
from typing import Final
from uuid import UUID

from hospital.audit import canonical
from hospital.audit.canonical import Fact, NotAFact

Shape = Callable[[object], Fact]

_ID: Final = re.compile(r"(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})?", re.ASCII)
_DIGEST: Final = re.compile(r"(?:[0-9a-f]{64})?", re.ASCII)
_MANY: Final = (list, tuple, set, frozenset)


class Shown(StrEnum):
    """What of a person a page may show: nothing else can be stated of a read."""

    NUMBER = "number"
    NUMBER_MASKED = "number_masked"
    NAME_MASKED = "name_masked"
    DOCUMENT_TYPE = "document_type"
    DOCUMENT_MASKED = "document_masked"
    BIRTH_DATE_HIDDEN = "birth_date_hidden"  # that there is one
    HIS_NUMBER = "his_number"
    WECHAT_LINKED = "wechat_linked"  # that there is an account
    RESTRICTION = "restriction"
    HISTORY = "history"  # since when, where, and how they were identified
    VISITS = "visits"
    LIKENESSES = "likenesses"
    CORRECTIONS = "corrections"
    CONSENTS = "consents"
    GUARDIAN_RELATION = "guardian_relation"
    RIGHTS = "rights"
    DATA_COUNTS = "data_counts"  # how much there is of them, kind by kind


_SHOWN: Final = frozenset(Shown)


def flag(value: object) -> Fact:
    if isinstance(value, bool):
        return value
    raise NotAFact


def number(value: object) -> Fact:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < canonical.LARGEST:
        return value
    raise NotAFact


def word(value: object) -> Fact:
    """Return a slug, as it is."""
    if isinstance(value, str) and canonical.SLUG.fullmatch(value):
        return str(value)
    raise NotAFact


def words(value: object) -> Fact:
    return _several(value, word)


def keys(value: object) -> Fact:
    """Return the primary keys of rows, whatever they are."""
    return _several(value, lambda one: word(str(one)))


def scalar(value: object) -> Fact:
    """Return a number, or what somebody wrote in the place of one."""
    return word(value) if isinstance(value, str) else number(value)


def ident(value: object) -> Fact:
    """Return an id of ours, or "" for nobody's."""
    if isinstance(value, UUID) or (isinstance(value, str) and _ID.fullmatch(value)):
        return str(value)
    raise NotAFact


def idents(value: object) -> Fact:
    return _several(value, ident)


def digest(value: object) -> Fact:
    """Return 32 octets in hex, or "" where there are none."""
    if isinstance(value, str) and _DIGEST.fullmatch(value):
        return value
    raise NotAFact


def digests(value: object) -> Fact:
    return _several(value, digest)


def classes(value: object) -> Fact:
    """Return which classes of fields were shown, each of them registered."""
    if isinstance(value, _MANY) and _SHOWN.issuperset(value):
        return sorted(map(str, value))
    raise NotAFact


def _several(value: object, shape: Shape) -> Fact:
    if isinstance(value, _MANY):
        return sorted(str(shape(one)) for one in value)
    raise NotAFact


def _all(shape: Shape, names: str) -> dict[str, Shape]:
    return dict.fromkeys(names.split(), shape)


# An action of whose facts one is something else says so itself (`actions`).
FACTS: Final[dict[str, Shape]] = {
    **_all(
        flag,
        "cached ground_shown is_active is_anchored is_drill is_final is_full is_new on_request",
    ),
    **_all(
        number,
        "attempt clearance conflicts count days differing document_type end epoch erasures"
        " expires_in failed findings found held hours index limit met minutes notice_version opened"
        " place rows seconds size start suppressed total value version wechat_status",
    ),
    **_all(
        word,
        "after algorithm applicant backup before campus category cause certificate code decision"
        " due evidence factor field first format key key_id kind known_by level"
        " method office origin person purpose recipient role route second serial settlement"
        " signed_by signer_url sink source step table target ticket until v2_base_url v3_base_url"
        " wechat_code wechat_fact wechat_request_id week",
    ),
    **_all(words, "actions events fields filters key_ids methods purposes"),
    **_all(
        ident,
        "approved_by asked_by consent correction disclosure erasure guardian handoff hold notice"
        " patient proposal registration request run session staff terminal",
    ),
    **_all(idents, "linked patients subjects"),
    **_all(digest, "digest digest_sm3 hash identity notice_digest root sha256 sm3"),
    **_all(classes, "shown"),
}
