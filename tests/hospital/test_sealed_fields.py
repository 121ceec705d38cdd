import copy
import json
import pickle
from uuid import UUID

import pytest
from django.apps import apps
from django.apps.registry import Apps
from django.core import serializers
from django.core.exceptions import FieldError, ValidationError
from django.db import IntegrityError, connection, models, transaction
from django.db.models import Count, F, Max, Q, Value
from django.db.models.functions import Concat, Length, Upper
from django.forms.models import model_to_dict, modelform_factory
from hypothesis import given
from hypothesis import strategies as st
from uuid6 import uuid7

from hospital.crypto import checks, data_keys, epochs, keyring
from hospital.crypto.fields import Sealed, SealedField, Unplaced, open_text, seal_text
from hospital.crypto.keyring import SYSTEM_SUBJECT, SubjectForgotten, UnknownKey
from hospital.crypto.models import DataKey
from hospital.crypto.providers.file import FileProvider
from hospital.crypto.sealing import (
    NotSealed,
    Tampered,
    Unopenable,
    UnsupportedSuite,
    generation_of,
)
from hospital.crypto.suites import Suite

NAME = "张三"
MASK = "<sealed person.name>"
HINT = "按证件号码查询请用 Person.objects.with_document()"

# A registry of their own: to the project these models do not exist.
registry = Apps(["hospital.crypto"])


class Person(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7)
    name = SealedField("姓名", context="person.name", max_length=10, searchable=HINT)
    document = SealedField("证件号码", context="person.document", null=True)
    number = models.CharField(max_length=16, default="")

    class Meta:
        apps = registry
        app_label = "crypto"


class Account(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7)
    person = models.ForeignKey(Person, models.CASCADE, related_name="accounts")
    openid = SealedField(context="account.openid", subject="person_id")
    pending = SealedField(context="account.pending", subject=SYSTEM_SUBJECT, null=True)

    class Meta:
        apps = registry
        app_label = "crypto"


@pytest.fixture(scope="module", autouse=True)
def tables(django_db_setup, django_db_blocker):
    with django_db_blocker.unblock():
        with connection.schema_editor() as editor:
            editor.create_model(Person)
            editor.create_model(Account)
        yield
        with connection.schema_editor() as editor:
            editor.delete_model(Account)
            editor.delete_model(Person)


@pytest.fixture(autouse=True)
def keyfile(settings, tmp_path):
    settings.KEY_FILE = tmp_path / "root.key"
    settings.KEY_PROVIDER = "file"
    settings.CRYPTO_SUITE = "aes-256-gcm"
    settings.KEY_CACHE_SECONDS = 60
    keyring.clear()
    FileProvider.create(settings.KEY_FILE)
    yield
    keyring.clear()


@pytest.fixture
def person(db):
    return Person.objects.create(name=NAME, document="11010119900307001X")


@pytest.fixture
def known(monkeypatch):
    """Unpickling looks models up in the project's registry."""
    monkeypatch.setitem(apps.get_app_config("crypto").models, "person", Person)


def stored(instance, column):
    meta = instance._meta
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {column} FROM {meta.db_table} WHERE id = %s",  # noqa: S608
            [meta.pk.get_db_prep_value(instance.pk, connection)],
        )
        (value,) = cursor.fetchone()
    return None if value is None else bytes(value)


def store(instance, column, blob):
    meta = instance._meta
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {meta.db_table} SET {column} = %s WHERE id = %s",  # noqa: S608
            [blob, meta.pk.get_db_prep_value(instance.pk, connection)],
        )


def again(instance):
    return type(instance).objects.get(pk=instance.pk)


# Reading and writing.


def test_what_is_written_is_read(person):
    read = again(person)

    assert (read.name, read.document) == (NAME, "11010119900307001X")
    assert (person.name, person.document) == (NAME, "11010119900307001X")


def test_the_column_holds_no_plaintext(person):
    blob = stored(person, "name")

    assert blob[:3].hex() == "fe0101"
    assert len(blob) == 68
    assert NAME.encode() not in blob


@pytest.mark.django_db
def test_each_suite_seals(settings):
    settings.CRYPTO_SUITE = "sm4-gcm"
    person = Person.objects.create(name=NAME)

    assert stored(person, "name")[2] == 2
    assert again(person).name == NAME


@pytest.mark.django_db
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=10))
def test_any_text_comes_back(name):
    person = Person.objects.create(name=name)

    assert again(person).name == name


