"""What a model with sealed fields does with many values at once, and with its blind indexes."""

import pickle

import pytest
from django.apps import apps
from django.apps.registry import Apps
from django.core.exceptions import FieldError
from django.db import connection, models, transaction
from django.db.models import (
    Case,
    Count,
    Exists,
    F,
    Func,
    Max,
    OuterRef,
    Q,
    Subquery,
    Value,
    When,
    Window,
)
from django.db.models.functions import Length, RowNumber, Upper
from uuid6 import uuid7

from hospital.crypto import keyring, lists
from hospital.crypto.fields import Sealed, SealedField
from hospital.crypto.indexes import BlindIndex, Spread
from hospital.crypto.keyring import SubjectForgotten
from hospital.crypto.models import DataKey
from hospital.crypto.records import SealedModel

HINT = "按证件号码查询请用 Visitor.by_document"

# A registry of their own: to the project these models do not exist.
registry = Apps(["hospital.crypto"])


class Visitor(SealedModel):
    id = models.UUIDField(primary_key=True, default=uuid7)
    name = SealedField(context="visitor.name", max_length=10, searchable=HINT)
    document = SealedField(context="visitor.document", null=True)
    ward = models.CharField(max_length=16, default="")

    by_document = BlindIndex(
        "visitor.document",
        column="document_index",
        parts={"document number": Spread.UNIQUE},
        of="document_parts",
        unique=True,
    )

    class Meta:
        apps = registry
        app_label = "crypto"

    def document_parts(self):
        return None if self.document is None else (self.document,)


class Visit(SealedModel):
    id = models.UUIDField(primary_key=True, default=uuid7)
    visitor = models.ForeignKey(Visitor, models.CASCADE, related_name="visits")
    reason = SealedField(context="visit.reason", subject="visitor_id", null=True)
    ward = models.CharField(max_length=16, default="")

    class Meta:
        apps = registry
        app_label = "crypto"


class Person(Visitor):
    """Sealed fields of its own beside those of its parent."""

    nickname = SealedField(context="person.nickname", null=True)

    class Meta:
        apps = registry
        app_label = "crypto"


class Regular(Visitor):
    class Meta:
        apps = registry
        app_label = "crypto"
        proxy = True


class Noted(SealedModel):
    id = models.UUIDField(primary_key=True, default=uuid7)
    note = SealedField(context="noted.note")

    class Meta:
        abstract = True


class Complaint(Noted):
    class Meta:
        apps = registry
        app_label = "crypto"


TABLES = (Visitor, Visit, Person, Complaint)


@pytest.fixture(scope="module", autouse=True)
def tables(django_db_setup, django_db_blocker):
    with django_db_blocker.unblock():
        with connection.schema_editor() as editor:
            for model in TABLES:
                editor.create_model(model)
        yield
        with connection.schema_editor() as editor:
            for model in reversed(TABLES):
                editor.delete_model(model)


pytestmark = pytest.mark.django_db


@pytest.fixture
def visitors():
    return Visitor.objects.bulk_create(
        [Visitor(name=f"访客{n}", document=f"证{n}", ward=str(n)) for n in range(5)]
    )


@pytest.fixture
def visitor(visitors):
    return visitors[0]


def again(instance):
    return type(instance).objects.get(pk=instance.pk)


def found(document):
    return list(Visitor.objects.filter(Visitor.by_document.matching(document)))


# The keys of a list.


def names(rows):
    return sorted(row.name for row in rows)


NAMES = [f"访客{n}" for n in range(5)]


@pytest.mark.parametrize(
    ("listed", "queries"),
    [
        (Visitor.objects.all, 2),
        (lambda: list(Visitor.objects.all()), 2),
        (Visitor.objects.iterator, 2),
        (lambda: Visitor.objects.iterator(chunk_size=100), 2),
        (lambda: Visitor.objects.order_by("ward")[:5], 2),
        (lambda: Visitor.objects.prefetch_related("visits"), 3),
        (lambda: [visit.visitor for visit in Visit.objects.select_related("visitor")], 2),
        (lambda: Visitor.objects.in_bulk().values(), 2),
        (Regular.objects.all, 2),
    ],
    ids=[
        "queryset",
        "list",
        "iterator",
        "chunks",
        "slice",
        "prefetch_related",
        "select_related",
        "in_bulk",
        "proxy",
    ],
)
def test_a_list_is_read_with_one_query_for_its_keys(
    visitors, listed, queries, django_assert_num_queries
):
    Visit.objects.bulk_create([Visit(visitor=one) for one in visitors])
    keyring.data_key(visitors[0].pk)
    keyring.clear()
    keyring.open_all()

    with django_assert_num_queries(queries):
        assert names(listed()) == NAMES


