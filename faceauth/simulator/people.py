"""The people who walk up to the camera. None of them exists: no area code starts with 99."""

import random
import re
from dataclasses import dataclass, field
from datetime import date, timedelta

from stdnum.iso7064 import mod_11_2

_STRANGER = re.compile(r"stranger-(0|[1-9][0-9]{0,5})", re.ASCII)
_SURNAMES = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗"
_GIVEN = "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华建国文斌玉兰鹏辉"
_OLDEST, _YOUNGEST = date(1937, 1, 1), date(2007, 12, 31)  # adults, and not yet ninety


@dataclass(frozen=True, slots=True)
class Person:
    """Someone with a face; `declines` if they say no on WeChat's screen; some have no union id."""

    id: str
    name: str = field(repr=False)
    document_type: int
    document_number: str = field(repr=False)
    declines: bool = False
    note: str = ""
    has_union_id: bool = True


def citizen_number(area: int, birth: date, sequence: int) -> str:
    """Return eighteen digits as GB 11643 builds them; the last of `sequence` says the sex."""
    digits = f"{area:06d}{birth:%Y%m%d}{sequence:03d}"
    return f"{digits}{mod_11_2.calc_check_digit(digits)}"


def find(person_id: str) -> Person | None:
    """Return one of the cast, or the `stranger-<n>` of that number, or nobody."""
    if person_id in CAST:
        return CAST[person_id]
    match = _STRANGER.fullmatch(person_id)
    return _stranger(int(match[1])) if match else None


def _stranger(number: int) -> Person:
    dice = random.Random(number)  # the same stranger on every day and machine
    birth = _OLDEST + timedelta(days=dice.randrange((_YOUNGEST - _OLDEST).days))
    name = dice.choice(_SURNAMES) + "".join(dice.choices(_GIVEN, k=dice.choice((1, 2, 2))))
    area, sequence = 990001 + number // 1000, number % 1000  # no two share a document
    return Person(f"stranger-{number}", name, 1, citizen_number(area, birth, sequence))


def _citizen(name: str, birth: date, sequence: int) -> tuple[str, int, str]:
    return name, 1, citizen_number(999901, birth, sequence)


CAST = {
    person.id: person
    for person in (
        Person("zhangsan", *_citizen("张三", date(1990, 3, 7), 1), note="两字姓名"),
        Person("ouyang", *_citizen("欧阳若曦", date(1985, 11, 23), 22), note="复姓"),
        Person(
            "aynur",
            *_citizen("阿依努尔·买买提吐尔逊·阿卜杜热合曼", date(1996, 6, 1), 44),
            note="维吾尔族长姓名，含间隔号",
        ),
        Person("elderly", *_citizen("赵德福", date(1938, 1, 15), 13), note="高龄"),
        Person("leapling", *_citizen("林润", date(2000, 2, 29), 25), note="闰日出生"),
        Person("rare", *_citizen("王\U00020bb7", date(1992, 9, 9), 31), note="生僻字（扩展区）"),
        Person("minor", *_citizen("孙小宝", date(2018, 5, 20), 17), note="未满十四周岁"),
        Person(
            "decliner",
            *_citizen("周不允", date(1979, 8, 8), 9),
            declines=True,
            note="在微信页面拒绝授权",
        ),
        Person("impostor", *_citizen("李鬼", date(1990, 3, 7), 1), note="与张三同号不同名"),
        Person("namesake", *_citizen("张三", date(1990, 3, 7), 3), note="与张三同名同生日不同号"),
        Person(
            "temporary",
            "吴临时",
            6,
            citizen_number(999901, date(2001, 12, 31), 66),
            note="临时身份证",
        ),
        Person(
            "unlinked",
            *_citizen("郑未联", date(1988, 4, 16), 52),
            note="没有 UnionID",
            has_union_id=False,
        ),
        Person("foreigner", "MARIA D'ANGELO-SMITH", 2, "E99000001", note="护照"),
        Person("hongkonger", "陈大文", 5, "H99000001", note="回乡证"),
        Person("taiwanese", "林志成", 9, "99000001", note="台胞证"),
    )
}
