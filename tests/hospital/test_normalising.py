import pytest

from hospital.crypto.normalising import PERSON_NAME, document_number, named, person_name


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


@pytest.mark.parametrize(
    ("private", "public"),
    [
        ("\ue863", "䶮"),  # Yǎn, a given name: GB18030 FE9F
        ("\ue854", "\u9fba"),  # FE90, one of eight that GB 18030-2022 moved out of private use
        ("\ue816", "𠂇"),  # FE51, outside the basic plane
    ],
)
def test_a_rare_character_is_one_wherever_a_hospital_system_kept_it(private, public):
    assert person_name(f"张{private}") == person_name(f"张{public}") == f"张{public}"


def test_every_character_gbk_kept_apart_has_its_place():
    codes = [0xFE00 + low for low in range(0x50, 0xA1) if low != 0x7F]

    for place, code in enumerate(codes):
        ours = person_name(chr(0xE815 + place))
        theirs = code.to_bytes(2, "big").decode("gb18030")
        if "\ue000" <= theirs <= "\uf8ff":  # this codec is of 2000: 14 had no place yet
            assert theirs == chr(0xE815 + place)
            assert not "\ue000" <= ours <= "\uf8ff"
        else:
            assert ours == person_name(theirs)


@pytest.mark.parametrize("normalise", [document_number, person_name])
def test_normalising_twice_is_normalising_once(normalise):
    for code in range(0x10000):
        once = normalise(f"a{chr(code)}b")
        assert normalise(once) == once


def test_traditional_and_simplified_are_not_silently_one_person():
    assert person_name("張三") != person_name("张三")


def test_an_older_rule_is_still_known_by_its_name():
    older = named("person_name/1")

    assert older.apply("张\ue863") == "张\ue863"
    assert named(PERSON_NAME.name) is PERSON_NAME
    with pytest.raises(LookupError):
        named("person_name/0")
