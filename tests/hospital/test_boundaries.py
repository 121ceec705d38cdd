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
# Verbs that hand a value out, masked, and leave it to who calls them that it is on record.
HANDED_OUT = {"masked", "changes"}
APPS = ("hospital", "faceauth", "devices")
# What any module may import of hospital.crypto; of `sealing`, only what it raises.
ROOMS = {
    "destroying",
    "fields",
    "indexes",
    "keyring",
    "known_answers",
    "letterbox",
    "normalising",
    "records",
    "standing",
}
# A name, or a path to one: "real_name", "patient.real_name", "{0.real_name}".
LABELS = {column.context for column in sealed_columns()} | {"wechat.answer"}  # name no attribute
DOTTED = re.compile(r"{?\w+(\.\w+)*}?")
# A name so common that it is looked for only where the model is named.
COMMON = {"body": "StoredAnswer"}

# Of one place several names may stand together, parted by commas.

# In processes that answer people and terminals: what somebody gets to see of it.
WEB = {
    "hospital/desk/views/consents.py _page: masked": "whose consents these are: consent.view",
    "hospital/desk/views/restriction.py restriction: masked": "whom to restrict: patient.view",
    "hospital/patients/enrolment.py _has_name_index_of: real_name, masked_name, born": (
        "whether who stands there has the name a thinned record was made with"
    ),
    "hospital/patients/models/patient.py Patient.masked_name: real_name": (
        "all but the first and the last character is hidden before anybody sees it"
    ),
    "hospital/patients/models/patient.py Patient.masked_document: document_number": (
        "the last two characters are shown"
    ),
    "hospital/patients/models/patient.py Patient.born: birth_date, document_number": (
        "a date and no more; whoever asks for it is found by that name"
    ),
    "hospital/patients/revealing.py _opened: real_name, document_number, born": (
        "one field in clear: patient.reveal is on disk before it is handed out"
    ),
    "hospital/patients/viewing.py masked: masked_name, masked_document": (
        "one patient as staff see them; each who asks for it is listed below"
    ),
    "hospital/patients/registering/looking.py look: real_name, document_number, masked_name": (
        "what a colleague entered, masked, for who looks a second time: patient.view"
    ),
    "hospital/patients/correcting/comparing.py changes: real_name, document_number, masked_name": (
        "what is to change, both masked as on any page: patient.view"
    ),
    "hospital/patients/correcting/comparing.py changes: birth_date, born": (
        "likewise: whether there is one"
    ),
    "hospital/desk/views/corrections.py correction: masked, changes": (
        "the page of one request: patient.view"
    ),
    "hospital/desk/views/corrections.py _changes: changes": "for that page",
    "hospital/desk/views/corrections.py _page: masked": "the page that asks for one: patient.view",
    "hospital/desk/views/finding.py _hit: masked": "who was found: patient.search names them",
    "hospital/desk/views/likenesses.py _listed: masked": "the list of pairs: patient.view",
    "hospital/desk/views/likenesses.py _half: masked": "the page of one pair: patient.view",
    "hospital/desk/views/patient.py patient: masked": "the page of one patient: patient.view",
    "hospital/desk/views/rights.py opening: masked": "whose request is taken: patient.view",
    "hospital/desk/views/rights.py _page: masked": "whose request it is: patient.view",
    "hospital/privacy/telling.py patient: real_name, document_number, born": (
        "the patient's own copy: rights.copy is on disk with it, rights.fetch before it is out"
    ),
    "hospital/privacy/telling.py wechat_accounts: openid": "likewise",
    "hospital/privacy/telling.py wechat_unions: union_id": "likewise",
    "hospital/privacy/copying.py _opened: packed": (
        "the copy for who made it, once: rights.fetch; encrypted by a password nobody keeps"
    ),
    "hospital/desk/views/erasing.py erase: masked": "the page that asks to erase: patient.view",
    "hospital/desk/views/patient.py patient: born": "there, whether a date is on record",
    "hospital/desk/views/registering.py _candidate: masked": "who has this document: patient.view",
    "hospital/desk/views/registering.py _alike: masked": (
        "who has the same name and birth date, at this campus: patient.view"
    ),
    "hospital/desk/slips.py _name: masked_name": "on paper: patient.print",
    "hospital/desk/board.py _asked: masked_name": (
        "whose correction waits, masked: patient.view, also when the page asks again by itself"
    ),
    "hospital/patients/admin.py PatientAdmin: masked_name": (
        "the desk's list, masked: one patient.view event for a page of them"
    ),
    "hospital/patients/admin.py PatientAdmin.masked_name: masked_name": "likewise",
    "faceauth/admin/sessions.py FaceSessionAdmin.patient_shown: masked_name": (
        "who came, masked, beside a finished session: patient.view"
    ),
    "faceauth/serializers.py PatientSerializer.Meta: masked_name": (
        "what a terminal shows to whoever stands before it, masked, of its own session only"
    ),
    "devices/idempotency.py replay: body": (
        "a terminal asks again and gets the answer it was given, masked as it was"
    ),
    "hospital/accounts/mfa_sealing.py _cipher: factor_key": (
        "opens the secrets of staff's second factors, which are compared with; of no patient"
    ),
    "faceauth/credential.py _Wish.granted_by: open_text": "an authinfo in the cache; of no patient",
    "faceauth/flight.py Flight.load: seal_text": "a terminal's rawdata on its way; of no patient",
}

