"""One visit and its moves."""

from datetime import datetime, timedelta
from typing import Any, ClassVar, Final, Self
from uuid import UUID

from django.db import IntegrityError, models
from django.db.models import F
from uuid6 import uuid7

from devices.models import Terminal
from faceauth.models.consent import Consent
from faceauth.models.merchant import Merchant
from hospital import labels
from hospital.accounts.models import Staff
from hospital.audit.coverage import changes_recorded
from hospital.crypto.fields import SealedField
from hospital.crypto.indexes import token_digests
from hospital.crypto.keyring import SYSTEM_SUBJECT
from hospital.errors import Refusal
from hospital.patients.models import Patient

LEASE = timedelta(seconds=30)  # longer than WeChat's time limits, shorter than patience
LIFETIME = timedelta(minutes=10)  # an unfinished session, and a pending face_sid


# What is needed while WeChat is asked; the moves around it are on record.
WAITING: Final = (
    "face_sid",
    "face_sid_index",
    "answer",
    "wechat_request_id",
    "due_at",
    "attempts",
    "excused",
)


class WrongState(Refusal):
    code = "wrong_state"
    message = "会话已进入其他状态，请重新查询"


class FaceSessionQuerySet(models.QuerySet["FaceSession"]):
    def seen_by(self, staff: Staff) -> Self:
        """
        Return the visits at this member of staff's campus.

        :raises NotCleared: they are not cleared for patients at all
        """
        labels.demand(staff, "faceauth.facesession")
        return self.filter(terminal__store__campus=staff.campus) if staff.campus else self.none()

    def unsettled(self, *, since: datetime) -> Self:
        """Return those that ended without a patient and that nobody has dealt with."""
        return self.filter(
            state__in=FaceSession.FOR_THE_DESK, settled_at=None, opened_at__gte=since
        )

    def of(self, terminal: Terminal) -> Self:
        return self.filter(terminal=terminal)

    def due(self, at: datetime) -> Self:
        """Return authorized sessions nobody is working on: fresh, postponed, or abandoned."""
        return self.filter(state=FaceSession.State.AUTHORIZED, due_at__lte=at)

    def unfinished_before(self, at: datetime) -> Self:
        waiting = [FaceSession.State.OPENED, FaceSession.State.SEEN]
        return self.filter(state__in=waiting, opened_at__lt=at)

    def claim(self, pk: UUID, *, at: datetime) -> "FaceSession | None":
        """
        Take a due session for `LEASE`; None if it is not due or somebody else has it.

        One UPDATE decides. A worker that dies leaves the lease to run out.
        """
        taken = self.due(at).filter(pk=pk).update(due_at=at + LEASE, attempts=F("attempts") + 1)
        return self.select_related("terminal", "merchant").get(pk=pk) if taken else None


