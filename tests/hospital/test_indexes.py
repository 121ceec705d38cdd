import pytest
from django.apps.registry import Apps
from django.db import IntegrityError, connection, models, transaction
from uuid6 import uuid7

from hospital.crypto import keyring
from hospital.crypto.fields import SealedField
from hospital.crypto.index_keys import index_keys, new_key
from hospital.crypto.indexes import BlindIndex, Spread, blind_indexes, digest, token_digests
from hospital.crypto.models import IndexKey
from hospital.crypto.normalising import DOCUMENT_NUMBER, OPAQUE, PERSON_NAME
from hospital.crypto.providers.file import FileProvider
from hospital.crypto.sealing import pack
from hospital.crypto.suites import Mac

# A registry of their own: to the project these models do not exist.
registry = Apps(["hospital.crypto"])


class Holder(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7)
    document = SealedField(context="holder.document", null=True)
    by_document = BlindIndex(
        "holder.document",
        column="document_index",
        parts={"document number": Spread.UNIQUE},
        of="_document",
        normaliser=DOCUMENT_NUMBER,
        unique=True,
    )

    class Meta:
        apps = registry
        app_label = "crypto"

    def _document(self):
        return None if self.document is None else (self.document,)


@pytest.fixture(scope="module", autouse=True)
def tables(django_db_setup, django_db_blocker):
    with django_db_blocker.unblock():
        with connection.schema_editor() as editor:
            editor.create_model(Holder)
        yield
        with connection.schema_editor() as editor:
            editor.delete_model(Holder)


@pytest.fixture(autouse=True)
def keyfile(settings, tmp_path):
    settings.KEY_FILE = tmp_path / "root.key"
    settings.KEY_PROVIDER = "file"
    settings.CRYPTO_SUITE = "aes-256-gcm"
    keyring.clear()
    FileProvider.create(settings.KEY_FILE)
    yield
    keyring.clear()


def active(label, normaliser=OPAQUE):
    return index_keys(label, normaliser=normaliser.name).active


def digest_of(label, *values, normaliser=OPAQUE, bits=128):
    return digest(active(label, normaliser), label, values, bits=bits)


def second_version(label, state, *, normaliser=DOCUMENT_NUMBER):
    """What a rotation adds; other processes see it when their memory ends."""
    epoch = keyring.epochs.active()
    new_key(
        label, 2, normaliser=normaliser.name, algorithm=Mac.HMAC_SHA256, state=state, epoch=epoch
    ).save()
    keyring.clear()


# The digest.


@pytest.mark.django_db
def test_spellings_of_one_value_are_found_together():
    one = digest_of("document", "11010119900307001x", normaliser=DOCUMENT_NUMBER)
    other = digest_of("document", "１１０１０１ 19900307001X", normaliser=DOCUMENT_NUMBER)

    assert one == other


