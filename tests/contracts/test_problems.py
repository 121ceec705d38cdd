"""Every code a terminal may meet is in the description and in the documentation."""

import shutil
from pathlib import Path

import yaml
from django.core.management import call_command
from rest_framework import exceptions

from hospital.api import DETAILS
from hospital.errors import Refusal, Unavailable

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "terminal-api.md"
OURS = ("devices.", "faceauth.", "hospital.")

# What only staff or a worker meets; of these no terminal hears but as a session's reason.
NEVER_AT_A_TERMINAL = {
    "already_in_force",
    "already_suspended",
    "document_unsuitable",
    "name_differs",
    "not_suspended",
    "patient_restricted",
    "record_unreadable",
    "unfit",
}
# Rooms a terminal has no door to.
STAFFS = (
    "faceauth.enforcing",
    "faceauth.guardianship",
    "faceauth.handling",
    "hospital.accounts.",
    "hospital.audit.",
    "hospital.compliance.",
    "hospital.crypto.destroying",
    "hospital.desk.",
    "hospital.his.",
    "hospital.patients.asked",
    "hospital.patients.correcting",
    "hospital.patients.finding",
    "hospital.patients.guardians",
    "hospital.patients.handing_off",
    "hospital.patients.likenesses",
    "hospital.patients.registering",
    "hospital.patients.revealing",
    "hospital.privacy.",
)
# Without an operation to belong to, or never raised as they are.
NOWHERE = {"method_not_allowed", "permission_denied", "not_authenticated", "refused"}


def all_below(kind):
    for below in kind.__subclasses__():
        if below.__module__.startswith(OURS) and not below.__module__.startswith(STAFFS):
            yield below
        yield from all_below(below)


def declared():
    description = yaml.safe_load((HERE / "openapi.yaml").read_text())
    return set(description["components"]["examples"])


def test_the_table_of_codes_is_in_step(tmp_path):
    page = Path(shutil.copy(PAGE, tmp_path))

    call_command("describeproblems", page)

    assert page.read_text() == PAGE.read_text(), "make openapi"


def test_every_refusal_of_ours_is_declared_or_none_of_a_terminals():
    ours = {kind.code for base in (Refusal, Unavailable) for kind in all_below(base)}
    ours |= {kind.default_code for kind in all_below(exceptions.APIException)}

    assert ours - declared() - NEVER_AT_A_TERMINAL == set()
    assert ours >= NEVER_AT_A_TERMINAL
    assert not NEVER_AT_A_TERMINAL & declared()


def test_every_answer_with_a_sentence_of_its_own_is_declared():
    assert set(DETAILS) - declared() <= NOWHERE
