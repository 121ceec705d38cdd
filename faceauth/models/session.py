"""One visit and its moves."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final, Self
from uuid import UUID

from django.db import IntegrityError, models
from django.db.models import F
from uuid6 import uuid7

from devices.models import Terminal
from faceauth.models.consent import Consent
from faceauth.models.merchant import Merchant
from hospital import labels, statements
from hospital.accounts.models import Staff
from hospital.audit.coverage import changes_recorded
from hospital.crypto.fields import SealedField
from hospital.crypto.indexes import token_digests
from hospital.crypto.keyring import SYSTEM_SUBJECT
from hospital.errors import Refusal
from hospital.patients.models import Patient
from hospital.prepared import Prepared

LEASE = timedelta(seconds=10)  # of a worker that may have died; a living one renews it
# No wait is as long: a clock was set back since.
FARTHEST = timedelta(minutes=5)
LIFETIME = timedelta(minutes=10)  # an unfinished session, and a pending face_sid


# What is needed while WeChat is asked; the moves around it are on record.
WAITING: Final = (
    "face_sid",
    "face_sid_index",
    "answer",
    "openid_indexes",
    "wechat_request_id",
    "due_at",
    "attempts",
    "excused",
)


_OTHERS: Final = (
    "terminal__store__campus",
    "merchant__changed_at",
    "merchant__appid",
    "merchant__sub_appid",
    "consent__granted",
    "consent__purposes",
    "consent__at",
    "consent__withdrawn_at",
    "consent__notice__purposes",
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

    def theirs(self, terminal: Terminal, pk: UUID) -> "FaceSession | None":
        """Return a session of this terminal's own, with all it is about; None for another's."""
        session = _WHOLE.first(pk)
        if session is None or session.terminal_id != terminal.pk:
            return None
        session.terminal = terminal
        return session

    def state_of(self, pk: UUID) -> str:
        """Return how far a session is: nothing, if it is not there any more."""
        session = _STATE.first(pk)
        return session.state if session else ""

    def due(self, at: datetime) -> Self:
        """Return authorized sessions nobody is working on: fresh, postponed, or abandoned."""
        return self.filter(state=FaceSession.State.AUTHORIZED, due_at__lte=at)

    def astray(self, at: datetime) -> Self:
        """
        Return authorized sessions that are due at a time a clock that was put right had.

        Nobody lets one wait before its first attempt.
        """
        untried = models.Q(attempts=0, due_at__gt=at)
        return self.filter(
            untried | models.Q(due_at__gt=at + FARTHEST), state=FaceSession.State.AUTHORIZED
        )

    def unfinished_before(self, at: datetime) -> Self:
        waiting = [FaceSession.State.OPENED, FaceSession.State.SEEN]
        return self.filter(state__in=waiting, opened_at__lt=at)

    def claim(self, pk: UUID, *, at: datetime) -> "FaceSession | None":
        """
        Take a due session for `LEASE`; None if it is not due or somebody else has it.

        One UPDATE decides. A worker that dies leaves the lease to run out.
        """
        claim = statements.changing(
            FaceSession,
            {"due_at": at + LEASE},
            where={"id": pk, "state": FaceSession.State.AUTHORIZED},
            at_most={"due_at": at},
            more="attempts",
        )
        return _CLAIMED.changed(pk, claim)


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
        State.GUARDIAN_REQUIRED: [State.OPENED, State.AUTHORIZED],
        State.REFUSED: [State.OPENED, State.SEEN, State.AUTHORIZED],  # taken back, or asked lately
        State.FAILED: [State.OPENED, State.SEEN, State.AUTHORIZED],
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

    WITH_PATIENT: ClassVar[tuple[State, ...]] = (State.ONBOARDED, State.RECOGNISED)

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
    # Who said no lately is asked again only because they want it themselves.
    on_request = models.BooleanField("患者要求办理", default=False)
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
    # Keyed digests of whom WeChat's screen asks, so that a no is remembered; see Declining.
    openid_indexes = models.JSONField(default=list, editable=False)
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
            # What is sealed here for a moment is asked for every minute, among all visits.
            models.Index(
                fields=["id"],
                condition=models.Q(face_sid__isnull=False),
                name="session_with_face_sid",
            ),
            models.Index(
                fields=["id"], condition=models.Q(answer__isnull=False), name="session_with_answer"
            ),
        ]

    def __str__(self) -> str:
        return str(self.pk)

    @property
    def is_final(self) -> bool:
        return self.state in self.FINAL

    @property
    def settled_patient(self) -> Patient | None:
        """Who it was, also by the desk's word; before the end, `patient` is but the terminal's."""
        return self.patient if self.is_final else None

    @property
    def found_patient(self) -> Patient | None:
        """Whom the visit itself led to: all that its terminal may know of, and act for."""
        return self.patient if self.state in self.WITH_PATIENT else None

    def see(
        self,
        *,
        face_sid: str,
        presumed: Patient | None = None,
        openid_indexes: Collection[str] = (),
    ) -> None:
        """
        Note who is to be asked about.

        :param presumed: who it is as far as the terminal can tell; WeChat has yet to say
        :param openid_indexes: of the accounts whose answer on WeChat's screen is awaited
        :raises WrongState: somebody was seen already
        :raises IntegrityError: another session has this `face_sid`
        """
        index, *older = _digests(face_sid)
        if older and FaceSession.objects.filter(face_sid_index__in=older).exists():
            raise IntegrityError("face_sid is used")
        self._move(
            self.State.SEEN,
            face_sid=face_sid,
            face_sid_index=index,
            patient=presumed,
            openid_indexes=list(openid_indexes),
        )

    def saw(self, face_sid: str) -> bool:
        """Whether it is this `face_sid` that the session is about."""
        return self.face_sid_index in _digests(face_sid)

    def recognise(self, patient: Patient, *, at: datetime) -> None:
        """:raises WrongState: somebody was seen already, or another worker was faster."""
        self._finish(self.State.RECOGNISED, at=at, patient=patient)

    def authorize(self, *, at: datetime) -> None:
        """:raises WrongState: nobody was seen, or they already answered."""
        self._move(self.State.AUTHORIZED, due_at=at, openid_indexes=[])

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

    def keep(self, answer: str, *, wechat_request_id: str, event: models.Model) -> None:
        """
        Keep WeChat's verified answer, sealed, until the patient is on record.

        :param event: that says so, and is written with it or not at all
        :raises WrongState: the session ended meanwhile
        """
        kept = {"answer": answer, "wechat_request_id": wechat_request_id[:64]}
        if not self._updating([self.State.AUTHORIZED], **kept).make_and_insert(event):
            raise WrongState
        self.wechat_request_id = kept["wechat_request_id"]

    def drop_answer(self) -> None:
        """:raises WrongState: the session ended meanwhile"""
        self._update([self.State.AUTHORIZED], answer=None)

    def _finish(self, to: State, *, at: datetime, **fields: Any) -> None:
        gone: dict[str, Any] = {
            "face_sid": None,
            "answer": None,
            "openid_indexes": [],
            "due_at": None,
        }
        self._move(to, finished_at=at, **gone, **fields)

    def _move(self, to: State, **fields: Any) -> None:
        self._update(self.NEXT[to], state=to, **fields)

    def _update(self, here: list[State], **fields: Any) -> None:
        """
        Compare and set: two may both try, one succeeds.

        `attempts` names the lease: a worker whose own ran out changes nothing any more.
        """
        if not self._updating(here, **fields).make():
            raise WrongState
        for name, value in fields.items():
            setattr(self, name, value)

    def _updating(self, here: list[State], **fields: Any) -> statements.Change:
        stored = dict(fields)
        for name in ("face_sid", "answer"):
            if fields.get(name) is not None:
                setattr(self, name, fields[name])
                stored[name] = _column(name).pre_save(self, add=False)
        mine = {"id": self.pk, "attempts": self.attempts}
        return statements.changing(FaceSession, stored, where=mine, among=[("state", here)])


def _column(name: str) -> SealedField:
    column = FaceSession._meta.get_field(name)
    assert isinstance(column, SealedField)  # noqa: S101 (the two named above are)
    return column


def _claimed(pk: UUID) -> FaceSessionQuerySet:
    """Return a session with what the work on it asks of the others, and no more."""
    own = [field.name for field in FaceSession._meta.concrete_fields]
    whole = FaceSession.objects.select_related("terminal__store", "merchant", "consent__notice")
    return whole.only(*own, *_OTHERS).filter(pk=pk)


def _whole(pk: UUID) -> FaceSessionQuerySet:
    return FaceSession.objects.select_related("merchant", "patient", "consent").filter(pk=pk)


_CLAIMED: Final = Prepared(_claimed, like=UUID(int=0))
_WHOLE: Final = Prepared(_whole, like=UUID(int=0))
_STATE: Final = Prepared(
    lambda pk: FaceSession.objects.only("state").filter(pk=pk), like=UUID(int=0)
)


def _digests(face_sid: str) -> tuple[str, ...]:
    return token_digests("face_session.face_sid", face_sid)