def test_opening_one_of_a_list_fetches_the_keys_of_all(visitors, django_assert_num_queries):
    rows = list(Visitor.objects.order_by("ward"))
    keyring.clear()
    keyring.open_all()

    with django_assert_num_queries(1):
        assert rows[3].name == "访客3"
        assert rows[0].name == "访客0"


def test_a_list_longer_than_the_memory_is_fetched_in_parts(
    visitors, monkeypatch, django_assert_num_queries
):
    monkeypatch.setattr(lists, "_AT_ONCE", 6)  # two values of each of three visitors
    rows = list(Visitor.objects.order_by("ward"))
    keyring.clear()
    keyring.open_all()

    with django_assert_num_queries(2):
        assert names(rows) == NAMES


def test_a_list_nobody_reads_asks_for_no_key(visitors, django_assert_num_queries):
    keyring.clear()

    with django_assert_num_queries(1):
        assert len(list(Visitor.objects.all())) == 5


def test_one_forgotten_visitor_does_not_take_the_list_along(visitors):
    keyring.destroy(visitors[2].pk)
    keyring.clear()
    rows = list(Visitor.objects.order_by("ward"))

    with pytest.raises(SubjectForgotten):
        _ = rows[2].name
    assert [rows[n].name for n in (0, 1, 3, 4)] == ["访客0", "访客1", "访客3", "访客4"]


def test_a_pickled_row_does_not_carry_the_list(visitors, monkeypatch):
    monkeypatch.setitem(apps.get_app_config("crypto").models, "visitor", Visitor)

    row = next(iter(Visitor.objects.order_by("ward")))
    copied = pickle.loads(pickle.dumps(row))  # noqa: S301

    assert row.__dict__["name"].fetched
    assert copied.__dict__["name"].fetched is None
    assert copied.name == "访客0"


# Writing many.


def test_the_keys_of_new_rows_are_made_at_once(django_assert_num_queries):
    Visitor.objects.create(name="首", document="首")  # an epoch, an index key
    fresh = [Visitor(name="新", document=f"新{n}") for n in range(20)]

    with django_assert_num_queries(5):  # look for keys, make, read; insert, in a transaction
        Visitor.objects.bulk_create(fresh)

    assert DataKey.objects.filter(subject__in=[one.pk for one in fresh]).count() == 20
    assert [again(one).name for one in fresh] == ["新"] * 20


def test_no_key_is_made_for_a_row_that_holds_nothing(visitor):
    DataKey.objects.all().delete()
    keyring.clear()

    Visit.objects.bulk_create([Visit(visitor=visitor)])

    assert not DataKey.objects.exists()


@pytest.mark.parametrize("target", ["id", "document_index"])
def test_creating_over_what_is_there_is_refused(visitor, target):
    replacing = Visitor(pk=visitor.pk, name="新", document="证0")

    with pytest.raises(FieldError, match="update_conflicts"):
        Visitor.objects.bulk_create(
            [replacing], update_conflicts=True, unique_fields=[target], update_fields=["name"]
        )
    assert again(visitor).name == "访客0"


def test_creating_what_is_there_changes_nothing_if_so_wished(visitor):
    Visitor.objects.bulk_create(
        [Visitor(name="新", document="证0"), Visitor(name="又", document="又")],
        ignore_conflicts=True,
    )

    assert again(visitor).name == "访客0"
    assert [one.name for one in found("又")] == ["又"]
    assert [one.name for one in found("证0")] == ["访客0"]


def test_many_are_updated_each_sealed_for_its_row_and_indexed(visitors):
    for n, one in enumerate(visitors):
        one.name, one.document, one.ward = f"改{n}", f"新证{n}", "x"

    assert Visitor.objects.bulk_update(visitors, ["name", "document", "ward"]) == 5

    assert [(again(one).name, again(one).ward) for one in visitors] == [
        (f"改{n}", "x") for n in range(5)
    ]
    assert [found(f"新证{n}") for n in range(5)] == [[one] for one in visitors]
    assert found("证0") == []


