"""Every column that looks like somebody's is declared to be, or not to be; and none is a face."""

import pytest
from django.db import models

from hospital import categories, impersonal, inventory
from hospital.compliance import checks
from hospital.inventory import INVENTORY, WITHOUT_RULE
from hospital.labels import LABELS, Label


def ids(found):
    return sorted({one.id for one in found})


def test_what_is_declared_is_what_is_there():
    assert checks.inventory_is_whole() == []
    assert checks.inventory_is_of_what_is_there() == []
    assert checks.terms_are_known_and_used() == []
    assert checks.no_table_holds_a_face() == []


@pytest.mark.parametrize("gone", [item.field for item in INVENTORY if "real_name" in item.field])
def test_a_field_that_nobody_declared_is_an_error(monkeypatch, gone):
    rest = [item for item in INVENTORY if item.field != gone]
    monkeypatch.setattr(checks, "INVENTORY", rest)

    assert [one.msg for one in checks.inventory_is_whole()] == [f"{gone} 像是个人信息，没有登记"]


def test_a_declared_field_that_does_not_exist_is_an_error(monkeypatch):
    monkeypatch.setattr(checks, "IMPERSONAL", impersonal.IMPERSONAL | {"patients.patient.x": "…"})

    assert ids(checks.inventory_is_of_what_is_there()) == ["compliance.E002"]


def test_a_field_declared_twice_is_an_error(monkeypatch):
    monkeypatch.setattr(checks, "INVENTORY", (*INVENTORY, INVENTORY[0]))

    assert ids(checks.inventory_is_of_what_is_there()) == ["compliance.E002"]


def test_an_unknown_term_and_an_unused_category_are_errors(monkeypatch):
    unused = {key: one for key, one in categories.BY_KEY.items() if key != "consent"}
    monkeypatch.setattr(checks, "BY_KEY", unused)
    assert [one.msg for one in checks.terms_are_known_and_used()] == ["没有保存期限类别 consent"]

    monkeypatch.undo()
    monkeypatch.setattr(checks, "INVENTORY", [i for i in INVENTORY if "hold" not in i.terms])
    assert [one.msg for one in checks.terms_are_known_and_used()] == [
        "没有字段属于保存期限类别 hold"
    ]


class Kept(models.Model):
    """Columns somebody might add."""

    telephone = models.CharField(max_length=20)
    mobile_phone = models.CharField(max_length=20)
    birth_date = models.DateField()
    anything = models.JSONField()
    blob = models.BinaryField()
    email = models.EmailField()
    source = models.GenericIPAddressField()
    state = models.CharField(max_length=8, choices=[("a", "b")])
    changed_at = models.DateTimeField()
    face_photo = models.BinaryField()
    upload = models.FileField()

    class Meta:
        app_label = "nowhere"
        managed = False


@pytest.mark.parametrize(
    "name", ["mobile_phone", "birth_date", "anything", "blob", "email", "source"]
)
def test_it_looks_personal(name):
    assert checks.looks_personal(Kept._meta.get_field(name))


@pytest.mark.parametrize("name", ["state", "changed_at"])
def test_it_does_not(name):
    assert not checks.looks_personal(Kept._meta.get_field(name))


def test_a_column_for_pictures_is_an_error(monkeypatch):
    added = [(f"nowhere.kept.{n}", Kept._meta.get_field(n)) for n in ("face_photo", "upload")]
    monkeypatch.setattr(checks, "columns", lambda: iter(added))

    assert [one.id for one in checks.no_table_holds_a_face()] == ["compliance.E004"] * 2


def test_labels_are_the_inventorys():
    assert LABELS["patients.patient.real_name"] is Label.IDENTIFYING
    assert LABELS["patients.patient"] is Label.SENSITIVE
    assert all(LABELS[item.field] is item.label for item in INVENTORY)


def test_no_term_is_both_with_and_without_a_rule():
    assert WITHOUT_RULE.keys().isdisjoint(categories.BY_KEY)
    assert inventory.IMPERSONAL_CATEGORIES.keys() <= categories.BY_KEY.keys()
