import time
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from django.db import transaction
from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from kombu.exceptions import KombuError
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from devices import idempotency, presence
from devices.another_way import NoFallback
from devices.authentication import ClockSkew, Missigned, Replayed, UnknownKey, Unsigned
from devices.idempotency import KeyMalformed, KeyReused
from devices.serializers import HeartbeatSerializer, PresenceSerializer
from devices.views import TerminalView
from faceauth import consent, recognition, sighting, tasks, waiting, withdrawal
from faceauth.credential import (
    PATIENCE,
    DeviceUnregistered,
    RawdataRefused,
    Refused,
    SdkOutdated,
    WeChatMisconfigured,
    credential,
    merchant_in_use,
)
from faceauth.models import FaceSession, NotConfigured, Notice, WrongState
from faceauth.serializers import (
    AuthinfoRequestSerializer,
    AuthinfoSerializer,
    AuthorizationRequestSerializer,
    FaceSessionSerializer,
    NoticeSerializer,
    OpenedSerializer,
    OpeningSerializer,
    SightingRequestSerializer,
    SightingSerializer,
    WithdrawalRequestSerializer,
    WithdrawalSerializer,
)
from hospital.crypto.keyring import SubjectForgotten
from hospital.errors import Unavailable
from hospital.privacy.assessing import NotAssessed
from hospital.schema import may_refuse

log = structlog.get_logger(__name__)

LONGEST_POLL = 25  # seconds
STEP = 0.2  # seconds between two looks of a long poll

IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description="重试时重复同一个值，得到同一个结果",
)


class AuthinfoView(TerminalView):
    """Everything getWxpayfaceCode needs."""

    @may_refuse(
        KeyMalformed,
        KeyReused,
        NotConfigured,
        DeviceUnregistered,
        SdkOutdated,
        Refused,
        RawdataRefused,
        WeChatMisconfigured,
    )
    @extend_schema(
        operation_id="authinfo",
        request=AuthinfoRequestSerializer,
        responses=AuthinfoSerializer,
        parameters=[IDEMPOTENCY_KEY],
    )
    def post(self, request: Request) -> Response:
        asked = _valid(AuthinfoRequestSerializer, request)
        merchant, now = merchant_in_use(), timezone.now()
        # The cache answers a retry; what it must not do is refresh a second time.
        repeat = idempotency.took_effect(request, self.terminal)
        made = credential(
            self.terminal,
            rawdata=asked["rawdata"],
            refresh=asked["refresh"] and not repeat,
            merchant=merchant,
            send=_ask_worker,
            at=now,
        )
        idempotency.note(request, self.terminal, at=now)
        answer = {
            "authinfo": made.authinfo,
            "expires_in": made.seconds_left(at=now),
            "appid": merchant.appid,
            "mch_id": merchant.mch_id,
            "store_id": self.terminal.store.code,
            "face_authtype": "FACE_AUTH",
        }
        if merchant.sub_mch_id:
            answer |= {"sub_appid": merchant.sub_appid, "sub_mch_id": merchant.sub_mch_id}
        return Response(answer)


class NoticeView(TerminalView):
    """The consent notice in force."""

    @may_refuse(consent.NoNotice)
    @extend_schema(operation_id="notice", responses=NoticeSerializer)
    def get(self, request: Request) -> Response:
        notice = consent.notice_in_force(at=timezone.now())
        return Response(NoticeSerializer(notice, context={"store": self.terminal.store}).data)


class FaceSessionsView(TerminalView):
    """A patient answered the notice."""

    @may_refuse(
        KeyMalformed,
        KeyReused,
        NotConfigured,
        consent.NoNotice,
        consent.NoticeOutdated,
        consent.PurposesIncomplete,
        consent.UnknownPurpose,
        NotAssessed,
        NoFallback,
    )
    @extend_schema(
        operation_id="open_session",
        request=OpeningSerializer,
        responses={201: OpenedSerializer},
        parameters=[IDEMPOTENCY_KEY],
    )
    def post(self, request: Request) -> Response:
        asked, now = _valid(OpeningSerializer, request), timezone.now()

        def answer() -> Response:
            session = consent.open_session(self.terminal, **asked, at=now)
            return Response(OpenedSerializer(session).data, status.HTTP_201_CREATED)

        return idempotency.once(request, self.terminal, answer, at=now)


class SightingView(TerminalView):
    """The SDK saw a face. For FACEID-ONCE a 202 means that WeChat is being asked."""

    @may_refuse(
        KeyMalformed,
        KeyReused,
        WrongState,
        sighting.FaceSidNeeded,
        sighting.FaceSidUsed,
        consent.NotInForce,
        SubjectForgotten,
    )
    @extend_schema(
        operation_id="sighting",
        request=SightingRequestSerializer,
        responses={200: SightingSerializer, 202: FaceSessionSerializer},
        parameters=[IDEMPOTENCY_KEY],
    )
    def post(self, request: Request, pk: UUID) -> Response:
        session, now = _session(self, pk), timezone.now()
        asked = _valid(SightingRequestSerializer, request, kind=session.kind)
        recognises = session.kind == FaceSession.Kind.FACEID_ONCE
        answer = partial(_recognise if recognises else _see, session, asked, at=now)
        return idempotency.once(request, self.terminal, answer, at=now)