def test_updating_only_plain_fields_of_many_opens_nothing(visitors):
    rows = list(Visitor.objects.all())
    for one in visitors:
        keyring.destroy(one.pk)
    for one in rows:
        one.ward = "y"

    assert Visitor.objects.bulk_update(rows, ["ward"]) == 5
    assert Visitor.objects.filter(ward="y").count() == 5


def test_a_column_is_emptied_by_a_bulk_update_too(visitors):
    visitors[0].document = None

    Visitor.objects.bulk_update(visitors[:1], ["document"])

    assert again(visitors[0]).document is None
    assert found("证0") == []


def test_many_given_to_another_visitor_are_sealed_for_them(visitors):
    visits = Visit.objects.bulk_create([Visit(visitor=visitors[0], reason=r) for r in "甲乙"])
    for one in visits:
        one.visitor = visitors[1]

    Visit.objects.bulk_update(visits, ["visitor"])

    keyring.destroy(visitors[0].pk)
    assert [again(one).reason for one in visits] == ["甲", "乙"]


# Indexes follow.


@pytest.mark.parametrize("names", [["document"], ["name", "document"]], ids=["source", "both"])
def test_saving_a_source_of_an_index_saves_the_index(visitor, names):
    read = again(visitor)
    read.document = "新证"

    read.save(update_fields=names)

    assert found("新证") == [visitor]
    assert found("证0") == []


def test_saving_what_was_loaded_in_part_saves_the_index(visitor):
    read = Visitor.objects.only("document").get(pk=visitor.pk)
    read.document = "新证"

    read.save()

    assert found("新证") == [visitor]


def test_saving_other_fields_asks_for_no_key(visitor, django_assert_num_queries):
    read = again(visitor)
    keyring.clear()
    read.ward = "z"

    with django_assert_num_queries(1):
        read.save(update_fields=["ward"])

    assert again(visitor).ward == "z"


def test_a_visit_given_to_another_visitor_is_sealed_for_them(visitors):
    visit = Visit.objects.create(visitor=visitors[0], reason="复诊")
    visit.visitor = visitors[1]

    visit.save(update_fields=["visitor"])

    keyring.destroy(visitors[0].pk)
    assert again(visit).reason == "复诊"


# update().


@pytest.mark.parametrize(
    "value",
    ["新", "", Value("新"), F("ward"), Upper("ward"), b"x", 7],
    ids=["text", "empty", "value", "f", "function", "bytes", "number"],
)
def test_nothing_is_updated_into_a_sealed_column(visitor, value):
    with pytest.raises(FieldError, match=r"visitor\.name 已封存") as caught:
        Visitor.objects.update(name=value)

    assert "新" not in str(caught.value)
    assert HINT in str(caught.value)
    assert again(visitor).name == "访客0"


def test_a_sealed_column_is_emptied_by_update(visitor):
    assert Visitor.objects.filter(pk=visitor.pk).update(document=None) == 1
    assert again(visitor).document is None


def test_what_was_sealed_for_one_row_is_written_to_no_other(visitors):
    visitors[0].name = "新"
    sealed = Visitor._meta.get_field("name").pre_save(visitors[0], add=False)

    assert Visitor.objects.update(name=sealed) == 1

    assert names(Visitor.objects.all()) == sorted(["新", *NAMES[1:]])


def test_a_sealed_value_without_a_place_is_not_written(visitor):
    (loose,) = Visitor.objects.filter(pk=visitor.pk).values_list("name", flat=True)

    with pytest.raises(FieldError, match=r"visitor\.name 已封存"):
        Visitor.objects.update(name=loose)


@pytest.mark.parametrize("name", ["visitor", "visitor_id", "pk", "id"])
def test_a_row_is_not_given_to_another_visitor_unsealed(visitors, name):
    visit = Visit.objects.create(visitor=visitors[0], reason="复诊")

    with pytest.raises(FieldError, match=r"visit\.reason 已封存"):
        Visit.objects.update(**{name: visitors[1].pk})
    assert again(visit).reason == "复诊"


# Queries that would sort or compare what is sealed.

