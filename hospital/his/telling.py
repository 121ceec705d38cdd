"""
Telling the hospital's own system of one patient (https://hl7.org/fhir/R4/http.html).

Created under the condition that it knows nobody of our number, so that twice is once. Whom it
knows is corrected: read, put right, written back if nobody else wrote in between.
"""

import re
import time
from dataclasses import dataclass
from typing import Any, Final

import httpx

from hospital.his import fhir
from hospital.his.client import Reply, Wire
from hospital.his.errors import NotNow, Refused

_ID: Final = r"(?!\.+(?:/|$))[A-Za-z0-9.-]{1,64}"
_LOCATION: Final = re.compile(rf"(?:.*/)?Patient/({_ID})(?:/_history/[A-Za-z0-9.-]{{1,64}})?")
_TAG: Final = re.compile(r'(?:W/)?"[!#-~]{1,128}"')
_INVALID: Final = frozenset({httpx.codes.BAD_REQUEST, httpx.codes.UNPROCESSABLE_ENTITY})
_GONE: Final = frozenset({httpx.codes.NOT_FOUND, httpx.codes.GONE})
_WRITTEN_BETWEEN: Final = frozenset({httpx.codes.CONFLICT, httpx.codes.PRECONDITION_FAILED})


@dataclass(frozen=True)
class Told:
    """
    How that system calls the patient.

    :param given: it was given something; False if it knew all of it
    """

    his_patient_id: str
    given: bool


def tell(
    wire: Wire, ours: fhir.Json, *, system: str, number: str, his_patient_id: str, budget: float
) -> Told:
    """
    Let the other system know a patient.

    :param number: ours, within `system`
    :param his_patient_id: how it called them before; "" if it never did
    :param budget: seconds for all of it
    :raises NotNow, Refused:
    """
    until = time.monotonic() + budget
    if his_patient_id:
        given = _correct(wire, ours, his_patient_id, system=system, number=number, until=until)
        return Told(his_patient_id, given)
    reply = wire.ask(
        "POST",
        "Patient",
        body=ours,
        headers={
            "If-None-Exist": f"identifier={system}|{number}",
            "Prefer": "return=representation",  # else not every server names whom it found
        },
        until=until,
    )
    match reply.status:
        case httpx.codes.CREATED:
            return Told(_named(reply), given=True)
        case httpx.codes.OK:  # there already: by us, if an answer was lost, and maybe outdated
            found = _named(reply)
            _correct(wire, ours, found, system=system, number=number, until=until)
            return Told(found, given=True)
        case httpx.codes.PRECONDITION_FAILED:
            raise Refused("not_unique")
        case httpx.codes.NOT_FOUND:
            raise NotNow("address")
    raise _refusal(reply)


def _correct(
    wire: Wire, ours: fhir.Json, pk: str, *, system: str, number: str, until: float
) -> bool:
    """Put right what it has of the patient it calls `pk`; return whether there was anything."""
    reply = wire.ask("GET", f"Patient/{pk}", until=until)
    theirs = _patient(reply, pk)
    if fhir.is_replaced(theirs):
        raise Refused("merged")
    if not fhir.has_identifier(theirs, system=system, value=number):
        raise Refused("another")
    after = fhir.corrected(theirs, ours)
    if after == theirs:
        return False
    tag = _tag(reply, theirs)
    headers = {"If-Match": tag} if tag else {}
    reply = wire.ask("PUT", f"Patient/{pk}", body=after, headers=headers, until=until)
    if reply.status in _WRITTEN_BETWEEN:
        raise NotNow("written_between")
    if reply.status in _GONE:
        raise Refused("gone")
    if not httpx.codes.is_success(reply.status):
        raise _refusal(reply)
    return True


def _patient(reply: Reply, pk: str) -> dict[str, Any]:
    if reply.status in _GONE:
        raise Refused("gone")
    if reply.status != httpx.codes.OK:
        raise _refusal(reply)
    said = reply.resource
    if said.get("resourceType") != "Patient" or said.get("id") != pk:
        raise NotNow("malformed")
    return said


def _named(reply: Reply) -> str:
    """Return how the answer calls the patient it created or found."""
    if found := _LOCATION.fullmatch(reply.headers.get("location", "")):
        return found[1]
    said = reply.resource
    name = str(said.get("id", ""))
    if said.get("resourceType") != "Patient" or not re.fullmatch(_ID, name):
        raise NotNow("malformed")
    return name


def _tag(reply: Reply, theirs: fhir.Json) -> str:
    """Return which version was read; "" of a server that counts none."""
    tag = str(reply.headers.get("etag", ""))
    if _TAG.fullmatch(tag):
        return tag
    meta = theirs.get("meta")
    version = meta.get("versionId") if isinstance(meta, dict) else None
    tag = f'W/"{version}"'
    return tag if version and _TAG.fullmatch(tag) else ""


def _refusal(reply: Reply) -> Refused:
    if reply.status in _INVALID:
        return Refused("invalid")
    return Refused(f"http_{reply.status}")
