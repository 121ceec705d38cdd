"""
A patient as HL7 FHIR R4 says it. Pure: values in, values out.

The model that judges it is R4B's (`fhir.resources` has no R4 any more): Patient is normative and
the same in both (https://hl7.org/fhir/R4B/ansi-patient.html).
"""

from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from hospital.his.errors import Refused
from hospital.patients import documents
from hospital.patients.documents import DocumentType
from hospital.patients.models import Patient

Json = dict[str, Any]

TYPES: Final = "http://terminology.hl7.org/CodeSystem/v2-0203"
# WS 364.3 CV02.01.101 身份证件类别代码, and 居民身份证号: by the OIDs of 卫生信息 documents.
KINDS: Final = "urn:oid:2.16.156.10011.2.3.1.1"
CITIZEN_NUMBER: Final = "urn:oid:2.16.156.10011.1.3"
_GENDER_DIGIT: Final = 16  # of 18: odd for men (GB 11643-1999 4.2.3)
_OFFICIAL: Final = frozenset({"", "official", "temp"})  # names that say who somebody is
_DOCUMENT: Final = "verified-document"  # the element's id: which identifier is ours to replace
_ANY_OTHER: Final = "99"


class Code(NamedTuple):
    """What HL7 calls a kind of document, if it does, and what CV02.01.101 does."""

    hl7: str
    china: str


_CODES: Final[dict[int, Code]] = {
    DocumentType.RESIDENT: Code("NI", "01"),
    DocumentType.PASSPORT: Code("PPN", "03"),
    DocumentType.OFFICER: Code("MI", "04"),
    DocumentType.SOLDIER: Code("MI", "99"),
    DocumentType.HOME_RETURN: Code("", "06"),
    DocumentType.TEMPORARY: Code("NI", "01"),
    DocumentType.HOUSEHOLD: Code("NI", "02"),
    DocumentType.POLICE: Code("", "99"),
    DocumentType.TAIWAN: Code("", "07"),
    DocumentType.OTHER: Code("", "99"),
    DocumentType.HMT_RESIDENCE: Code("NI", "99"),
    DocumentType.FOREIGN_RESIDENCE: Code("PRC", "99"),
    DocumentType.BIRTH_CERTIFICATE: Code("BCT", "99"),
}


@dataclass(frozen=True)
class Described:
    """A resource, and which of our fields are in it."""

    resource: Json = field(repr=False)
    fields: tuple[str, ...]


def described(patient: Patient, *, system: str, source: str) -> Described:
    """
    Return `patient` as a FHIR resource.

    :param system: the URI within which our patient numbers are unique
    :param source: the URI of what is sent, for whoever looks for its origin (`meta.source`)
    :raises Refused: unfit: there is something in it that FHIR cannot say
    """
    kind, name = patient.document_type, patient.real_name or ""
    number = documents.canonical_number(kind, patient.document_number or "")
    stated = {
        "document_number": number,
        "birth_date": patient.born and patient.born.isoformat(),
        "gender": _gender(kind, number),
    }
    identifiers = [_ours(system, patient.number), *([_document(kind, number)] if number else [])]
    resource = {
        "resourceType": "Patient",
        "meta": {"source": source},
        "identifier": identifiers,
        "active": True,
        "name": [{"use": "temp" if documents.is_temporary(name) else "official", "text": name}],
        **({"gender": stated["gender"]} if stated["gender"] else {}),
        **({"birthDate": stated["birth_date"]} if stated["birth_date"] else {}),
    }
    said = tuple(field for field, value in stated.items() if value)
    return Described(_judged(resource), ("number", "real_name", "document_type", *said))


def corrected(theirs: Json, ours: Json) -> Json:
    """
    Return what the other system has, with what we verified put right.

    Only who somebody is: our number, official names and documents, birth date and gender. The
    rest is that system's, and stays. A text it made of the old values goes.
    """
    after = dict(theirs)  # what is not put right is the very same
    identifiers, names = _dicts(theirs.get("identifier")), _dicts(theirs.get("name"))
    after["identifier"] = [
        *ours["identifier"],
        *(one for one in identifiers if not _is_superseded(one, ours["identifier"])),
    ]
    after["name"] = [
        *ours["name"],
        *(one for one in names if str(one.get("use") or "") not in _OFFICIAL),
    ]
    after |= {name: ours[name] for name in ("gender", "birthDate") if name in ours}
    if after == theirs:
        return after
    narrative = after.get("text")
    if isinstance(narrative, dict) and narrative.get("status") == "generated":
        del after["text"]
    meta = after.get("meta")
    after["meta"] = {**(meta if isinstance(meta, dict) else {}), **ours["meta"]}
    return after


def has_identifier(resource: Json, *, system: str, value: str) -> bool:
    return any(
        one.get("system") == system and one.get("value") == value
        for one in _dicts(resource.get("identifier"))
    )


def is_replaced(resource: Json) -> bool:
    """Whether the other system has merged this record into another one."""
    return any(one.get("type") == "replaced-by" for one in _dicts(resource.get("link")))


def _ours(system: str, number: str) -> Json:
    return {
        "use": "usual",
        "type": {"coding": [{"system": TYPES, "code": "MR"}]},
        "system": system,
        "value": number,
    }


def _document(kind: int, number: str) -> Json:
    code = _CODES[kind]
    codings = [{"system": TYPES, "code": code.hl7}] if code.hl7 else []
    return {
        "id": _DOCUMENT,
        "use": "official",
        "type": {
            "coding": [*codings, {"system": KINDS, "code": code.china}],
            "text": str(DocumentType(kind).label),
        },
        **({"system": CITIZEN_NUMBER} if kind in documents.CITIZEN else {}),
        "value": number,
    }


def _gender(kind: int, number: str) -> str:
    """Return what the number of a document says; "" where it says nothing."""
    if kind not in documents.DATED or len(number) != documents.LENGTH:
        return ""
    return "male" if number[_GENDER_DIGIT] in "13579" else "female"


def _is_superseded(identifier: Json, ours: list[Json]) -> bool:
    """Whether this says what one of ours says, or what one we sent before did."""
    if identifier.get("id") == _DOCUMENT:
        return True
    return any(
        (identifier.get("system"), identifier.get("value")) == (one.get("system"), one["value"])
        or not _kinds(identifier).isdisjoint(_kinds(one))
        for one in ours
    )


def _kinds(identifier: Json) -> set[tuple[str, str]]:
    """Return what kind of document this is the number of."""
    said = identifier.get("type")
    codings = _dicts(said.get("coding")) if isinstance(said, dict) else []
    named = {(str(one.get("system")), str(one.get("code"))) for one in codings}
    return {one for one in named if one[0] in {TYPES, KINDS} and one[1] not in {_ANY_OTHER, "MR"}}


def _dicts(value: object) -> list[Json]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _judged(resource: Json) -> Json:
    # Half a second and 16 MB that nobody needs where there is no such system.
    from fhir.resources.R4B.patient import Patient as Model  # noqa: PLC0415

    try:
        Model.model_validate(resource)
    except ValueError:
        fit = False
    else:
        fit = True
    if not fit:  # out here: the error above quotes the person
        raise Refused("unfit")
    return resource