HEX = Func("name", function="HEX", output_field=models.CharField())
V, A = (lambda: Visitor.objects), (lambda: Visit.objects)
SORTS = {
    "order_by an annotation": lambda: V().annotate(x=F("name")).order_by("x"),
    "order_by a hidden annotation": lambda: V().alias(x=F("name")).order_by("x"),
    "an annotation": lambda: V().annotate(x=F("name")),
    "a related annotation": lambda: A().annotate(x=F("visitor__name")).order_by("x"),
    "a values annotation": lambda: V().values(x=F("name")).order_by("x"),
    "order_by": lambda: V().order_by("name"),
    "order_by descending": lambda: V().order_by("-name"),
    "order_by F": lambda: V().order_by(F("name").asc()),
    "order_by related": lambda: A().order_by("visitor__name"),
    "order_by values": lambda: V().values("name").order_by("name"),
    "order_by reversed": lambda: V().order_by("name").reverse(),
    "order_by random and name": lambda: V().order_by("?", "name"),
    "order_by Func": lambda: V().order_by(HEX),
    "annotated Func": lambda: V().annotate(x=HEX).order_by("x"),
    "latest": lambda: [V().latest("name")],
    "earliest": lambda: [V().earliest("name")],
    "first": lambda: [V().order_by("name").first()],
    "last": lambda: [V().order_by("name").last()],
    "distinct values": lambda: V().values("name").distinct(),
    "distinct related values": lambda: A().values("visitor__name").distinct(),
    "grouped": lambda: V().values("name").annotate(n=Count("pk")),
    "Max": lambda: [V().aggregate(Max("name"))],
    "Count distinct": lambda: [V().aggregate(Count("name", distinct=True))],
    "annotated Count distinct": lambda: V().values("ward").annotate(Count("name", distinct=True)),
    "Count filter": lambda: [V().aggregate(x=Count("pk", filter=Q(ward=F("name"))))],
    "Upper": lambda: V().annotate(x=Upper("name")),
    "Length": lambda: V().annotate(x=Length("name")).order_by("x"),
    "Case": lambda: V().annotate(x=Case(When(ward=F("name"), then=1))),
    "Window": lambda: V().annotate(x=Window(RowNumber(), order_by="name")),
    "filter F": lambda: V().filter(ward=F("name")),
    "exclude F": lambda: V().exclude(ward=F("name")),
    "filter Q": lambda: V().filter(Q(ward="1") | Q(ward=F("name"))),
    "filter exact": lambda: V().filter(name="访客0"),
    "related exact": lambda: A().filter(visitor__name="访客0"),
    "filter an annotation": lambda: V().alias(x=F("name")).filter(x="访客0"),
    "filter update": lambda: [V().filter(ward=F("name")).update(ward="1")],
    "filter delete": lambda: [V().filter(ward=F("name")).delete()],
    "update from": lambda: [V().update(ward=F("name"))],
    "Exists": lambda: V().filter(Exists(A().filter(ward=OuterRef("name")))),
    "Exists annotated": lambda: V().annotate(x=Exists(A().filter(ward=OuterRef("name")))),
    "Subquery": lambda: A().annotate(x=Subquery(V().values("name")[:1])).order_by("x"),
    "Subquery of outer": lambda: V().annotate(x=Subquery(A().values(y=OuterRef("name"))[:1])),
    "in a subquery": lambda: V().filter(ward__in=V().values("name")),
    "union": lambda: V().values("name").union(V().values("name")),
    "intersection": lambda: V().values("name").intersection(V().values("name")),
    "difference": lambda: V().values("name").difference(V().values("name")),
    "ordered union": lambda: V().all().union(V().all()).order_by("name"),
    "ordered union of values": lambda: V().values("pk", "name").union(
        V().values("pk", "name"), all=True
    ).order_by("-name"),
    "get_or_create": lambda: [V().get_or_create(name="访客0")],
    "update_or_create": lambda: [V().update_or_create(name="访客0", defaults={"ward": "1"})],
    "unique dates": lambda: V().values_list("name", flat=True).distinct().order_by("ward"),
}  # fmt: skip


@pytest.mark.parametrize("query", SORTS.values(), ids=SORTS.keys())
def test_nothing_sorts_compares_or_computes_with_a_sealed_column(visitors, query):
    refused = pytest.raises(FieldError, match=r"visitor\.name 已封存")
    with refused as caught, transaction.atomic():
        list(query())

    assert HINT in str(caught.value)
    assert "访客" not in str(caught.value)
    assert Visitor.objects.count() == 5


