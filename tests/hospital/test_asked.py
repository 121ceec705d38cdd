"""What the one box understands, whoever types or scans into it."""

import unicodedata
from datetime import date

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as some
from stdnum import luhn
from stdnum.iso7064 import mod_11_2

from hospital.patients import asked
from hospital.patients.asked import ByDocument, ByNumber, Unclear, read
from hospital.patients.documents import DocumentType, canonical_number
from hospital.patients.plausible import judge

TODAY = date(2026, 3, 1)
BORN = date(1990, 5, 6)
CITIZEN = "11010119900307002X"


def understood(typed):
    return read(typed, today=TODAY)


def why(typed):
    with pytest.raises(Unclear) as told:
        understood(typed)
    return str(told.value)


@pytest.mark.parametrize(
    "typed",
    [
        CITIZEN,
        "11010119900307002x\r\n",
        " 110101 19900307 002X ",
        "１１０１０１１９９００３０７００２Ｘ",
        "110101-19900307-002X",
        "110101-1990-03-07-002x",
        "\x02110101199003070\u200b02X\x03\r",
    ],
    ids=["plain", "enter", "blanks", "full-width", "strokes", "dated", "framed"],
)
def test_a_citizen_number_is_one_however_it_is_typed(typed):
    assert understood(typed).number == CITIZEN


def test_an_old_citizen_number_is_taken_as_it_is():
    assert understood("110101 900307 002") == ByDocument("110101900307002")


@pytest.mark.parametrize(
    "typed",
    [
        f"王小英,{CITIZEN}",
        f"{CITIZEN} 王小英",
        f"{CITIZEN}王小英",
        f"王小英｜女｜汉｜19900307｜北京市东城区1号｜{CITIZEN.lower()}",
        f"SMITH JOHN|{CITIZEN}|19900307\r\n",
    ],
)
def test_a_card_readers_number_is_found_beside_the_name(typed):
    assert understood(typed).number == CITIZEN


def test_of_two_numbers_neither_is_guessed():
    assert understood(f"{CITIZEN} 110101199003070046").number == f"{CITIZEN}110101199003070046"


@pytest.mark.parametrize(
    ("typed", "doubt"),
    [
        ("12", asked.TOO_SHORT),
        ("1990年5月6日", asked.BIRTH_ALONE),
        ("张三 1990-02-30", asked.NO_SUCH_DAY),
        ("张三 19901399", asked.NO_SUCH_DAY),
        ("张三 2026-03-02", asked.NOT_YET_BORN),
        ("110101199003070021", asked.DOUBTFUL_CHECK),
        ("1101011990030700", asked.DOUBTFUL_LENGTH),
        ("1101011990030700222", asked.DOUBTFUL_LENGTH),
        ("19900506", asked.PERHAPS_A_DATE),
        ("张三 5月6日", asked.PERHAPS_A_NAME),
    ],
)
def test_what_may_be_wrong_with_a_number_is_said_and_it_is_looked_for_even_so(typed, doubt):
    assert understood(typed).doubt == doubt


@pytest.mark.parametrize(
    "typed", ["E12345678", "e 1234 5678", "Ｈ1234567890", "P1234567", "AB 12345"]
)
def test_other_documents_are_numbers_too(typed):
    found = understood(typed)

    assert found == ByDocument(unicodedata.normalize("NFKC", typed).replace(" ", "").upper())


@given(some.integers(0, 10**9 - 1), some.sampled_from(["P{}", "p{}", " P {} ", "Ｐ{}", "P-{}"]))
def test_a_patient_number_is_known_by_its_check_digit(digits, spelling):
    body = f"{digits:09d}"
    number = body + luhn.calc_check_digit(body)

    found = understood(spelling.format(number))

    assert isinstance(found, ByNumber)
    assert found.number == f"P{number}"


@given(some.integers(0, 10**9 - 1), some.integers(0, 9), some.integers(1, 9))
def test_one_wrong_digit_of_a_patient_number_is_noticed_unless_it_is_a_passports(digits, place, by):
    body = f"{digits:09d}"
    number = [*map(int, body + luhn.calc_check_digit(body))]
    number[place] = (number[place] + by) % 10

    typed = "P" + "".join(map(str, number))
    assert understood(typed) == ByDocument(typed, doubt=asked.MISTYPED_NUMBER)