@changes_recorded(facts=["session"], but=WAITING)
class FaceSession(models.Model):
    """
    刷脸会话: one person in front of one terminal.

    `face_sid` and WeChat's answer are sealed while they are needed and gone with the move
    that ends the session; a keyed digest of `face_sid` stays, so that it works once. The
    token of a FACEID-ONCE session is kept as its `face_sid`: to WeChat it is the same parameter.
    """

    class Kind(models.TextChoices):
        FACE_AUTH = "FACE_AUTH", "刷脸建档"
        FACEID_ONCE = "FACEID-ONCE", "刷脸识别"

    class State(models.TextChoices):
        OPENED = "opened", "待识别"
        SEEN = "seen", "待授权"
        AUTHORIZED = "authorized", "处理中"
        ONBOARDED = "onboarded", "已建档"
        RECOGNISED = "recognised", "已识别（复诊）"
        UNRECOGNISED = "unrecognised", "未识别（未建档）"
        REFUSED = "refused", "不同意"
        DECLINED = "declined", "未授权"
        GUARDIAN_REQUIRED = "guardian_required", "需监护人"
        FAILED = "failed", "失败"
        EXPIRED = "expired", "已过期"

    NEXT: ClassVar[dict[State, list[State]]] = {
        State.SEEN: [State.OPENED],
        State.RECOGNISED: [State.OPENED, State.AUTHORIZED],
        State.UNRECOGNISED: [State.OPENED, State.AUTHORIZED],
        State.AUTHORIZED: [State.SEEN],
        State.DECLINED: [State.SEEN],
        State.ONBOARDED: [State.AUTHORIZED],
        State.GUARDIAN_REQUIRED: [State.AUTHORIZED],
        State.FAILED: [State.SEEN, State.AUTHORIZED],
        State.EXPIRED: [State.OPENED, State.SEEN],
    }
    FINAL: ClassVar[frozenset[State]] = frozenset(
        {
            State.ONBOARDED,
            State.RECOGNISED,
            State.UNRECOGNISED,
            State.REFUSED,
            State.DECLINED,
            State.GUARDIAN_REQUIRED,
            State.FAILED,
            State.EXPIRED,
        }
    )

    # Ends that leave somebody standing there: a person is to help them.
    FOR_THE_DESK: ClassVar[tuple[State, ...]] = (
        State.REFUSED,
        State.DECLINED,
        State.GUARDIAN_REQUIRED,
        State.FAILED,
    )

    class Settlement(models.TextChoices):
        REGISTERED = "registered", "已人工建档"
        KNOWN = "known", "已有档案"
        LEFT = "left", "患者已离开"
        AGAIN = "again", "患者重新刷脸"
        MISTAKE = "mistake", "误操作"

    id = models.UUIDField("会话编号", primary_key=True, default=uuid7, editable=False)
    terminal = models.ForeignKey(Terminal, models.PROTECT, verbose_name="终端")
    merchant = models.ForeignKey(Merchant, models.PROTECT, null=True, verbose_name="商户")
    consent = models.OneToOneField(Consent, models.PROTECT, verbose_name="同意记录")
    kind = models.CharField("类型", max_length=16, choices=Kind.choices, default=Kind.FACE_AUTH)
    state = models.CharField("状态", max_length=20, choices=State.choices)
    reason = models.CharField("原因", max_length=64, blank=True)
    # Of a session that waits for WeChat: who they are as far as the terminal can tell.
    patient = models.ForeignKey(Patient, models.PROTECT, null=True, verbose_name="患者")

    face_sid = SealedField(
        context="face_session.face_sid",
        subject=SYSTEM_SUBJECT,
        max_length=128,
        null=True,
        searchable="请按 face_sid_index 查找",
    )
    face_sid_index = models.CharField(max_length=32, unique=True, null=True, editable=False)
    answer = SealedField(context="face_session.answer", subject=SYSTEM_SUBJECT, null=True)
    wechat_request_id = models.CharField("微信请求编号", max_length=64, blank=True)

    opened_at = models.DateTimeField("开始时间")
    finished_at = models.DateTimeField("结束时间", null=True)
    # Authorized only: when somebody may (again) work on it. A lease is a due time ahead.
    due_at = models.DateTimeField(null=True)
    # Only ever grows: it names the lease as well.
    attempts = models.PositiveSmallIntegerField("尝试次数", default=0)
    excused = models.PositiveSmallIntegerField(default=0)  # attempts that failed by our fault

    # What the desk did about a session that ended without a patient.
    taken_by = models.UUIDField("接手人", null=True)  # no foreign key: the row outlives the account
    taken_at = models.DateTimeField("接手时间", null=True)
    settled_at = models.DateTimeField("处理时间", null=True)
    settlement = models.CharField("处理结果", max_length=16, choices=Settlement.choices, blank=True)

    objects = FaceSessionQuerySet.as_manager()

    class Meta:
        verbose_name = verbose_name_plural = "刷脸会话"
        ordering = ["-id"]
        indexes: ClassVar = [
            models.Index(
                fields=["due_at"], condition=models.Q(state="authorized"), name="session_due"
            ),
            models.Index(
                fields=["opened_at"],
                condition=models.Q(state__in=["opened", "seen"]),
                name="session_unfinished",
            ),
            models.Index(
                fields=["opened_at"],
                condition=models.Q(
                    state__in=["refused", "declined", "guardian_required", "failed"],
                    settled_at=None,
                ),
                name="session_for_the_desk",
            ),
            models.Index(fields=["opened_at", "state"], name="session_of_day"),
        ]

    def __str__(self) -> str:
        return str(self.pk)

    @property
    def is_final(self) -> bool:
        return self.state in self.FINAL

    @property
    def settled_patient(self) -> Patient | None:
        """Who it was; before the end, `patient` is but the terminal's word."""
        return self.patient if self.is_final else None

    def see(self, *, face_sid: str, presumed: Patient | None = None) -> None:
        """
        Note who is to be asked about.

        :param presumed: who it is as far as the terminal can tell; WeChat has yet to say
        :raises WrongState: somebody was seen already
        :raises IntegrityError: another session has this `face_sid`
        """
        index, *older = _digests(face_sid)
        if older and FaceSession.objects.filter(face_sid_index__in=older).exists():
            raise IntegrityError("face_sid is used")
        self._move(self.State.SEEN, face_sid=face_sid, face_sid_index=index, patient=presumed)

    def saw(self, face_sid: str) -> bool:
        """Whether it is this `face_sid` that the session is about."""
        return self.face_sid_index in _digests(face_sid)

    def recognise(self, patient: Patient, *, at: datetime) -> None:
        """:raises WrongState: somebody was seen already, or another worker was faster."""
        self._finish(self.State.RECOGNISED, at=at, patient=patient)

    def authorize(self, *, at: datetime) -> None:
        """:raises WrongState: nobody was seen, or they already answered."""
        self._move(self.State.AUTHORIZED, due_at=at)

    def end(self, state: State, *, at: datetime, reason: str = "") -> None:
        """
        Finish without a patient.

        :raises WrongState: the session is not where this end is reached from
        """
        self._finish(state, at=at, reason=reason, patient=None)

    def complete(self, patient: Patient, *, at: datetime) -> None:
        """:raises WrongState: another worker was faster."""
        self._finish(self.State.ONBOARDED, at=at, patient=patient)

    def postpone(self, *, until: datetime, counted: bool = True) -> None:
        """
        Give the lease back; the sweeper wakes the session again at `until`.

        :param counted: the attempt counts against the session, not against ourselves
        :raises WrongState: the lease was lost, or the session ended
        """
        mine = FaceSession.objects.filter(
            pk=self.pk, state=self.State.AUTHORIZED, attempts=self.attempts
        )
        if not mine.update(due_at=until, excused=F("excused") + (0 if counted else 1)):
            raise WrongState

    def keep(self, answer: str, *, wechat_request_id: str) -> None:
        """
        Keep WeChat's verified answer, sealed, until the patient is on record.

        :raises WrongState: the session ended meanwhile
        """
        self._update(
            [self.State.AUTHORIZED], answer=answer, wechat_request_id=wechat_request_id[:64]
        )

    def drop_answer(self) -> None:
        """:raises WrongState: the session ended meanwhile"""
        self._update([self.State.AUTHORIZED], answer=None)

    def _finish(self, to: State, *, at: datetime, **fields: Any) -> None:
        self._move(to, finished_at=at, face_sid=None, answer=None, due_at=None, **fields)

    def _move(self, to: State, **fields: Any) -> None:
        self._update(self.NEXT[to], state=to, **fields)

    def _update(self, here: list[State], **fields: Any) -> None:
        """
        Compare and set: two may both try, one succeeds.

        `attempts` names the lease: a worker whose own ran out changes nothing any more.
        """
        for name in ("face_sid", "answer"):
            if fields.get(name) is not None:
                setattr(self, name, fields[name])
                fields[name] = _column(name).pre_save(self, add=False)
        mine = FaceSession.objects.filter(pk=self.pk, attempts=self.attempts)
        if not mine.filter(state__in=here).update(**fields):
            raise WrongState
        self.refresh_from_db()


def _column(name: str) -> SealedField:
    column = FaceSession._meta.get_field(name)
    assert isinstance(column, SealedField)  # noqa: S101 (the two named above are)
    return column


def _digests(face_sid: str) -> tuple[str, ...]:
    return token_digests("face_session.face_sid", face_sid)
