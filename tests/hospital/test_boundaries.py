"""
Who opens what is sealed for a patient: every place in the code, and why it may.

Found by name in the syntax tree, because an attribute is all it takes to open a value. So
namesakes are found as well and are listed as what they are; what is reached by a name that is
computed is not found: `getattr` with a variable is for review to see. `hospital.crypto` is what
does the opening, and is not searched; what the rest may take from it is the second list.
"""

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from django.apps import apps

from hospital.crypto.fields import SealedField

ROOT = Path(__file__).resolve().parents[2]


def sealed_columns():
    columns = [column for model in apps.get_models() for column in model._meta.local_fields]
    return [column for column in columns if isinstance(column, SealedField)]


def sealed_names():
    return {column.attname for column in sealed_columns()}


# For what is kept elsewhere than in a sealed field; and, lower down, the keys themselves.
WORDS = {
    "open_text", "seal_text", "unseal", "data_key", "data_key_of", "durable_key_of", "remembered",
    "text_of", "held_by", "bare_decrypt",
}  # fmt: skip
APPS = ("hospital", "faceauth", "devices")
# What any module may import of hospital.crypto; of `sealing`, only what it raises.
ROOMS = {
    "fields",
    "indexes",
    "keyring",
    "known_answers",
    "letterbox",
    "normalising",
    "records",
}
# A name, or a path to one: "real_name", "patient.real_name", "{0.real_name}".
LABELS = {column.context for column in sealed_columns()} | {"wechat.answer"}  # name no attribute
DOTTED = re.compile(r"{?\w+(\.\w+)*}?")
# A name so common that it is looked for only where the model is named.
COMMON = {"body": "StoredAnswer"}

# In processes that answer people and terminals.
WEB = {
    "hospital/patients/models.py Patient.masked_name: real_name": (
        "all but the first and the last character is hidden before anybody sees it"
    ),
    "hospital/patients/models.py Patient.masked_document: document_number": (
        "the last two characters are shown"
    ),
    "hospital/patients/finding.py _name_of: real_name": (
        "the search by part of a name, in a narrow set only: one patient.search event says by whom"
    ),
    "hospital/patients/admin.py -: masked_name": "the columns of the desk's page: patient.view",
    "hospital/patients/admin.py -: masked_document": "likewise",
    "hospital/patients/admin.py PatientAdmin: masked_name": (
        "the desk's list, masked: one patient.view event for a page of them"
    ),
    "hospital/patients/admin.py PatientAdmin.masked_name: masked_name": "likewise",
    "hospital/patients/admin.py PatientAdmin.masked_document: masked_document": (
        "the desk's page of one patient, masked: patient.view"
    ),
    "faceauth/admin/sessions.py FaceSessionAdmin.patient_shown: masked_name": (
        "who came, masked, beside a finished session: patient.view"
    ),
    "faceauth/serializers.py PatientSerializer.Meta: masked_name": (
        "what a terminal shows to whoever stands before it, masked, of its own session only"
    ),
    "devices/idempotency.py replay: body": (
        "a terminal asks again and gets the answer it was given, masked as it was"
    ),
    "hospital/health.py _keys: data_key": "readiness: is there a key of the system's own to use",
    "faceauth/credential.py _Wish.granted_by: open_text": "an authinfo in the cache; of no patient",
    "faceauth/flight.py Flight.load: seal_text": "a terminal's rawdata on its way; of no patient",
}

# In the worker, which asks WeChat and puts patients on record.
WORKER = {
    "hospital/patients/enrolment.py enrol: real_name": (
        "the name on record is compared with the one WeChat states; neither leaves"
    ),
    "hospital/patients/identity.py _identity: real_name": (
        "digested with a salt as it is put on record, and when an operator compares it with the"
        " trail; neither leaves"
    ),
    "hospital/patients/identity.py _identity: document_number": "likewise",
    "faceauth/onboarding.py _answer: face_sid": "WeChat is asked about it",
    "faceauth/onboarding.py _answer: answer": "WeChat's verified answer is read, then dropped",
    "faceauth/flight.py Flight.rawdata: open_text": "a terminal's rawdata, for WeChat",
    "faceauth/credential.py keep: seal_text": "an authinfo goes into the cache; of no patient",
}

