import re
import time
from typing import Any, NoReturn, cast

from django.db import DatabaseError, transaction
from django.http import Http404, HttpRequest
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from redis.exceptions import RedisError
from rest_framework import exceptions, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from devices import activation, journal, rotation
from devices.another_way import NoFallback
from devices.authentication import (
    ClockSkew,
    Missigned,
    Replayed,
    Suspended,
    UnknownKey,
    Unsigned,
    named_key,
    terminal_of,
    verify,
)
from devices.models import Terminal, TerminalKey, TerminalRequest
from devices.serializers import (
    ActivatedSerializer,
    ActivationSerializer,
    KeySerializer,
    RegisteredKeySerializer,
)
from devices.throttling import ActivationThrottle, Allowance
from hospital import tracing
from hospital.audit import flood
from hospital.audit.actions import Action
from hospital.audit.recording import UNKNOWN, record
from hospital.errors import Refusal
from hospital.schema import may_refuse

KEY_ID = re.compile(r"[0-9A-Za-z_-]{43}", re.ASCII)
# Refusals that may be an attempt on somebody: on record like a door that did not open.
SUSPICIOUS = frozenset({"face_sid_used", "key_in_use", "activation_code_invalid"})


@may_refuse(Unsigned, Missigned, UnknownKey, ClockSkew, Replayed, Suspended("设备检修"))
class TerminalView(APIView):
    """A call only a terminal may make. Who is turned away is on record."""

    for_suspended = False
    allowance: Allowance | None = None
    is_flood = False  # of denials: neither the trail nor the journal takes any more

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        self.began = time.monotonic()
        return super().initialize_request(request, *args, **kwargs)

    def check_permissions(self, request: Request) -> None:
        super().check_throttles(request)  # first: who is suspended counts too
        super().check_permissions(request)

    def check_throttles(self, request: Request) -> None:
        """Done with the permissions."""

    def handle_exception(self, exc: Exception) -> Response:
        turned_away = (
            exceptions.NotAuthenticated,
            exceptions.AuthenticationFailed,
            exceptions.PermissionDenied,
            Http404,
        )
        suspicious = isinstance(exc, Refusal) and exc.code in SUSPICIOUS
        if isinstance(exc, turned_away) or suspicious:
            try:
                self.is_flood = not _record_denial(self.request, exc)
            except (DatabaseError, RedisError) as lost:
                return super().handle_exception(lost)  # nobody is turned away off the record
        return super().handle_exception(exc)

    def raise_uncaught_exception(self, exc: Exception) -> NoReturn:
        self._note(status.HTTP_500_INTERNAL_SERVER_ERROR, "error")
        raise exc

    def get_authenticate_header(self, request: Request) -> str:
        return "Signature"  # also where the key is not known yet

    def finalize_response(
        self, request: Request, response: Response, *args: Any, **kwargs: Any
    ) -> Response:
        response["Cache-Control"] = "no-store"
        if self.allowance:
            self.allowance.state(response)
        code = response.data.get("code", "") if response.exception else ""
        self._note(response.status_code, code)
        return super().finalize_response(request, response, *args, **kwargs)

    def _note(self, answered: int, code: str) -> None:
        if self.is_flood:
            return
        # Not `request.user`: that would look at the signature of a request refused before.
        terminal = getattr(self.request, "_user", None)
        # A key that was only named: anybody can name one, so nothing but the refusal is its own.
        is_refused = terminal is None and answered == TerminalRequest.NOT_THE_TERMINAL
        journal.note(
            terminal_id=terminal.pk if terminal else None,
            key_id=_claimed_key(self.request) if is_refused else "",
            method=str(self.request.method),
            route=_route(self.request),
            status=answered,
            code=code,
            ms=round((time.monotonic() - self.began) * 1000),
        )

    @property
    def terminal(self) -> Terminal:
        terminal = terminal_of(self.request)
        assert terminal is not None  # noqa: S101 (the permission class saw to it)
        return terminal

    @property
    def key(self) -> TerminalKey:
        """The key this very request was signed with."""
        return cast("TerminalKey", self.request.auth)


