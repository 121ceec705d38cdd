"""What a number and a name can be; what stops is wrong for certain."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum.iso7064 import mod_11_2

from hospital.patients import documents, plausible
from hospital.patients.documents import DocumentType

TODAY = date(2026, 11, 22)
GOOD = "11010119900307002X"

areas = st.sampled_from(["110101", "440305", "650102", "371328"])
days = st.dates(min_value=TODAY - timedelta(days=120 * 365), max_value=TODAY)
orders = st.integers(1, 999)


def whole(body):
    return body + mod_11_2.calc_check_digit(body)


def citizen(area, day, order):
    return whole(f"{area}{day:%Y%m%d}{order:03}")


def codes(kind, number):
    return [one.code for one in plausible.judge(kind, number, today=TODAY)]


def stops(kind, number):
    return [one.code for one in plausible.judge(kind, number, today=TODAY) if one.stops]


@given(areas, days, orders)
def test_nothing_speaks_against_a_citizen_number_with_its_check_digit(area, day, order):
    number = citizen(area, day, order)

    assert codes(DocumentType.RESIDENT, number) == []
    assert documents.birth_date(DocumentType.RESIDENT, number) == day


@given(areas, days, orders, st.integers(0, 16), st.integers(1, 9))
def test_one_digit_wrong_is_always_found(area, day, order, place, by):
    number = citizen(area, day, order)
    wrong = str((int(number[place]) + by) % 10)

    assert stops(DocumentType.RESIDENT, number[:place] + wrong + number[place + 1 :])


@given(areas, days, orders, st.integers(0, 15))
def test_two_neighbours_exchanged_are_always_found(area, day, order, place):
    number = citizen(area, day, order)
    exchanged = number[:place] + number[place + 1] + number[place] + number[place + 2 :]

    assert exchanged == number or stops(DocumentType.RESIDENT, exchanged)


@given(st.text(max_size=80), st.sampled_from(DocumentType))
def test_whatever_is_typed_is_judged_and_never_repeated(typed, kind):
    for found in [
        *plausible.judge(kind, typed, today=TODAY),
        *plausible.judge_name(kind, typed),
    ]:
        assert found.about in {"number", "name", "born"}
        assert len(typed.strip()) < 4 or typed.strip() not in found.message


@pytest.mark.parametrize(
    ("kind", "number", "expected"),
    [
        (1, "11010119900307002x", []),
        (1, " 110101 19900307 002X ", []),
        (1, "１１０１０１１９９００３０７００２Ｘ", []),
        (1, "١١٠١٠١١٩٩٠٠٣٠٧٠٠٢X", ["length"]),  # digits, but not those that are compared
        (1, "", ["missing"]),
        (1, "1101011990030700", ["length"]),
        (1, "110101199003070021", ["checksum"]),
        (1, whole("11010119900230001"), ["no_such_day"]),
        (1, whole("11010120261123001"), ["born_later"]),
        (1, whole("11010118000101001"), ["too_old"]),
        (1, "110101900307002", []),
        (7, GOOD, []),
        (2, "E12345678", []),
        (2, "EA1234567", []),
        (2, "G12345678", []),
        (2, "PE1234567", []),
        (2, "C01X00T47", []),
        (2, "X123", ["shape"]),
        (2, "A" * 21, ["shape"]),
        (5, "H12345678", []),
        (5, "M1234567801", []),
        (5, "A12345678", ["shape"]),
        (9, "12345678", []),
        (9, "1234567890", []),
        (9, "123456789", ["shape"]),
        (101, whole("81000019900307001"), []),
        (101, whole("83000019900307001"), []),
        (101, GOOD, ["not_hmt"]),
        (102, "USA110105900307", []),
        (102, whole("91115619900307001"), []),
        (102, "911156199003070010"[:-1] + "9", ["checksum"]),
        (102, GOOD, ["foreign"]),
        (3, "南字第12345678号", []),
        (3, "字" * 65, ["long"]),
        (103, "K110000001", []),
        (103, "1100000012", ["shape"]),
        (104, "", []),
        (104, GOOD, ["not_numbered"]),
        (105, "", []),
        (10, "91110000000000000X", ["not_a_person"]),
    ],
)
def test_a_number_is_stopped_by_what_is_certainly_wrong(kind, number, expected):
    assert stops(kind, number) == expected


@pytest.mark.parametrize(
    ("kind", "number", "expected"),
    [
        (1, "110101900307002", ["former"]),
        (1, whole("99010119900307002"), ["like_foreign"]),
        (1, whole("16010119900307002"), ["area"]),
        (1, whole("81000019900307001"), ["like_hmt"]),
        (2, "C01X00T47", ["foreign_passport"]),
    ],
)
def test_what_is_only_odd_is_said_and_stops_nobody(kind, number, expected):
    assert codes(kind, number) == expected
    assert stops(kind, number) == []


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        (1, "张三", []),
        (1, "  张三 ", []),
        (1, "阿不都热西提·吐尔逊江", []),
        (1, "𠮷田", []),
        (1, "〇一", []),
        (2, "O'NEIL, JOHN", ["name_characters"]),
        (2, "O'Neil Jean-Luc", []),
        (2, "José Müller Jr.", []),
        (2, "Jose\u0301", []),
        (1, "张3", ["name_characters"]),
        (1, "张\u202e三", ["name_characters"]),
        (1, "·", ["name_characters"]),
        (1, "", ["name_missing"]),
        (105, "", []),
        (104, "张三之子", []),
        (104, "张三", ["newborn"]),
        (1, "王", ["one_character"]),
        (1, "\ue863飞", ["rare"]),
        (1, "Smith", ["no_han"]),
        (1, "张" * 129, ["name_long"]),
    ],
)
def test_a_name_is_of_letters(kind, name, expected):
    assert [one.code for one in plausible.judge_name(kind, name)] == expected


@pytest.mark.parametrize(
    ("typed", "number", "name"),
    [
        (GOOD, GOOD, ""),
        ("110101 19900307 002X", GOOD, ""),
        (f"张三 {GOOD}", GOOD, "张三"),
        (f"{GOOD},张三", GOOD, "张三"),
        (f"{GOOD}|阿不都·热西提|", GOOD, "阿不都·热西提"),
        (f"{GOOD}\t张三\r\n", GOOD, "张三"),
        ("11010119900307002 X", GOOD, ""),
        ("AB1234567 SMITH", "AB1234567", "SMITH"),
        ("JOHN SMITH,E12345678", "E12345678", "JOHN SMITH"),
        ("SMITH 123456789", "123456789", "SMITH"),
        ("AB 1234567", "AB1234567", ""),
        ("ABC 110101199003", "ABC110101199003", ""),
        ("", "", ""),
    ],
)
def test_a_reader_types_number_and_name_into_one_box(typed, number, name):
    assert documents.scanned(typed) == (number, name)


@pytest.mark.parametrize(
    ("typed", "kept"),
    [("张　三", "张三"), (" 欧阳 娜 娜 ", "欧阳娜娜"), ("O'Neil  Jr.", "O'Neil Jr.")],
)
def test_between_han_characters_a_name_has_no_blanks(typed, kept):
    assert plausible.clean_name(typed) == kept


@pytest.mark.parametrize(
    ("text", "tells"),
    [
        ("张 三的名字读错了", True),
        ("原号 110101", True),
        ("原号１１０１０１", True),
        ("读错了字，10:30 在 12345 室", False),
    ],
)
def test_a_note_tells_who_by_a_name_or_a_number(text, tells):
    assert plausible.tells_who(text, "张三", "") is tells


@pytest.mark.parametrize(
    ("number", "shown"), [("", "******"), ("E12", "******"), ("E123", "******23")]
)
def test_of_a_short_number_nothing_is_shown(number, shown):
    assert documents.masked_number(number) == shown


def test_a_temporary_name_tells_nothing_and_is_whole():
    assert documents.masked_name(documents.temporary_name("P1234567897")) == "急诊患者 7897"