# In the worker, which asks WeChat.
WORKER = {
    "hospital/his/fhir.py described: real_name, document_number, birth_date, born": (
        "who somebody is, for the hospital's own system: handoff.done, disclosure.note"
    ),
    "hospital/privacy/thinning.py thin: real_name, masked_name": (
        "the name is sealed again as a mask shows it: patient.thin"
    ),
    "faceauth/onboarding.py _answer: face_sid": "WeChat is asked about it",
    "faceauth/onboarding.py _answer: answer": "WeChat's verified answer is read, then dropped",
    "faceauth/flight.py Flight.rawdata: open_text": "a terminal's rawdata, for WeChat",
    "faceauth/credential.py keep: seal_text": "an authinfo goes into the cache; of no patient",
}

# In the worker and at the desk: put on record, compared, moved to another sealed column. What
# comes of it is a yes, a refusal or a row; the value is shown to nobody.
UNSEEN = {
    "hospital/backup/fitting.py _opened: real_name": (
        "whether what was restored can be opened, before it is put into use"
    ),
    "hospital/operations/parts/serving.py Keys.run: data_key": (
        "whether the key of the system itself can be opened"
    ),
    "faceauth/places.py _declined_as: openid": (
        "digests of it, under which somebody is remembered as having said no"
    ),
    "hospital/patients/guardians.py is_child: born": "whether somebody is under fourteen",
    "hospital/patients/guardians.py agree: real_name, document_number, born": (
        "what was typed of the guardian is judged, and sealed under the child's key"
    ),
    "hospital/patients/lapsing.py -: real_name, document_number, birth_date": (
        "names of columns that are set to NULL; nothing is opened"
    ),
    "faceauth/keeping.py -: face_sid, answer": "likewise",
    "hospital/privacy/places.py -: real_name, document_number, birth_date": (
        "names of columns that erasing sets to NULL; nothing is opened"
    ),
    "hospital/privacy/nameless.py _name: real_name": (
        "whether what is told an applicant names the patient"
    ),
    "hospital/patients/viewing.py _is_erased: real_name": "whether it can still be opened at all",
    "hospital/patients/enrolment.py demand_same_name: real_name": (
        "the name on record is compared with the one stated now"
    ),
    "hospital/patients/identity.py _identity: real_name, document_number": (
        "digested with a salt as it is put on record, and when that is compared with the trail"
    ),
    "hospital/patients/likenesses.py find: real_name, born": (
        "who has the same is asked of the blind index"
    ),
    "hospital/patients/registering/holding.py read: real_name, document_number, birth_date": (
        "what a colleague entered, to be compared and to become the patient's"
    ),
    "hospital/patients/registering/repeating.py repeats: document_number": (
        "compared with what the second one reads off the original"
    ),
    "hospital/patients/registering/repeating.py repeated: real_name": (
        "whether there is one to repeat"
    ),
    "hospital/patients/registering/repeating.py repeats_birth: birth_date": "likewise",
    "hospital/patients/registering/entering.py _on_record: real_name, document_number, born": (
        "whom a form that is sent again made, compared with what it says now"
    ),
    "hospital/patients/registering/deciding.py send_back: real_name": (
        "a note must not say who it is about"
    ),
    "hospital/patients/correcting/holding.py wanted: real_name, document_number, birth_date": (
        "what was asked for, to be compared and to become the patient's"
    ),
    "hospital/patients/correcting/comparing.py differing: real_name, document_number": (
        "which of them are to change, by the names of their columns"
    ),
    "hospital/patients/correcting/comparing.py differing: birth_date, born": "likewise",
    "hospital/patients/correcting/deciding.py approve: real_name": (
        "likewise: what was asked for, in whose line to wait"
    ),
    "hospital/patients/correcting/asking.py _ask: real_name": (
        "a reason must not say who it is about"
    ),
    "hospital/patients/correcting/likening.py _name_and_birth: real_name, born": (
        "whether two records may be of one person"
    ),
    "hospital/patients/correcting/deciding.py _apply: real_name, document_number": (
        "the patient becomes what was asked for"
    ),
}

