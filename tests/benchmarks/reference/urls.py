"""Two views to compare with: the same question and an answer as long, without what makes ours."""

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from devices.models import Terminal
from tests.benchmarks.reference.answer import AUTHINFO


class _Question(serializers.Serializer[Any]):
    rawdata = serializers.CharField(max_length=2048)
    refresh = serializers.BooleanField(default=False)


class TokenView(APIView):
    """Token authentication, one serializer, one database read."""

    def post(self, request: Request, serial: str) -> Response:
        asked = _Question(data=request.data)
        asked.is_valid(raise_exception=True)
        terminal = get_object_or_404(Terminal.objects.select_related("store"), serial=serial)
        return Response({"authinfo": AUTHINFO, "store_id": terminal.store.code})


@csrf_exempt  # as a view of an API is
def bare(_request: HttpRequest) -> HttpResponse:
    """Django itself."""
    return JsonResponse({"authinfo": AUTHINFO})


urlpatterns = [path("token/<str:serial>/", TokenView.as_view()), path("bare/", bare)]