@pytest.mark.django_db
def test_null_is_null_and_empty_is_a_value():
    person = Person.objects.create(name="", document=None)

    assert stored(person, "document") is None
    assert len(stored(person, "name")) == 68
    assert (again(person).name, again(person).document) == ("", None)


@pytest.mark.django_db
def test_a_name_left_out_is_not_an_empty_name():
    with pytest.raises(IntegrityError), transaction.atomic():
        Person.objects.create()


@pytest.mark.django_db
def test_every_way_of_saving_seals():
    bulk = Person.objects.bulk_create([Person(name="甲"), Person(name="乙")])
    person, _ = Person.objects.get_or_create(number="7", defaults={"name": "丙"})
    Person.objects.update_or_create(number="7", defaults={"name": "丁"})

    assert [again(one).name for one in [*bulk, person]] == ["甲", "乙", "丁"]


def test_saving_what_was_not_touched_changes_nothing_and_needs_no_key(person):
    before = stored(person, "name")
    read = again(person)
    keyring.destroy(person.pk)

    read.number = "8"
    read.save()

    assert stored(person, "name") == before
    assert again(person).number == "8"


def test_a_new_value_is_sealed_anew(person):
    before = stored(person, "name")
    read = again(person)

    read.name = NAME
    read.save(update_fields=["name"])

    assert stored(person, "name") != before
    assert again(person).name == NAME


@pytest.mark.django_db
@pytest.mark.parametrize("value", [7, b"x", ["x"], F("number"), Value("x"), {}])
def test_only_text_is_assigned(value):
    with pytest.raises(TypeError, match=r"person\.name takes text"):
        Person(name=value)


@pytest.mark.django_db
def test_too_long_a_name_is_refused_by_saving_and_by_cleaning():
    person = Person(name="长" * 11)

    with pytest.raises(ValueError, match="longer than 10") as saving, transaction.atomic():
        person.save()
    with pytest.raises(ValidationError) as cleaning:
        person.full_clean()
    assert "长" not in repr(saving.value.args) + repr(cleaning.value)
    assert cleaning.value.message_dict["name"] == ["不能超过 10 个字符"]
    Person(name="长" * 10, number="1").full_clean()


@pytest.mark.django_db
def test_what_is_not_unicode_is_refused_without_being_quoted():
    with pytest.raises(ValueError, match="not Unicode text") as caught:
        Person.objects.create(name="张\ud800")

    assert "张" not in repr(caught.value.args)
    assert caught.value.__cause__ is caught.value.__context__ is None


# Whose key.


def test_a_foreign_key_names_the_subject(person):
    account = Account.objects.create(person=person, openid="o1", pending="p1")

    read = again(account)
    assert (read.openid, read.pending) == ("o1", "p1")
    keyring.destroy(person.pk)
    read = again(account)
    with pytest.raises(SubjectForgotten):
        _ = read.openid
    assert read.pending == "p1"


@pytest.mark.django_db
def test_without_a_subject_nothing_is_sealed():
    with pytest.raises(Unplaced):
        Account(openid="o1").save()


def test_an_account_given_to_another_person_is_sealed_for_them(person):
    account = again(Account.objects.create(person=person, openid="o1"))
    other = Person.objects.create(name="李四")

    account.person = other
    account.save()

    keyring.destroy(person.pk)
    assert again(account).openid == "o1"
    keyring.destroy(other.pk)
    with pytest.raises(SubjectForgotten):
        _ = again(account).openid


def test_forgetting_one_person_leaves_the_others(person):
    other = Person.objects.create(name="李四")

    keyring.destroy(person.pk)

    with pytest.raises(SubjectForgotten):
        _ = again(person).name
    assert again(other).name == "李四"


# Deferring, refreshing, copying.


@pytest.mark.parametrize(
    "narrow", [lambda all_: all_.only("name"), lambda all_: all_.defer("name")]
)
def test_a_deferred_value_is_loaded_and_not_lost(person, narrow):
    read = narrow(Person.objects).get(pk=person.pk)

    assert read.name == NAME
    read.number = "9"
    read.save()
    assert again(person).name == NAME


def test_saving_a_value_that_was_not_even_loaded_keeps_it(person):
    read = Person.objects.defer("name").get(pk=person.pk)

    read.save(update_fields=["name"])

    assert again(person).name == NAME


def test_a_subject_that_was_deferred_is_found(person):
    account = Account.objects.create(person=person, openid="o1")

    read = Account.objects.only("openid").get(pk=account.pk)

    assert read.openid == "o1"
    read.save()
    assert again(account).openid == "o1"