@pytest.mark.parametrize(
    "query",
    [
        lambda: V().dates("name", "year"),
        lambda: V().datetimes("name", "year"),
        lambda: V().in_bulk(["访客0"], field_name="name"),
    ],
    ids=["dates", "datetimes", "in_bulk"],
)
def test_what_asks_for_another_kind_of_field_is_refused_by_name(visitors, query):
    with pytest.raises((FieldError, TypeError, ValueError), match="name"):
        list(query())


@pytest.mark.postgresql
@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="DISTINCT ON is PostgreSQL's")
def test_nothing_is_distinct_on_a_sealed_column(visitors):
    with pytest.raises(FieldError, match=r"visitor\.name 已封存"):
        list(Visitor.objects.distinct("name"))


def test_what_compares_no_sealed_value_works(visitors):
    Visit.objects.create(visitor=visitors[0], reason="复诊")

    assert Visitor.objects.distinct().count() == 5
    assert Visit.objects.select_related("visitor").distinct().get().visitor.name == "访客0"
    assert names(Visitor.objects.union(Visitor.objects.all())) == NAMES
    two = Visitor.objects.filter(ward="0").union(Visitor.objects.filter(ward="1"), all=True)
    assert names(two) == ["访客0", "访客1"]
    assert names(Visitor.objects.union(Visitor.objects.all()).order_by("ward")) == NAMES
    assert len(Visitor.objects.values("pk", "name").distinct()) == 5
    assert (
        len(
            Visitor.objects.values_list("name").union(Visitor.objects.values_list("name"), all=True)
        )
        == 10
    )
    assert Visitor.objects.annotate(n=Count("visits")).order_by("-n")[0].name == "访客0"
    assert Visitor.objects.values("ward").annotate(n=Count("name")).count() == 5
    assert Visitor.objects.aggregate(n=Count("document"))["n"] == 5
    assert (
        Visitor.objects.filter(Exists(Visit.objects.filter(visitor=OuterRef("pk")))).get().name
        == "访客0"
    )
    assert Visitor.objects.filter(pk__in=Visitor.objects.order_by("ward")[:2]).count() == 2
    assert Visitor.objects.annotate(x=Subquery(Visit.objects.values("pk")[:1])).count() == 5
    assert Visitor.objects.order_by("ward").reverse().first().name == "访客4"


def test_values_are_masked(visitors):
    row = Visitor.objects.values("name", "ward").order_by("ward").first()
    Visit.objects.create(visitor=visitors[0])
    (related,) = Visit.objects.values_list("visitor__name", flat=True)

    assert repr(row) == "{'name': <sealed visitor.name>, 'ward': '0'}"
    assert repr(related) == "<sealed visitor.name>"


# Kinds of models.


def test_a_child_and_its_parent_are_both_sealed_and_found():
    child = Person.objects.create(name="张三", document="证", nickname="小张")

    read = again(child)
    assert (read.name, read.nickname) == ("张三", "小张")
    read.nickname, read.document = "老张", "新证"
    read.save()
    assert again(child).nickname == "老张"
    assert Visitor.objects.get(pk=child.pk).name == "张三"
    assert [one.pk for one in found("新证")] == [child.pk]
    Person.objects.bulk_update([read], ["nickname"])
    keyring.destroy(child.pk)
    with pytest.raises(SubjectForgotten):
        _ = again(child).nickname


def test_a_proxy_reads_and_writes_the_same_values(visitor):
    regular = Regular.objects.get(pk=visitor.pk)
    regular.name = "常客"
    regular.save()

    assert again(visitor).name == "常客"


def test_a_field_of_an_abstract_model_is_sealed_in_the_table_of_the_concrete_one():
    complaint = Complaint.objects.create(note="等太久")

    assert again(complaint).note == "等太久"
    assert isinstance(again(complaint).__dict__["note"], Sealed)


def test_the_models_of_patients_are_sealed_models():
    patients = apps.get_app_config("patients").get_models()
    sealed = [m for m in patients if any(isinstance(f, SealedField) for f in m._meta.fields)]

    assert len(sealed) == 6
    assert all(issubclass(model, SealedModel) for model in sealed)
