import re
from typing import Any

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
from hospital.audit import flood
from hospital.audit.actions import Action
from hospital.audit.recording import UNKNOWN, record
from hospital.errors import Refusal

KEY_ID = re.compile(r"[0-9A-Za-z_-]{43}", re.ASCII)
# Refusals that may be an attempt on somebody: on record like a door that did not open.
SUSPICIOUS = frozenset({"face_sid_used", "key_in_use", "activation_code_invalid"})


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
        suspicious = isinstance(exc, Refusal) and exc.code in SUSPICIOUS
        if isinstance(exc, turned_away) or suspicious:
            _record_denial(self.request, exc)
        return super().handle_exception(exc)

    def get_authenticate_header(self, request: Request) -> str:
        return "Signature"  # also where the key is not known yet

    def finalize_response(
        self, request: Request, response: Response, *args: Any, **kwargs: Any
    ) -> Response:
        response["Cache-Control"] = "no-store"
        return super().finalize_response(request, response, *args, **kwargs)

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
        key = activation.activate(at=now, **asked.validated_data)
        store = key.terminal.store
        answer = ActivatedSerializer(
            {"terminal": key.terminal, "key_id": key.pk, "store": store, "server_time": now}
        )
        return Response(answer.data, status.HTTP_201_CREATED)


def _record_denial(request: Request, exc: Exception) -> None:
    terminal, code = terminal_of(request), _code(exc)
    source = terminal.pk if terminal else tracing.current().ip
    missed = flood.admit(f"denied:{source}:{code}")
    if missed is None:
        return
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