def test_refreshing_opens_nothing(person):
    read = again(person)
    keyring.destroy(person.pk)

    read.refresh_from_db()
    person.refresh_from_db()

    for one in (read, person):
        assert isinstance(one.__dict__["name"], Sealed)
        with pytest.raises(SubjectForgotten):
            _ = one.name


def test_refreshing_brings_what_another_wrote(person):
    read, writing = again(person), again(person)
    writing.name = "李四"
    writing.save()

    read.refresh_from_db()

    assert read.name == "李四"


def test_a_clone_is_sealed_for_its_own_row_and_subject(person):
    clone = again(person)
    clone.pk = None
    clone._state.adding = True

    clone.save()

    assert clone.pk != person.pk
    assert again(clone).name == clone.name == NAME
    keyring.destroy(person.pk)
    assert again(clone).name == NAME


def test_a_clone_made_before_anything_was_read_is_sealed_anew(person):
    account = Account.objects.create(person=person, openid="o1")
    clone = Account.objects.only("openid", "pending").get(pk=account.pk)
    clone.pk = uuid7()

    clone.person_id = person.pk
    assert clone.openid == "o1"
    clone.save(force_insert=True)
    assert again(clone).openid == "o1"


def test_copies_are_copies(person, known):
    read = again(person)

    assert copy.copy(read).name == copy.deepcopy(read).name == NAME
    assert copy.deepcopy(person).name == NAME


# Attacks on the database.


@pytest.mark.parametrize("at", range(68))
def test_a_change_of_any_byte_is_noticed(person, at):
    blob = stored(person, "name")
    store(person, "name", blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1 :])

    with pytest.raises((Unopenable, UnknownKey)):
        _ = again(person).name


def test_values_do_not_move_between_rows(person):
    other = Person.objects.create(name="李四")
    store(other, "name", stored(person, "name"))

    with pytest.raises(Tampered):
        _ = again(other).name


def test_values_do_not_move_between_rows_of_one_subject(person):
    one, other = (Account.objects.create(person=person, openid=o) for o in ("o1", "o2"))
    store(other, "openid", stored(one, "openid"))

    with pytest.raises(Tampered):
        _ = again(other).openid


def test_values_do_not_move_between_columns(person):
    store(person, "name", stored(person, "document"))

    with pytest.raises(Tampered):
        _ = again(person).name


def test_a_row_does_not_move_between_subjects(person):
    account = Account.objects.create(person=person, openid="o1")
    other = Person.objects.create(name="李四")
    Account.objects.filter(pk=account.pk).update(person=other)

    with pytest.raises(Tampered):
        _ = again(account).openid


def test_the_keys_of_two_subjects_do_not_swap(person):
    other = Person.objects.create(name="李四")
    DataKey.objects.filter(subject=other.pk).delete()
    DataKey.objects.filter(subject=person.pk).update(subject=other.pk)
    keyring.clear()

    with pytest.raises(Unopenable):
        _ = again(other).name


@pytest.mark.parametrize("suite", [b"\x00", b"\x02", b"\x03", b"\xff"])
def test_another_cipher_in_the_header_is_not_followed(person, suite):
    blob = stored(person, "name")
    store(person, "name", blob[:2] + suite + blob[3:])

    with pytest.raises((Tampered, UnsupportedSuite)):
        _ = again(person).name


@pytest.mark.parametrize("planted", [NAME.encode(), b"", b"\xfe\x01", MASK.encode()])
def test_plaintext_put_into_the_column_is_not_read(person, planted):
    store(person, "name", planted)

    with pytest.raises(NotSealed):
        _ = again(person).name


# Queries.


@pytest.mark.parametrize(
    "question",
    [
        {"name": NAME},
        {"name": None},
        {"name": Value(NAME)},
        {"name": F("number")},
        {"name__exact": NAME},
        {"name__in": [NAME]},
        {"name__icontains": NAME},
        {"name__startswith": NAME},
        {"name__regex": NAME},
        {"name__gt": NAME},
        {"name__upper__exact": NAME},
        {"name__length": 2},
    ],
)
def test_a_sealed_column_is_not_searched(person, question):
    for ask in (Person.objects.filter, Person.objects.exclude, Person.objects.get):
        with pytest.raises(FieldError) as caught:
            list(ask(**question))
        assert "person.name" in str(caught.value)
        assert HINT in str(caught.value)
        assert NAME not in str(caught.value)


