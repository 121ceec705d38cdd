import re

from django.core.cache import cache
from django.db import transaction
from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import AnonRateThrottle
from rest_framework.views import APIView

from devices import activation
from devices.authentication import Missigned, named_key, terminal_of, verify
from devices.models import Terminal
from devices.serializers import ActivatedSerializer, ActivationSerializer
from hospital import tracing
from hospital.audit.actions import Action
from hospital.audit.recording import UNKNOWN, record

KEY_ID = re.compile(r"[0-9A-Za-z_-]{43}", re.ASCII)
DENIAL_WINDOW = 60  # seconds
DENIALS_RECORDED = 60  # per address and window: a flood must not fill the trail


class TerminalView(APIView):
    """A call only a terminal may make. Who is turned away is on record."""

    for_suspended = False

    def handle_exception(self, exc: Exception) -> Response:
        turned_away = (
            exceptions.NotAuthenticated,
            exceptions.AuthenticationFailed,
            exceptions.PermissionDenied,
            Http404,
        )
        if isinstance(exc, turned_away):
            _record_denial(self.request, exc)
        return super().handle_exception(exc)

    def get_authenticate_header(self, request: Request) -> str:
        return "Signature"  # also where the key is not known yet

    @property
    def terminal(self) -> Terminal:
        terminal = terminal_of(self.request)
        assert terminal is not None  # noqa: S101 (the permission class saw to it)
        return terminal


class ActivationThrottle(AnonRateThrottle):
    scope = "activation"


class ActivationView(TerminalView):
    """A one-time code becomes a key: signed with that very key, which proves possession."""

    authentication_classes = []
    permission_classes = []
    throttle_classes = [ActivationThrottle]

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
        try:
            key = activation.activate(at=now, **asked.validated_data)
        except activation.WrongCode:
            _record_denial(request, activation.WrongCode())
            raise
        store = key.terminal.store
        answer = ActivatedSerializer(
            {"terminal": key.terminal, "key_id": key.pk, "store": store, "server_time": now}
        )
        return Response(answer.data, status.HTTP_201_CREATED)


def _record_denial(request: Request, exc: Exception) -> None:
    trace = tracing.current()
    window = f"denials:{trace.peer}:{int(timezone.now().timestamp()) // DENIAL_WINDOW}"
    cache.add(window, 0, 2 * DENIAL_WINDOW)
    if cache.incr(window) > DENIALS_RECORDED:
        return
    terminal = terminal_of(request)
    with transaction.atomic():
        record(
            Action.TERMINAL_DENIED,
            by=terminal or UNKNOWN,
            on=terminal,
            at=timezone.now(),
            outcome="denied",
            code=_code(exc),
            key_id=_claimed_key(request),
            route=_route(request),
        )


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
