"""
What was sent is read before it is answered, also where the answer needs none of it.

A server that answers and leaves a body unread has to hang up, and the next request of a client
that keeps its connection is lost on the way (RFC 9112 §9.3).
"""

from collections.abc import Callable
from contextlib import suppress

from django.conf import settings
from django.http import HttpRequest, HttpResponse, UnreadablePostError


class Draining:
    """Middleware outside of everything that may answer without looking at a body."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        # Whoever sends more than anything of ours takes may as well connect again.
        with suppress(UnreadablePostError):  # they hung up themselves
            request.read(settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
        return response