def test_nor_across_a_relation_or_within_a_q(person):
    with pytest.raises(FieldError):
        Account.objects.filter(person__name=NAME)
    with pytest.raises(FieldError):
        Person.objects.filter(Q(number="1") | ~Q(name__icontains=NAME))
    with pytest.raises(FieldError):
        list(Person.objects.filter(number=F("name")))
    with pytest.raises(FieldError):
        Person.objects.get_or_create(name=NAME)


def test_whether_there_is_a_value_may_be_asked(person):
    bare = Person.objects.create(name="李四")

    assert list(Person.objects.filter(document__isnull=True)) == [bare]
    assert list(Person.objects.exclude(document__isnull=True)) == [person]
    Account.objects.create(person=person, openid="o1")
    assert Account.objects.filter(person__document__isnull=False).count() == 1
    within = Person.objects.filter(document__isnull=True)
    assert list(Person.objects.filter(pk__in=within)) == [bare]


@pytest.mark.parametrize(
    "order",
    [
        lambda: Person.objects.order_by("name"),
        lambda: Person.objects.order_by("-name"),
        lambda: Person.objects.order_by(F("name").asc()),
        lambda: Person.objects.order_by(F("name").desc(nulls_last=True)),
        lambda: Person.objects.order_by(Upper("name")),
        lambda: Person.objects.order_by(Concat("name", Value("x"))),
        lambda: Account.objects.order_by("person__name"),
        lambda: Account.objects.order_by(F("person__name").asc()),
        lambda: [Person.objects.latest("name")],
        lambda: [Person.objects.earliest("name")],
        lambda: Person.objects.annotate(up=Upper("name")),
        lambda: Person.objects.annotate(up=Upper("name")).filter(up="X"),
        lambda: [Person.objects.aggregate(Max("name"))],
        lambda: Person.objects.values("number").annotate(Max("name")),
        lambda: Person.objects.filter(pk=F("name")),
        lambda: Person.objects.annotate(size=Length("name")).filter(size=68),
    ],
)
def test_a_sealed_column_is_not_sorted_compared_or_computed_with(person, order):
    with pytest.raises(FieldError, match=r"person\.name 已封存"):
        list(order())


@pytest.mark.postgresql
@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="DISTINCT ON is PostgreSQL's")
def test_nor_made_distinct(person):
    with pytest.raises(FieldError, match=r"person\.name 已封存"):
        list(Person.objects.distinct("name"))


def test_what_has_nothing_to_do_with_the_value_works(person):
    Account.objects.create(person=person, openid="o1")

    assert Person.objects.annotate(many=Count("accounts")).get().many == 1
    assert Person.objects.order_by("number").distinct().count() == 1
    assert Account.objects.select_related("person").get().person.name == NAME
    assert Person.objects.prefetch_related("accounts").get().accounts.all()[0].openid == "o1"
    assert Person.objects.aggregate(many=Count("name"))["many"] == 1
    assert Person.objects.union(Person.objects.all()).count() == 1
    assert [one.name for one in Person.objects.raw("SELECT * FROM crypto_person")] == [NAME]
    assert Person.objects.filter(pk__in=Person.objects.values("pk")).exists()
    assert [one.name for one in Person.objects.all()[:1].iterator()] == [NAME]


@pytest.mark.parametrize(
    "value",
    [NAME, "", b"x", 7, Value(NAME), F("number"), Upper("number"), Concat("name", "number")],
)
def test_nothing_but_a_sealed_value_is_updated_into_the_column(person, value):
    before = stored(person, "name")

    with pytest.raises(FieldError) as caught, transaction.atomic():
        Person.objects.filter(pk=person.pk).update(name=value)

    assert NAME not in str(caught.value)
    assert stored(person, "name") == before


def test_a_bulk_update_fails_rather_than_show_plaintext(person):
    person.name = "李四"

    with pytest.raises(FieldError), transaction.atomic():
        Person.objects.bulk_update([person], ["name"])
    assert again(person).name == NAME


def test_a_column_may_be_emptied(person):
    Person.objects.filter(pk=person.pk).update(document=None)

    assert again(person).document is None


def test_a_value_sealed_for_another_column_is_not_written_here(person):
    stranger = Person.objects.values_list("document", flat=True).get(pk=person.pk)

    with pytest.raises(FieldError):
        Person.objects.update(name=stranger)
    with pytest.raises(FieldError):
        person.name = stranger


# Traces.


