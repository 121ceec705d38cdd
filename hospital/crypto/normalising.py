"""
How spellings of one value are made one, before a blind index is made of it.

Pure. The name of a rule is part of every digest and is kept with the index key: a changed
rule is a new one with a new name, never an edit, or what was indexed before is not found.
Old rules stay until no key names them (`manage.py rotatekeys --index` moves to the newest).
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

# fmt: off
_DOTS: Final = str.maketrans(dict.fromkeys("•‧・．･∙⋅", "·"))
_SPACES: Final = re.compile(r"\s+")

# Characters that GBK had no code point for and put at U+E815…U+E864, in its order (FE50…FEA0);
# hospital systems still send names with them. GB 18030-2022 and Unicode 4.1 name their places.
_FORMERLY_PRIVATE: Final = (
    "⺁𠂇𠂉𠃌⺄㑳㑇⺈⺋龴㖞㘚㘎⺌⺗㥮㤘龵㧏㧟㩳㧐龶龷㭎㱮㳠⺧𡗗龸⺪䁖䅟⺮䌷⺳⺶⺷𢦏䎱䎬⺻䏝䓖䙡䙌"
    "龹䜣䜩䝼䞍⻊䥇䥺䥽䦂䦃䦅䦆䦟䦛䦷䦶龺𤇾䲣䲟䲠䲡䱷䲢䴓䴔䴕䴖䴗䴘䴙䶮龻"
)
# fmt: on
_PRIVATE: Final = {0xE815 + place: character for place, character in enumerate(_FORMERLY_PRIVATE)}


@dataclass(frozen=True)
class Normaliser:
    """One rule, by the name that is kept for ever."""

    name: str
    apply: Callable[[str], str]


def document_number(value: str) -> str:
    """Half width, without any space, in capitals: `11010119900307001x` ends in X."""
    return _compatible(_SPACES.sub("", _compatible(value)).upper())


def person_name(value: str) -> str:
    """
    Half width, single spaces, Latin letters without case, one kind of middle dot.

    Rare characters from where GBK kept them are put where Unicode has them; traditional and
    simplified forms stay two names.
    """
    return _person_name_1(value.translate(_PRIVATE))


def opaque(value: str) -> str:
    """As it is."""
    return value


def _person_name_1(value: str) -> str:
    # The dots first: NFKC makes a full stop of the full-width one.
    folded = _compatible(_compatible(value.translate(_DOTS)).translate(_DOTS).casefold())
    return _SPACES.sub(" ", folded).strip()


def _compatible(value: str) -> str:
    return unicodedata.normalize("NFKC", value)


DOCUMENT_NUMBER: Final = Normaliser("document_number/1", document_number)
PERSON_NAME: Final = Normaliser("person_name/2", person_name)
OPAQUE: Final = Normaliser("opaque/1", opaque)

_ALL: Final = {
    rule.name: rule
    for rule in (
        DOCUMENT_NUMBER,
        PERSON_NAME,
        OPAQUE,
        Normaliser("person_name/1", _person_name_1),
    )
}


def named(name: str) -> Normaliser:
    """
    Return the rule of this name.

    :raises LookupError: this version of the software does not know it
    """
    return _ALL[name]