@may_refuse(Unsigned, Missigned, ClockSkew, Replayed)
class ActivationView(TerminalView):
    """A one-time code becomes a key: signed with that very key, which proves possession."""

    authentication_classes = []
    permission_classes = []
    throttle_classes = [ActivationThrottle]

    @may_refuse(activation.WrongCode, activation.KeyInUse, NoFallback)
    @extend_schema(
        operation_id="activate", request=ActivationSerializer, responses={201: ActivatedSerializer}
    )
    def post(self, request: Request) -> Response:
        asked = ActivationSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        pem = asked.validated_data["public_key"]
        try:
            algorithm, key_id = activation.fingerprint(pem)
        except activation.UnusableKey:
            raise serializers.ValidationError({"public_key": ["?"]}, code="invalid") from None
        if named_key(request) != key_id:
            raise Missigned
        verify(request, public_key=pem, algorithm=algorithm)
        now = timezone.now()
        key = activation.activate(at=now, **asked.validated_data)
        request.user = key.terminal  # type: ignore[assignment]  # now it is known who asks
        store = key.terminal.store
        answer = ActivatedSerializer(
            {"terminal": key.terminal, "key_id": key.pk, "store": store, "server_time": now}
        )
        return Response(answer.data, status.HTTP_201_CREATED)


class TerminalKeysView(TerminalView):
    """A terminal adds its next key, signed with the present one; both are then in force."""

    @may_refuse(activation.KeyInUse, rotation.TooManyKeys, rotation.KeyGone)
    @extend_schema(
        operation_id="add_key", request=KeySerializer, responses={201: RegisteredKeySerializer}
    )
    def post(self, request: Request) -> Response:
        asked = KeySerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        try:
            key = rotation.add(
                self.terminal, **asked.validated_data, signed_by=self.key, at=timezone.now()
            )
        except activation.UnusableKey:
            raise serializers.ValidationError({"public_key": ["?"]}, code="invalid") from None
        except rotation.Unproven:
            raise serializers.ValidationError({"proof": ["?"]}, code="invalid") from None
        return Response(RegisteredKeySerializer(key).data, status.HTTP_201_CREATED)


class TerminalKeyView(TerminalView):
    """A terminal retires its previous key, signed with the other one."""

    @may_refuse(rotation.KeyInHand, rotation.KeyGone)
    @extend_schema(operation_id="retire_key", request=None, responses={204: None})
    def delete(self, request: Request, key_id: str) -> Response:
        mine = TerminalKey.objects.filter(terminal=self.terminal)
        key = get_object_or_404(mine.select_related("terminal"), pk=key_id)
        rotation.retire(key, signed_by=self.key, at=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)


def _record_denial(request: Request, exc: Exception) -> bool:
    terminal, code = terminal_of(request), _code(exc)
    source = terminal.pk if terminal else tracing.current().ip
    missed = flood.admit(
        f"denied:{source}:{code}",
        Action.TERMINAL_DENIED,
        by=terminal or UNKNOWN,
        on=terminal,
        code=code,
    )
    if missed is None:
        return False
    with transaction.atomic():
        record(
            Action.TERMINAL_DENIED,
            by=terminal or UNKNOWN,
            on=terminal,
            at=timezone.now(),
            outcome="denied",
            code=code,
            key_id=_claimed_key(request),
            route=_route(request),
            suppressed=missed,
        )
    return True


def _code(exc: Exception) -> str:
    match exc:
        case exceptions.APIException():
            return str(exc.get_codes())
        case Http404():
            return "not_found"
    return str(getattr(exc, "code", "refused"))


def _claimed_key(request: Request) -> str:
    try:
        key_id = named_key(request)
    except exceptions.APIException:
        return ""
    return key_id if KEY_ID.fullmatch(key_id) else ""


def _route(request: Request) -> str:
    match = request._request.resolver_match  # noqa: SLF001
    return match.view_name if match else ""
