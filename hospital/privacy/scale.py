"""
Of how many people data is here, and what the law asks of whom from which number on.

Counted once a day and said once per number; pages read what was counted last.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction

from hospital.audit.actions import Action
from hospital.audit.recording import SYSTEM, record
from hospital.patients.models import Patient
from hospital.privacy.models import Erasure, Scale


@dataclass(frozen=True)
class Mark:
    """A number of people, and what is to be done when there are as many."""

    limit: int
    demand: str


# 人脸识别技术应用安全管理办法 第十五条 counts stored faces: none is stored here.
MARKS: Final = (
    Mark(80_000, "接近 10 万人：请准备指定敏感个人信息保护负责人"),
    Mark(
        100_000,
        "已达 10 万人：应明确敏感个人信息安全负责人（GB/T 45574-2025，以正式文本为准）；"
        "本系统不存储人脸信息，人脸识别备案以医院其他系统的存储数量为准",
    ),
    Mark(900_000, "接近 100 万人：请准备报送个人信息保护负责人信息"),
    Mark(
        1_000_000,
        "已达 100 万人：应指定个人信息保护负责人（个人信息保护法 第五十二条），"
        "并在 30 个工作日内向网信部门报送其信息",
    ),
)

STALE: Final = timedelta(days=2)  # it is counted every day


@dataclass(frozen=True)
class Standing:
    """
    What was counted last.

    :param counted_at: None: nobody has counted yet
    :param reached: the marks that were reached, at any time: a smaller number undoes none
    :param ahead: the next one; None after the last
    :param is_stale: nobody has counted for too long
    """

    count: int
    counted_at: datetime | None
    reached: tuple[Mark, ...]
    ahead: Mark | None
    is_stale: bool


def standing(at: datetime) -> Standing:
    """Return how many there are, as counted last, and what that asks for."""
    row = Scale.objects.filter(pk=1).first() or Scale()
    reached = tuple(mark for mark in MARKS if mark.limit <= row.reached)
    ahead = next((mark for mark in MARKS if mark.limit > row.reached), None)
    is_stale = row.counted_at is None or at - row.counted_at > STALE
    return Standing(row.count, row.counted_at, reached, ahead, is_stale)


@transaction.atomic
def count(*, at: datetime) -> Standing:
    """Count those whose data is here, and say once of each mark that it is reached."""
    Scale.objects.get_or_create(pk=1)
    row = Scale.objects.select_for_update().get(pk=1)
    people = Patient.objects.count() - _erased()
    for mark in MARKS:
        if row.reached < mark.limit <= people:
            record(Action.SCALE_REACHED, by=SYSTEM, on=None, at=at, count=people, limit=mark.limit)
            row.reached = mark.limit
    row.count, row.counted_at = people, at
    row.save()
    return standing(at)


def _erased() -> int:
    """Return of how many only a number is left: their keys are gone."""
    gone = {Erasure.State.KEYS, Erasure.State.ROWS, Erasure.State.TRACES, Erasure.State.DONE}
    subjects = Erasure.objects.filter(state__in=gone).values("subject")
    return Patient.objects.filter(pk__in=subjects).count()