# Wherever a row is saved.
SAVING = {
    "hospital/patients/models.py Patient._document_parts: document_number": "digested on saving",
    "hospital/patients/models.py Patient._name_and_birth: document_number": "digested on saving",
    "hospital/patients/models.py Patient._name_and_birth: real_name": "digested on saving",
    "hospital/patients/models.py Patient: _document_parts": "names what is digested",
    "hospital/patients/models.py Patient: _name_and_birth": "names what is digested",
    "hospital/patients/models.py WechatAccount: _openid_parts": "names what is digested",
    "hospital/patients/models.py WechatAccount._openid_parts: openid": "digested on saving",
    "hospital/patients/models.py WechatUnion: _union_id_parts": "names what is digested",
    "hospital/patients/models.py WechatUnion._union_id_parts: union_id": "digested on saving",
    "faceauth/models/session.py FaceSession._update: face_sid": "sealed on its way in",
    "faceauth/models/session.py FaceSession._update: answer": "sealed on its way in",
}

# Something else of the same name: nothing is opened here.
NAMESAKES = {
    "hospital/patients/models.py Patient.masked_name: masked_name": "documents.masked_name",
    "devices/idempotency.py fingerprint: body": "of a request",
    "devices/idempotency.py once: body": "the name of the column that keeps an answer, sealed",
    "hospital/patients/enrolment.py _known: document_number": "a Person, as WeChat states it",
    "hospital/patients/enrolment.py _create: real_name": "a Person",
    "hospital/patients/enrolment.py _create: document_number": "a Person",
    "hospital/patients/models.py WechatAccount: openid": "the name of an index's part",
    "hospital/patients/recognition.py recognise: union_id": "a word of the trail: known by what",
    "hospital/patients/recognition.py recognise: openid": "a word of the trail: known by what",
    "faceauth/models/session.py -: face_sid": "a column that changes without an event",
    "faceauth/models/session.py -: answer": "likewise",
    "faceauth/sighting.py recognise: openid": "a word of the trail: known by what",
    "faceauth/onboarding.py _enrol: real_name": "WeChat's Identity",
    "faceauth/onboarding.py _enrol: document_number": "WeChat's Identity, and a Person",
    "faceauth/onboarding.py _enrol: openid": "WeChat's Identity",
    "faceauth/recognition.py settle: openid": "WeChat's Membership",
    "faceauth/recognition.py settle: union_id": "WeChat's Membership",
    "faceauth/views.py _see: face_sid": "what a terminal sent",
    "faceauth/views.py _openids: openid": "what a terminal sent",
    "faceauth/views.py AuthorizationView.post.answer: answer": "the verb sighting.answer",
    "faceauth/serializers.py SightingRequestSerializer.get_fields: face_sid": "a terminal's field",
    "faceauth/examples.py -: face_sid": "the documentation's example",
    "faceauth/examples.py -: openid": "the documentation's example",
    "faceauth/examples.py -: masked_name": "the documentation's example",
    "faceauth/admin/consents.py -: answer": "whether somebody agreed",
    "faceauth/admin/consents.py ConsentAdmin: answer": "whether somebody agreed",
}


@dataclass
class Reading(ast.NodeVisitor):
    """Everything in one file that names a sealed value, or what opens one."""

    names: set[str]
    where: list[str] = field(default_factory=list)
    found: set[str] = field(default_factory=set)

    def visit_ClassDef(self, node):
        self._into(node)

    def visit_FunctionDef(self, node):
        self._into(node)

    def visit_AsyncFunctionDef(self, node):
        self._into(node)

    def visit_Attribute(self, node):
        if isinstance(node.ctx, ast.Load):
            self._note(node.attr)
        self.generic_visit(node)

    def visit_Constant(self, node):  # list_display, fields, getattr, values_list, source="a.b"
        if not isinstance(node.value, str) or node.value in LABELS:
            return
        if DOTTED.fullmatch(node.value):
            for name in node.value.strip("{}").split("."):
                self._note(name)

    def visit_MatchClass(self, node):
        for name in node.kwd_attrs:
            self._note(name)
        self.generic_visit(node)

    def visit_Name(self, node):
        if node.id in WORDS:
            self._note(node.id)

    def _into(self, node):
        self.where.append(node.name)
        self.generic_visit(node)
        self.where.pop()

    def _note(self, name):
        if isinstance(name, str) and name in self.names:
            self.found.add(f"{'.'.join(self.where) or '-'}: {name}")