def test_values_are_masked(person):
    row = Person.objects.values("name", "document").get()
    (name,) = Person.objects.values_list("name", flat=True)

    assert repr(row) == "{'name': <sealed person.name>, 'document': <sealed person.document>}"
    assert f"{name} {name!r} {name:>22}" == f"{MASK} {MASK}   {MASK}"


def test_an_instance_that_was_saved_pickles_sealed(person, known):
    for instance in (person, again(person)):
        pickled = pickle.dumps(instance)

        assert NAME.encode() not in pickled
        assert NAME.encode("unicode_escape") not in pickled
        assert pickle.loads(pickled).name == NAME  # noqa: S301


def test_a_text_not_saved_yet_is_not_pickled(person):
    person.name = "李四"

    with pytest.raises(TypeError, match=r"person\.name") as caught:
        pickle.dumps(person)
    assert "李四" not in str(caught.value)


def test_a_queryset_pickles_sealed(person, known):
    pickled = pickle.dumps(Person.objects.all())

    assert NAME.encode() not in pickled
    assert pickle.loads(pickled)[0].name == NAME  # noqa: S301


def test_what_an_instance_holds_shows_nothing(person):
    fresh = Person(name=NAME)

    for instance in (person, fresh, again(person)):
        assert NAME not in repr(vars(instance))
        assert NAME not in f"{instance!r} {instance}"
        assert str(instance.__dict__["name"]) == MASK


def test_forms_and_dictionaries_leave_it_out(person):
    form = modelform_factory(Person, fields="__all__")(instance=person)

    assert "name" not in form.fields
    assert NAME not in repr(model_to_dict(person))
    assert Person._meta.get_field("name").formfield() is None
    assert Person._meta.get_field("name").value_from_object(person) == MASK


@pytest.mark.parametrize("form", ["json", "xml", "python", "jsonl"])
def test_a_fixture_shows_a_mask(person, form):
    person.document = None

    dumped = str(serializers.serialize(form, [again(person), person]))

    assert NAME not in dumped
    assert json.dumps(NAME)[1:-1] not in dumped
    assert "sealed person.name" in dumped


def test_a_mask_is_not_loaded_as_a_name(person):
    dumped = serializers.serialize("json", [person])
    field = Person._meta.get_field("name")

    with pytest.raises(ValidationError):
        field.to_python(json.loads(dumped)[0]["fields"]["name"])
    with pytest.raises(ValueError, match="a mask is not a value"):
        Person(name=MASK)


def test_a_fixture_with_plaintext_does_not_reach_the_column(person):
    person.name = "李四"

    with pytest.raises(FieldError):
        person.save_base(raw=True)


# Transactions.


class RolledBack(Exception):
    pass


@pytest.mark.django_db(transaction=True)
def test_an_instance_saved_again_after_a_rollback_is_sealed_again():
    person = Person(name=NAME)
    with pytest.raises(RolledBack), transaction.atomic():
        person.save()
        raise RolledBack

    person.save(force_insert=True)

    keyring.clear()
    assert again(person).name == NAME
    Person.objects.all().delete()


@pytest.mark.django_db(transaction=True)
def test_a_clone_saved_again_after_a_rollback_is_sealed_again():
    clone = again(Person.objects.create(name=NAME))
    clone.pk = uuid7()
    with pytest.raises(RolledBack), transaction.atomic():
        clone.save(force_insert=True)
        raise RolledBack

    clone.save(force_insert=True)

    keyring.clear()
    assert again(clone).name == NAME
    Person.objects.all().delete()


@pytest.mark.django_db(transaction=True)
def test_after_the_commit_an_instance_holds_no_text():
    with transaction.atomic():
        person = Person.objects.create(name=NAME)
        person.number = "1"

    assert isinstance(person.__dict__["name"], Sealed)
    before = stored(person, "name")
    person.save()
    assert stored(person, "name") == before
    assert person.name == NAME
    Person.objects.all().delete()


@pytest.mark.django_db(transaction=True)
def test_a_text_assigned_after_saving_is_not_overwritten_by_the_commit():
    with transaction.atomic():
        person = Person.objects.create(name=NAME)
        person.name = "李四"

    assert person.name == "李四"
    person.save()
    assert again(person).name == "李四"
    Person.objects.all().delete()


# Outside models.

ROW = UUID("01890000-0000-7000-8000-000000000009")