# Wherever a row is saved.
SAVING = {
    "hospital/patients/models/patient.py Patient: _document_parts, _name_and_birth": (
        "names what is digested"
    ),
    "hospital/patients/models/patient.py Patient._document_parts: document_number": (
        "digested on saving"
    ),
    "hospital/patients/models/patient.py Patient._name_and_birth: real_name, born": (
        "digested on saving"
    ),
    "hospital/patients/models/wechat.py WechatAccount: _openid_parts": "names what is digested",
    "hospital/patients/models/wechat.py WechatAccount._openid_parts: openid": "digested on saving",
    "hospital/patients/models/wechat.py WechatUnion: _union_id_parts": "names what is digested",
    "hospital/patients/models/wechat.py WechatUnion._union_id_parts: union_id": (
        "digested on saving"
    ),
    "hospital/accounts/mfa_sealing.py _current: factor_key": "sealed on its way in",
    "faceauth/models/session.py FaceSession._updating: face_sid, answer": "sealed on its way in",
    "faceauth/models/session.py FaceSession.keep: answer": "sealed on its way in",
}

# Something else of the same name: nothing is opened here.
NAMESAKES = {
    "faceauth/declining.py -: openid": "the name of an index: only digests are kept",
    "faceauth/models/session.py FaceSession._finish: face_sid, answer": "columns set to NULL",
    "hospital/patients/correcting/__init__.py -: changes": "the name of a verb",
    "hospital/desk/guardian_form.py GuardianForm: born": "a box to type in",
    "hospital/desk/views/consents.py guardian: born": "a box that no error page may repeat",
    "hospital/patients/handing_off.py _unchanged: changes": "a number of changes",
    "hospital/patients/handing_off.py owe: changes": "likewise",
    "hospital/patients/models/handoff.py -: changes": "likewise",
    "hospital/categories.py -: face_sid, answer": "categories of what is kept",
    "hospital/audit/actions.py Action: answer": "a kind of act: rights are answered",
    "hospital/patients/finding.py find: born": "of what was typed",
    "hospital/inventory.py -: real_name, document_number, birth_date": "what is held, by name",
    "hospital/inventory.py -: openid, union_id, face_sid, answer, factor_key, packed": "likewise",
    "hospital/compliance/checks.py -: openid": "a word by which a column looks personal",
    "hospital/notice_text.py draft: face_sid": "a category of what is kept",
    "hospital/patients/models/patient.py Patient.masked_name: masked_name": "documents.masked_name",
    "hospital/patients/models/wechat.py WechatAccount: openid": "the name of an index's part",
    "hospital/patients/plausible.py _judge_digits: birth_date": "documents.birth_date",
    "hospital/patients/plausible.py judge_birth: born": "which box somebody has to look at",
    "hospital/patients/revealing.py Field: real_name, document_number, birth_date": (
        "what can be asked for"
    ),
    "hospital/patients/enrolment.py Person.born: document_number, birth_date": "a Person",
    "hospital/patients/enrolment.py known: document_number": "a Person",
    "hospital/patients/enrolment.py _made: real_name, document_number": "a Person",
    "hospital/patients/enrolment.py _with_document: document_number": "a Person",
    "hospital/patients/enrolment.py _is_like_somebody: real_name, born": "a Person",
    "hospital/patients/enrolment.py stated_birth_date: document_number, birth_date": "a Person",
    "hospital/patients/registering/holding.py -: real_name, document_number, birth_date": (
        "the columns that are emptied"
    ),
    "hospital/patients/registering/judging.py judge: real_name, document_number, birth_date": (
        "a Person, as typed"
    ),
    "hospital/patients/registering/judging.py judge: born": "which box somebody has to look at",
    "hospital/patients/registering/judging.py needs_guardian: born": "a Person, as typed",
    "hospital/patients/registering/onboarding.py demand_new: real_name, born": "a Person, as typed",
    "hospital/patients/registering/holding.py write: real_name, document_number": (
        "a Person, as typed"
    ),
    "hospital/patients/correcting/holding.py -: real_name, document_number, birth_date": (
        "the columns that are emptied"
    ),
    "hospital/patients/registering/judging.py judge_cause: born": "a Person, as typed",
    "hospital/patients/registering/looking_up.py look_up: real_name, born": "a Person, as typed",
    "hospital/patients/registering/entering.py _parts: real_name, document_number, born": (
        "a Person"
    ),
    "hospital/patients/registering/entering.py _is_of: real_name": "a Person, as typed",
    "hospital/patients/registering/repeating.py _is_name: real_name": "a Person",
    "hospital/patients/registering/deciding.py confirm: born": "a date as typed, and a Person",
    "hospital/desk/views/registering.py registration: born": "the name of a box",
    "hospital/patients/enrolment.py enrol_within: real_name, born": "a Person",
    "hospital/patients/correcting/deciding.py approve: born": "a Person",
    "hospital/patients/correcting/asking.py _ask: document_number": "a Person, as typed",
    "hospital/patients/correcting/judging.py demand_sound: real_name": "a Person, as typed",
    "hospital/patients/correcting/likening.py note: real_name, born": "a Person, as typed",
    "hospital/patients/recognition.py recognise: openid, union_id": (
        "a word of the trail: known by what"
    ),
    "hospital/desk/forms.py PersonForm.clean: born": "a box of the form",
    "hospital/desk/forms.py PersonForm.is_dated: document_number, birth_date": "a Person, as typed",
    "hospital/desk/forms.py PersonForm.checked: real_name, document_number, born": (
        "a Person, back to who typed it"
    ),
    "hospital/desk/forms.py RegisterForm: born": "a box of the form",
    "hospital/desk/forms.py CorrectForm: born": "a box of the form",
    "hospital/desk/views/corrections.py correct: born": "a box of the form",
    "hospital/desk/views/registering.py register: born": "a box of the form",
    "hospital/desk/views/registering.py _found_nobody: born": "what was looked for, in its box",
    "hospital/audit/guards/asking.py tells_of_a_change.tags: changes": "outcomes that change",
    "devices/idempotency.py fingerprint: body": "of a request",
    "devices/idempotency.py once: body": "the name of the column that keeps an answer, sealed",
    "faceauth/models/session.py -: face_sid, answer": "a column that changes without an event",
    "faceauth/sighting.py recognise: openid": "a word of the trail: known by what",
    "faceauth/onboarding.py _enrol: real_name, openid": "WeChat's Identity",
    "faceauth/onboarding.py _enrol: document_number": "WeChat's Identity, and a Person",
    "faceauth/recognition.py settle: openid, union_id": "WeChat's Membership",
    "faceauth/views.py _see: face_sid": "what a terminal sent",
    "faceauth/views.py _openids: openid": "what a terminal sent",
    "faceauth/views.py AuthorizationView.post.answer: answer": "the verb sighting.answer",
    "faceauth/serializers.py SightingRequestSerializer.get_fields: face_sid": "a terminal's field",
    "faceauth/examples.py -: face_sid, openid, masked_name": "the documentation's example",
    "faceauth/admin/consents.py -: answer": "whether somebody agreed",
    "faceauth/admin/consents.py ConsentAdmin: answer": "whether somebody agreed",
}

