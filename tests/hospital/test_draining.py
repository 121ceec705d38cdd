"""A body nobody needs is read all the same, so that the connection serves the next request."""

from io import BytesIO

import pytest
from django.conf import settings
from django.http import UnreadablePostError
from django.test import Client, RequestFactory

from hospital.draining import Draining

LIMIT = settings.DATA_UPLOAD_MAX_MEMORY_SIZE


def posted(path, body):
    """Return what a server's socket still holds after the answer, and the answer."""
    wire = BytesIO(body)
    answer = Client().generic("POST", path, body, **{"wsgi.input": wire})
    return wire.read(), answer.status_code


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "status"), [("/api/nowhere", 404), ("/healthz", 200), ("/admin/desk/", 302)]
)
def test_what_was_not_asked_for_is_read(path, status):
    assert posted(path, b"x" * LIMIT) == (b"", status)


@pytest.mark.django_db
def test_what_is_larger_than_anything_we_take_is_left():
    left, _ = posted("/api/nowhere", b"x" * (LIMIT + 10))

    assert left == b"x" * 10


def test_who_hangs_up_meanwhile_breaks_nothing():
    class Gone(BytesIO):
        def read(self, *_args):
            raise OSError("connection reset")

    request = RequestFactory().generic("POST", "/", b"xx", **{"wsgi.input": Gone()})

    assert Draining(lambda _request: "the answer")(request) == "the answer"
    with pytest.raises(UnreadablePostError):
        request.read()