class AuthorizationView(TerminalView):
    """The person said yes, or no, on WeChat's screen. A 202 means it is on disk."""

    @may_refuse(KeyMalformed, KeyReused, WrongState, SubjectForgotten)
    @extend_schema(
        operation_id="authorization",
        request=AuthorizationRequestSerializer,
        responses={200: FaceSessionSerializer, 202: FaceSessionSerializer},
        parameters=[IDEMPOTENCY_KEY],
    )
    def post(self, request: Request, pk: UUID) -> Response:
        asked, now = _valid(AuthorizationRequestSerializer, request), timezone.now()

        def answer() -> Response:
            session = _session(self, pk)
            sighting.answer(session, return_code=asked["return_code"], at=now)
            if session.is_final:
                return Response(FaceSessionSerializer(session).data)
            _enqueue(session)
            return Response(FaceSessionSerializer(session).data, status.HTTP_202_ACCEPTED)

        return idempotency.once(request, self.terminal, answer, at=now)


class WithdrawalView(TerminalView):
    """The person takes back what they agreed to, before the end of a visit or after it."""

    @may_refuse(KeyMalformed, KeyReused, WrongState, SubjectForgotten)
    @extend_schema(
        operation_id="withdrawal",
        request=WithdrawalRequestSerializer,
        responses=WithdrawalSerializer,
        parameters=[IDEMPOTENCY_KEY],
    )
    def post(self, request: Request, pk: UUID) -> Response:
        _valid(WithdrawalRequestSerializer, request)
        now = timezone.now()

        def answer() -> Response:
            session = withdrawal.withdraw_session(_session(self, pk), at=now)
            return Response(WithdrawalSerializer(session).data)

        return idempotency.once(request, self.terminal, answer, at=now)


class FaceSessionView(TerminalView):
    """How far a session is; with `wait`, as soon as it moves."""

    @may_refuse(SubjectForgotten)
    @extend_schema(
        operation_id="session",
        responses=FaceSessionSerializer,
        parameters=[
            OpenApiParameter("wait", int, description=f"等待变化的秒数，0–{LONGEST_POLL}"),
        ],
    )
    def get(self, request: Request, pk: UUID) -> Response:
        wait = serializers.IntegerField(min_value=0, max_value=LONGEST_POLL)
        try:
            seconds = wait.run_validation(request.query_params.get("wait", 0))
        except serializers.ValidationError as exc:
            raise serializers.ValidationError({"wait": exc.detail}) from None
        session = _session(self, pk)
        with waiting.seat(self.terminal.pk) as may_wait:
            until = time.monotonic() + (seconds if may_wait and not session.is_final else 0)
            while time.monotonic() < until:
                waiting.rest(STEP)
                if FaceSession.objects.state_of(pk) != session.state:
                    session = _session(self, pk)
                    break
        return Response(FaceSessionSerializer(session).data)


@may_refuse(Unsigned, Missigned, UnknownKey, ClockSkew, Replayed)
class HeartbeatView(TerminalView):
    """A terminal says that it is there; a suspended one learns why it is stopped."""

    for_suspended = True

    @may_refuse(KeyMalformed, KeyReused)
    @extend_schema(
        operation_id="heartbeat",
        request=HeartbeatSerializer,
        responses=PresenceSerializer,
        parameters=[IDEMPOTENCY_KEY],
    )
    def post(self, request: Request) -> Response:
        seen, now = _valid(HeartbeatSerializer, request), timezone.now()
        idempotency.took_effect(request, self.terminal)
        idempotency.note(request, self.terminal, at=now)
        answer = {
            "server_time": now.isoformat(),
            "clock_offset": presence.hear(self.terminal, at=now, **seen),
            "notice_version": Notice.objects.version_in_force(now),
        }
        if hasattr(self.terminal, "suspension"):
            answer["suspension"] = {"reason": self.terminal.suspension.reason}
        return Response(answer)


def _valid(
    shape: type[serializers.Serializer[Any]], request: Request, **context: str
) -> dict[str, Any]:
    asked = shape(data=request.data, context=context)
    asked.is_valid(raise_exception=True)
    valid: dict[str, Any] = asked.validated_data
    return valid


def _session(view: TerminalView, pk: UUID) -> FaceSession:
    """Return a session of this terminal's own; another's is not found."""
    session = FaceSession.objects.theirs(view.terminal, pk)
    if session is None:
        raise Http404
    return session


def _see(session: FaceSession, asked: dict[str, Any], *, at: datetime) -> Response:
    openids = _openids(session, asked)
    sighting.see(session, face_sid=asked.get("face_sid", ""), openids=openids, at=at)
    return Response(SightingSerializer(session).data)


def _recognise(session: FaceSession, asked: dict[str, Any], *, at: datetime) -> Response:
    openids = _openids(session, asked)
    recognition.see(session, token=asked.get("token", ""), openids=openids, at=at)
    if session.is_final:
        return Response(SightingSerializer(session).data)
    _enqueue(session)
    return Response(FaceSessionSerializer(session).data, status.HTTP_202_ACCEPTED)


def _openids(session: FaceSession, asked: dict[str, Any]) -> dict[str, str]:
    if session.merchant is None:
        return {}
    return sighting.openids_of(
        session.merchant, openid=asked.get("openid", ""), sub_openid=asked.get("sub_openid", "")
    )


def _enqueue(session: FaceSession) -> None:
    def wake() -> None:  # a function: a failing hook is logged by its __qualname__
        tasks.onboard.delay(session_id=str(session.pk))

    # robust: without a broker the sweeper finds the session, and the answer stands
    transaction.on_commit(wake, robust=True)


def _ask_worker(terminal: UUID, flight: UUID) -> None:
    """:raises Unavailable: the broker does not take it"""
    ids = {"terminal_id": str(terminal), "flight": str(flight)}
    try:
        tasks.fetch_authinfo.apply_async(kwargs=ids, expires=PATIENCE)  # then nobody waits for it
    except (KombuError, OSError) as exc:
        log.warning("broker", exc_info=exc)
        raise Unavailable from None
