import pytest

from hospital.crypto import keyring
from hospital.crypto.indexes import (
    DOCUMENT_NUMBER,
    PERSON_NAME,
    blind_index,
    document_number,
    person_name,
)
from hospital.crypto.providers.file import FileProvider
from hospital.crypto.sealing import pack
from hospital.crypto.suites import Mac


@pytest.fixture(autouse=True)
def keyfile(settings, tmp_path):
    settings.KEY_FILE = tmp_path / "root.key"
    settings.KEY_PROVIDER = "file"
    settings.CRYPTO_SUITE = "aes-256-gcm"
    keyring.clear()
    FileProvider.create(settings.KEY_FILE)
    yield
    keyring.clear()


@pytest.mark.parametrize(
    "spelling",
    ["11010119900307001x", "１１０１０１１９９００３０７００１Ｘ", " 110101 19900307\u3000001X\n"],
)
def test_one_document_number_has_many_spellings(spelling):
    assert document_number(spelling) == "11010119900307001X"


@pytest.mark.parametrize("dot", "·•‧・．･∙⋅")
def test_one_name_has_many_dots(dot):
    assert person_name(f"阿依古丽{dot}买买提") == "阿依古丽·买买提"


@pytest.mark.parametrize(
    ("spelling", "same"),
    [("  Ｊｏｈｎ\u3000\tSMITH ", "john smith"), ("张三", "张三"), ("Straße", "strasse")],
)
def test_one_name_has_many_widths_spaces_and_cases(spelling, same):
    assert person_name(spelling) == same


@pytest.mark.parametrize("normalise", [document_number, person_name])
def test_normalising_twice_is_normalising_once(normalise):
    for code in range(0x10000):
        once = normalise(f"a{chr(code)}b")
        assert normalise(once) == once


def test_traditional_and_simplified_are_not_silently_one_person():
    assert person_name("張三") != person_name("张三")


@pytest.mark.django_db
def test_spellings_of_one_value_are_found_together():
    one = blind_index("document", "11010119900307001x", normaliser=DOCUMENT_NUMBER)
    other = blind_index("document", "１１０１０１ 19900307001X", normaliser=DOCUMENT_NUMBER)

    assert one == other
    assert blind_index("document", "11010119900307001x") != one


@pytest.mark.django_db
def test_an_index_is_lowercase_hex_of_so_many_bits():
    whole = blind_index("name", "张三", "1990-03-07", normaliser=PERSON_NAME, bits=256)

    for bits in (4, 16, 64, 128):
        index = blind_index("name", "张三", "1990-03-07", normaliser=PERSON_NAME, bits=bits)
        assert index == whole[: bits // 4]
        assert set(index) <= set("0123456789abcdef")
    assert len(blind_index("name", "张三")) == 32


@pytest.mark.django_db
@pytest.mark.parametrize("bits", [0, -4, 3, 127, 260])
def test_a_number_of_bits_that_is_no_hex_is_refused(bits):
    with pytest.raises(ValueError, match="bits"):
        blind_index("name", "张三", bits=bits)


@pytest.mark.django_db
@pytest.mark.parametrize(("suite", "mac"), [("aes-256-gcm", 1), ("sm4-gcm", 2)])
def test_anyone_with_the_key_computes_the_same(settings, suite, mac):
    settings.CRYPTO_SUITE = suite

    index = blind_index("document", "1", "X", normaliser=DOCUMENT_NUMBER)

    key = keyring.index_key("document").key
    message = pack(b"hfe-ix", b"document", b"document_number/1", b"1", b"X")
    assert index == Mac(mac).digest(key, message).hex()[:32]


@pytest.mark.django_db
def test_two_labels_share_no_key():
    assert keyring.index_key("a").key != keyring.index_key("b").key
    assert blind_index("a", "x") != blind_index("b", "x")


@pytest.mark.django_db
def test_values_do_not_run_into_each_other():
    assert blind_index("a", "12", "3") != blind_index("a", "1", "23")
    assert blind_index("a", "123") != blind_index("a", "123", "")


@pytest.mark.django_db
def test_an_index_survives_the_process_and_a_change_of_suite(settings):
    before = blind_index("a", "x")
    keyring.clear()
    settings.CRYPTO_SUITE = "sm4-gcm"

    assert blind_index("a", "x") == before


@pytest.mark.django_db
def test_what_is_not_text_is_refused_without_being_quoted():
    with pytest.raises(ValueError, match="not Unicode text") as caught:
        blind_index("a", "张\ud800三")

    assert "张" not in repr(caught.value.args)
    assert caught.value.__cause__ is None