@pytest.mark.django_db
def test_an_index_is_lowercase_hex_of_so_many_bits():
    whole = digest_of("name", "张三", "1990-03-07", normaliser=PERSON_NAME, bits=256)

    for bits in (4, 16, 64, 128):
        index = digest_of("name", "张三", "1990-03-07", normaliser=PERSON_NAME, bits=bits)
        assert index == whole[: bits // 4]
        assert set(index) <= set("0123456789abcdef")


@pytest.mark.django_db
@pytest.mark.parametrize(("suite", "mac"), [("aes-256-gcm", 1), ("sm4-gcm", 2)])
def test_anyone_with_the_key_computes_the_same(settings, monkeypatch, suite, mac):
    settings.CRYPTO_SUITE = suite
    monkeypatch.setattr("hospital.crypto.index_keys.os.urandom", lambda size: b"k" * size)

    index = digest_of("document", "1", "X", normaliser=DOCUMENT_NUMBER)

    message = pack(b"hfe-ix", b"document", b"document_number/1", b"1", b"X")
    assert index == Mac(mac).digest(b"k" * 32, message).hex()[:32]


@pytest.mark.django_db
def test_two_labels_share_no_key():
    assert active("a") != active("b")
    assert digest_of("a", "x") != digest_of("b", "x")


@pytest.mark.django_db
def test_values_do_not_run_into_each_other():
    assert digest_of("a", "12", "3") != digest_of("a", "1", "23")
    assert digest_of("a", "123") != digest_of("a", "123", "")


@pytest.mark.django_db
def test_an_index_survives_the_process_and_a_change_of_suite_and_of_rule(settings):
    before = digest_of("a", "x\ue863")
    keyring.clear()
    settings.CRYPTO_SUITE = "sm4-gcm"

    assert digest_of("a", "x\ue863", normaliser=PERSON_NAME) == before


@pytest.mark.django_db
def test_what_is_not_text_is_refused_without_being_quoted():
    with pytest.raises(ValueError, match="not Unicode text") as caught:
        digest_of("a", "张\ud800三")

    assert "张" not in repr(caught.value.args)
    assert caught.value.__cause__ is None


# The columns.


@pytest.mark.django_db
@pytest.mark.parametrize("save", ["save", "bulk_create", "get_or_create"])
def test_a_row_is_found_by_any_spelling_however_it_was_saved(save):
    row = Holder(document="11010119900307001x")
    match save:
        case "save":
            row.save()
        case "bulk_create":
            Holder.objects.bulk_create([row])
        case "get_or_create":
            row, _ = Holder.objects.get_or_create(
                pk=row.pk, defaults={"document": "11010119900307001x"}
            )

    assert Holder.objects.get(Holder.by_document.matching("110101 19900307001X")) == row
    assert not Holder.objects.filter(Holder.by_document.matching("2")).exists()


@pytest.mark.django_db
def test_a_changed_value_is_found_and_the_old_one_is_not():
    row = Holder.objects.create(document="1")

    row = Holder.objects.get(pk=row.pk)
    row.document = "2"
    row.save()

    assert Holder.objects.get(Holder.by_document.matching("2")) == row
    assert not Holder.objects.filter(Holder.by_document.matching("1")).exists()


@pytest.mark.django_db
def test_a_digest_somebody_assigned_does_not_stay():
    row = Holder.objects.create(document="1", document_index="0" * 32)

    assert Holder.objects.get(Holder.by_document.matching("1")) == row


@pytest.mark.django_db
def test_without_a_value_there_is_no_digest_and_no_conflict():
    Holder.objects.create(document=None)
    Holder.objects.create(document=None)

    assert (
        list(Holder.objects.values_list("document_index", "document_index_b")) == [(None, None)] * 2
    )


@pytest.mark.django_db
def test_a_forgotten_patient_is_saved_without_a_digest():
    row = Holder.objects.create(document="1")
    keyring.destroy(row.pk)

    Holder.objects.get(pk=row.pk).save()

    assert Holder.objects.get().document_index is None


# While keys rotate.


@pytest.mark.django_db
@pytest.mark.parametrize("state", ["filling", "retiring"])
def test_both_columns_are_written_while_two_versions_live(state):
    Holder.objects.create(document="1")
    second_version("holder.document", state)

    row = Holder.objects.create(document="2")

    assert row.document_index
    assert row.document_index_b
    assert row.document_index != row.document_index_b
    assert Holder.objects.get(Holder.by_document.matching("1"))
    assert Holder.objects.get(Holder.by_document.matching("2")) == row


@pytest.mark.django_db
def test_a_document_is_unique_in_the_column_that_is_still_filling():
    first = Holder.objects.create(document="1")
    second_version("holder.document", "filling")
    first.save()
    Holder.objects.update(document_index=None)  # the first column's conflict out of the way

    with pytest.raises(IntegrityError), transaction.atomic():
        Holder.objects.create(document="1")


@pytest.mark.django_db
def test_the_second_column_is_searched_once_its_version_is_active():
    row = Holder.objects.create(document="1")
    second_version("holder.document", "filling")
    row.save()
    IndexKey.objects.filter(version=1).update(state="retiring")
    IndexKey.objects.filter(version=2).update(state="active")
    keyring.clear()

    assert Holder.by_document.matching("1").children[0][0] == "document_index_b"
    assert Holder.objects.get(Holder.by_document.matching("1")) == row


@pytest.mark.django_db
def test_a_retired_version_is_written_no_more():
    Holder.objects.create(document="1")
    second_version("holder.document", "filling")
    IndexKey.objects.filter(version=1).update(state="retired")
    IndexKey.objects.filter(version=2).update(state="active")
    keyring.clear()

    row = Holder.objects.create(document="2")

    assert row.document_index is None
    assert row.document_index_b


@pytest.mark.django_db
def test_a_token_is_kept_under_the_newest_key_and_found_under_both():
    [before] = token_digests("tokens", "abc")
    second_version("tokens", "filling", normaliser=OPAQUE)
    IndexKey.objects.filter(version=1).update(state="retiring")
    IndexKey.objects.filter(version=2).update(state="active")
    keyring.clear()

    newest, older = token_digests("tokens", "abc")

    assert older == before
    assert newest != before


# Declaration.


def declared(parts, **options):
    index = BlindIndex("x", column="x_index", parts=parts, of="x", **options)
    index.model = Holder
    return [found.id for found in index.check()]


@pytest.mark.parametrize(
    "parts",
    [
        {"surname": Spread.NARROW},
        {"surname": Spread.NARROW, "birth year": Spread.NARROW, "ward": Spread.NARROW},
        {"full name": Spread.WIDE},
        {"full name": Spread.WIDE, "birth year": Spread.NARROW},
    ],
    ids="+".join,
)
def test_what_could_be_counted_gets_no_index(parts):
    assert declared(parts) == ["crypto.E008"]


@pytest.mark.parametrize(
    "parts",
    [
        {"document number": Spread.UNIQUE},
        {"appid": Spread.NARROW, "openid": Spread.UNIQUE},
        {"full name": Spread.WIDE, "birth date": Spread.WIDE},
    ],
    ids="+".join,
)
def test_what_is_nearly_unique_gets_one(parts):
    assert declared(parts) == []


@pytest.mark.parametrize(
    ("bits", "unique"), [(0, False), (-4, False), (3, False), (260, False), (64, True)]
)
def test_a_number_of_bits_that_does_not_fit_is_an_error(bits, unique):
    found = declared({"document number": Spread.UNIQUE}, bits=bits, unique=unique)

    assert found == ["crypto.E009"]


def test_an_index_is_no_ones_but_its_models():
    with pytest.raises(TypeError, match="concrete"):

        class Template(models.Model):
            by_x = BlindIndex("x", column="x_index", parts={"x": Spread.UNIQUE}, of="x")

            class Meta:
                apps = registry
                app_label = "crypto"
                abstract = True

    assert blind_indexes(Holder) == [Holder.by_document]


def test_to_a_migration_the_columns_are_plain():
    for name in ("document_index", "document_index_b"):
        _, path, _, options = Holder._meta.get_field(name).deconstruct()
        assert path == "django.db.models.CharField"
        assert options == {"max_length": 32, "unique": True, "null": True, "editable": False}