@pytest.mark.django_db
def test_a_text_kept_elsewhere_is_bound_to_its_place():
    blob = seal_text("authinfo", context="authinfo", row=ROW)

    assert open_text(blob, context="authinfo", row=ROW) == "authinfo"
    for context, row, subject in [
        ("other", ROW, SYSTEM_SUBJECT),
        ("authinfo", uuid7(), SYSTEM_SUBJECT),
        ("authinfo", ROW, uuid7()),
    ]:
        with pytest.raises(Unopenable):
            open_text(blob, context=context, row=row, subject=subject)


# Declaration.


def test_a_migration_keeps_the_context_and_the_subject():
    name, path, args, kwargs = Account._meta.get_field("openid").deconstruct()

    assert (name, path, args) == ("openid", "hospital.crypto.fields.SealedField", [])
    assert kwargs == {"context": "account.openid", "subject": "person_id"}
    assert SealedField(**kwargs).subject == "person_id"
    _, _, _, kwargs = Person._meta.get_field("name").deconstruct()
    assert kwargs == {"verbose_name": "姓名", "context": "person.name", "max_length": 10}


def test_the_models_of_these_tests_pass_the_checks():
    for field in (*Person._meta.local_fields, *Account._meta.local_fields):
        assert not isinstance(field, SealedField) or field.check() == []


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"unique": True}, "crypto.E001"),
        ({"db_index": True}, "crypto.E001"),
        ({"choices": [("a", "a")]}, "crypto.E001"),
        ({"primary_key": True}, "crypto.E001"),
        ({"db_default": Value("x")}, "crypto.E001"),
        ({"subject": "nobody_id"}, "crypto.E003"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, error):
    class Odd(models.Model):
        if "primary_key" not in options:
            id = models.UUIDField(primary_key=True, default=uuid7)
        name = SealedField(context="odd.name", **options)

        class Meta:
            apps = Apps()
            app_label = "crypto"

    assert error in {found.id for found in Odd._meta.get_field("name").check()}


def test_a_row_numbered_by_the_database_is_refused():
    class Numbered(models.Model):
        id = models.BigAutoField(primary_key=True)
        name = SealedField(context="numbered.name")

        class Meta:
            apps = Apps()
            app_label = "crypto"

    class Late(models.Model):
        name = SealedField(context="late.name")
        id = models.UUIDField(primary_key=True, default=uuid7)

        class Meta:
            apps = Apps()
            app_label = "crypto"

    assert [found.id for found in Numbered.check()] == ["crypto.E002"]
    assert [found.id for found in Late.check()] == ["crypto.E004"]


def test_two_columns_with_one_context_are_refused(monkeypatch):
    class Namesake(models.Model):
        id = models.UUIDField(primary_key=True, default=uuid7)
        name = SealedField(context="person.name")

        class Meta:
            apps = Apps()
            app_label = "crypto"
            unique_together = [("id", "name")]

    monkeypatch.setattr(apps, "get_models", lambda **_: [Person, Namesake])

    assert [found.id for found in checks.contexts_are_unique()] == ["crypto.E005"]
    assert [found.id for found in checks.constraints_leave_sealed_fields_alone()] == ["crypto.E006"]


@pytest.mark.django_db(transaction=True)
def test_what_was_loaded_before_a_rotation_is_not_written_back_under_the_old_key():
    person = Person.objects.create(name=NAME)
    loaded = Person.objects.get(pk=person.pk)
    epoch = epochs.active()
    data_keys.new_key(person.pk, 2, suite=Suite.AES_256_GCM, epoch=epoch).save()
    keyring.clear()
    keyring.data_key(person.pk)

    loaded.save()

    [held] = Person.objects.filter(pk=person.pk).values_list("name", flat=True)
    assert generation_of(held.blob) == 2
    assert Person.objects.get(pk=person.pk).name == NAME


@pytest.mark.django_db(transaction=True)
def test_what_nobody_can_open_any_more_does_not_overwrite_what_can_be_opened():
    person = Person.objects.create(name=NAME)
    stale = Person.objects.get(pk=person.pk)
    data_keys.new_key(person.pk, 2, suite=Suite.AES_256_GCM, epoch=epochs.active()).save()
    keyring.clear()
    keyring.data_key(person.pk)
    Person.objects.get(pk=person.pk).save()  # sealed anew
    DataKey.objects.filter(subject=person.pk, generation=1).delete()
    keyring.clear()
    keyring.data_key(person.pk)

    with pytest.raises(UnknownKey):
        stale.save()
    assert Person.objects.get(pk=person.pk).name == NAME