@pytest.mark.parametrize(
    "typed",
    [
        "张三 1990-05-06",
        "张三1990-5-6",
        "1990/05/06 张三",
        "19900506张三",
        "张三,19900506",
        "张 三　１９９０年５月６日",
        "1990 年 5 月 6 日，张三",
        "张三 1990.5.6",
        "张三　１９９０．０５．０６",
        "张三 1990 05 06\r\n",
    ],
)
def test_a_name_and_a_birth_date_are_understood_in_any_order(typed):
    found = understood(typed)

    assert (found.name, found.born) == ("张三", BORN)


@pytest.mark.parametrize(
    "name",
    ["阿依古丽·买买提", "阿依古丽．买买提", "John Smith", "Nguyễn Văn A", "\ue815三", "𠮷野"],
)
def test_names_of_every_kind_stay_whole(name):
    for typed in (f"{name} 1990-05-06", f"19900506 {name}"):
        found = understood(typed)

        assert (found.name, found.born) == (name, BORN)


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("", asked.EMPTY),
        (" \t\r\n", asked.EMPTY),
        ("！，。", asked.EMPTY),
        ("张三", asked.NAME_ALONE),
        ("1" * 201, asked.TOO_LONG),
    ],
)
def test_what_cannot_be_looked_for_is_told_why(typed, told):
    assert why(typed) == told


@given(
    some.dates(date(1900, 1, 1), TODAY),
    some.text("张王李赵欧阳小英", min_size=1, max_size=6),
    some.sampled_from(["{0} {1:%Y-%m-%d}", "{1:%Y%m%d}{0}", "{0}，{1.year}年{1.month}月{1.day}日"]),
)
def test_no_name_and_no_day_is_misread(born, name, spelling):
    found = understood(spelling.format(name, born))

    assert (found.name, found.born) == (name, born)


@given(some.dates(date(1900, 1, 1), TODAY), some.integers(0, 999999), some.integers(0, 999))
def test_a_birth_date_within_a_citizen_number_is_no_birth_date(born, area, order):
    body = f"{area:06d}{born:%Y%m%d}{order:03d}"
    number = body + mod_11_2.calc_check_digit(body)

    assert understood(number) == ByDocument(number)


# What an issuer prints, and what the desk types for papers of which nobody knows the shape.
PRINTED = some.one_of(
    some.tuples(
        some.just(DocumentType.PASSPORT), some.from_regex(r"[A-Z0-9]{5,20}", fullmatch=True)
    ),
    some.tuples(
        some.sampled_from([DocumentType.OFFICER, DocumentType.SOLDIER, DocumentType.POLICE]),
        some.from_regex(r"[军参士警南京公]{1,3}字?第?[0-9]{1,18}号?", fullmatch=True),
    ),
    some.tuples(
        some.just(DocumentType.OTHER),
        some.text("PABX0123456789-·/年月日 张三，|", min_size=1, max_size=20),
    ),
)


@given(PRINTED)
@example((DocumentType.OFFICER, "军字第20019885号"))
@example((DocumentType.PASSPORT, "ABC19900506"))
@example((DocumentType.PASSPORT, "P1234567890"))
@example((DocumentType.PASSPORT, "P0000000000"))
@example((DocumentType.OTHER, "12-3456789012345"))
@example((DocumentType.OTHER, "1990-05-06"))
@example((DocumentType.OTHER, "A1"))
@example((DocumentType.OTHER, "张三 110101900307002"))
def test_whatever_the_desk_registers_is_looked_for_as_it_was_registered(printed):
    document_type, number = printed
    assume(any(one.isdigit() for one in number))  # by a word alone nobody is looked for
    assume(not any(one.stops for one in judge(document_type, number, today=TODAY)))

    found = understood(number)

    assert canonical_number(document_type, number) in {
        canonical_number(document_type, one) for one in (getattr(found, "number", ""), found.also)
    }


@given(some.text(max_size=250))
def test_anything_is_understood_or_told_in_a_sentence_of_ours(typed):
    try:
        said = understood(typed).doubt
    except Unclear as told:
        said = str(told)

    assert said in {"", *(value for value in vars(asked).values() if isinstance(value, str))}


def test_what_was_typed_is_in_no_traceback():
    assert "张三" not in repr(understood("张三 1990-05-06"))
    assert CITIZEN not in repr(understood(CITIZEN))