LISTS = (WEB, WORKER, UNSEEN, SAVING, NAMESAKES)


def listed(entries):
    """Return each place with each name by itself, as it is found."""
    places = (entry.rpartition(": ") for entry in entries)
    return [f"{place}: {name}" for place, _, names in places for name in names.split(", ")]


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
    names |= openers(names) | WORDS | HANDED_OUT
    for path, tree in sources():
        text = ast.dump(tree)
        reading = Reading(names - {name for name, model in COMMON.items() if model not in text})
        reading.visit(tree)
        yield from (f"{path} {one}" for one in reading.found)


def test_whoever_opens_a_sealed_value_is_named_here():
    allowed = {place for entries in LISTS for place in listed(entries)}
    found = set(places())

    assert sorted(found - allowed) == [], (
        "new places name a sealed value. If one opens it: show it masked, or make it a reveal that"
        " leaves an event of who saw whom; then say so in WEB or WORKER. If nobody ever sees it,"
        " say in UNSEEN what for. If it only has the name in common, say what it is in NAMESAKES."
    )
    assert sorted(allowed - found) == [], "no longer there: take it off the list"


def test_nobody_is_listed_twice_and_everybody_with_a_reason():
    places = [place for entries in LISTS for place in listed(entries)]

    assert sorted(set(places)) == sorted(places)
    assert all(reason for entries in LISTS for reason in entries.values())


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
    names = (sealed_names() | openers(sealed_names())) - {"answer"}
    asked = re.compile(rf"(?<!\bform)\.({'|'.join(sorted(names))})\b")  # a box of a form is typed
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