def not_searched():
    """The machinery, and packages that by contract know no Django, hence no model."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (without,) = [
        one["source_modules"]
        for one in contracts["contracts"]
        if one["name"] == "Libraries have never heard of Django"
    ]
    folders = ["hospital/crypto", *(name.replace(".", "/") for name in without)]
    return tuple(end for name in folders for end in (f"{name}/", f"{name}.py"))


def sources() -> Iterator[tuple[str, ast.Module]]:
    apart = not_searched()
    for app in APPS:
        for file in sorted((ROOT / app).rglob("*.py")):
            path = file.relative_to(ROOT).as_posix()
            if "/migrations/" not in path and not path.startswith(apart):
                yield path, ast.parse(file.read_text())


def openers(names):
    """Methods of the models themselves that open a value: asking for them is opening it."""
    models = {model.__name__ for model in apps.get_models()}
    return {
        method.name
        for _, tree in sources()
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.name in models
        for method in node.body
        if isinstance(method, ast.FunctionDef) and not method.name.startswith("__")
        if any(
            isinstance(one, ast.Attribute)
            and isinstance(one.ctx, ast.Load)
            and one.attr in names
            and isinstance(one.value, ast.Name)
            and one.value.id == "self"
            for one in ast.walk(method)
        )
    }


def places():
    names = sealed_names()
    names |= openers(names) | WORDS
    for path, tree in sources():
        text = ast.dump(tree)
        reading = Reading(names - {name for name, model in COMMON.items() if model not in text})
        reading.visit(tree)
        yield from (f"{path} {one}" for one in reading.found)


def test_whoever_opens_a_sealed_value_is_named_here():
    allowed = WEB | WORKER | SAVING | NAMESAKES
    found = set(places())

    assert sorted(found - allowed.keys()) == [], (
        "new places name a sealed value. If one opens it: show it masked, or make it a reveal that"
        " leaves an event of who saw whom; then say so in WEB or WORKER. If it only has the name"
        " in common, say what it is in NAMESAKES."
    )
    assert sorted(allowed.keys() - found) == [], "no longer there: take it off the list"


def test_nobody_is_listed_twice_and_everybody_with_a_reason():
    lists = (WEB, WORKER, SAVING, NAMESAKES)

    assert len(WEB | WORKER | SAVING | NAMESAKES) == sum(map(len, lists))
    assert all(reason for one in lists for reason in one.values())


def test_what_opens_and_what_meets_keys_is_asked_for_at_the_door():
    beyond = [
        f"{path} {room}.{name}"
        for path, tree in sources()
        if "/management/commands/" not in path  # an operator's, at a shell
        for room, name in imported(tree)
        if room not in ROOMS and (room, name) != ("sealing", "Unopenable")
    ]

    assert beyond == []


def imported(tree):
    """Yield the module of hospital.crypto, and the name taken from it, of every import."""
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module="hospital.crypto", names=names):
                yield from ((one.name, "") for one in names)
            case ast.ImportFrom(module=str(module), names=names):
                if module.startswith("hospital.crypto."):
                    yield from ((module.split(".")[2], one.name) for one in names)
            case ast.Import(names=names):
                yield from (
                    (one.name, "") for one in names if one.name.startswith("hospital.crypto")
                )


def test_no_template_asks_for_a_sealed_value():
    asked = re.compile(rf"\.({'|'.join(sorted(sealed_names() - {'answer'}))})\b")
    in_apps = [one for app in APPS for one in (ROOT / app).rglob("templates/**/*")]
    asking = [
        path.relative_to(ROOT).as_posix()
        for path in [*(ROOT / "templates").rglob("*"), *in_apps]
        if path.is_file() and path.suffix in {".html", ".txt", ".csv", ".json", ".xml"}
        for inside in re.findall(r"{[{%](.*?)[%}]}", path.read_text(), re.DOTALL)
        if asked.search(inside)
    ]

    assert asking == []


def test_the_search_would_see_every_way_of_asking():
    code = """
class Desk:
    list_display = ["real_name"]

    def show(self, patient):
        getattr(patient, "document_number")
        return patient.real_name, Patient.objects.values_list("openid")

    def match(self, patient):
        match patient:
            case Patient(real_name=name):
                return name, "{0.document_number}".format(patient), Field(source="patient.openid")

    def change(self, patient):
        patient.real_name = "x"


async def elsewhere():
    return open_text(blob)
"""
    reading = Reading(sealed_names() | WORDS)
    reading.visit(ast.parse(code))

    assert reading.found == {
        "Desk: real_name",
        "Desk.show: document_number",
        "Desk.show: real_name",
        "Desk.show: openid",
        "Desk.match: real_name",
        "Desk.match: document_number",
        "Desk.match: openid",
        "elsewhere: open_text",
    }
