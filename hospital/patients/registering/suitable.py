"""Which evidence there can be of which document."""

from collections.abc import Mapping
from typing import Final

from hospital.patients.documents import DocumentType
from hospital.patients.models import Identification

Evidence = Identification.Evidence
_PAPERS: Final = frozenset({Evidence.ORIGINAL, Evidence.COPY, Evidence.GUARDIAN})
_CARDS: Final = _PAPERS | {Evidence.READER, Evidence.ELECTRONIC}
# Which evidence there can be of which document.
SUITABLE: Final[Mapping[int, frozenset[Evidence]]] = {
    **dict.fromkeys(DocumentType, _PAPERS),
    DocumentType.RESIDENT: _CARDS,
    DocumentType.HMT_RESIDENCE: _CARDS,
    DocumentType.FOREIGN_RESIDENCE: _CARDS,
    DocumentType.PASSPORT: _CARDS,
    DocumentType.HOME_RETURN: _CARDS,
    DocumentType.TAIWAN: _CARDS,
    DocumentType.TEMPORARY: _PAPERS | {Evidence.READER},
    DocumentType.BIRTH_CERTIFICATE: _PAPERS | {Evidence.ELECTRONIC},
    DocumentType.BUSINESS: frozenset(),
    DocumentType.NEWBORN: frozenset({Evidence.GUARDIAN, Evidence.STATED}),
    DocumentType.EMERGENCY: frozenset({Evidence.STATED}),
}
