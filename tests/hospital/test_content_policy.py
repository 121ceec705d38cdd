"""The policy every answer carries is the one django-csp would build for it."""

import pytest
from csp.constants import HEADER
from csp.middleware import CSPMiddleware
from django.http import HttpResponse

from hospital.content_policy import ContentPolicy


@pytest.mark.parametrize("status", [200, 404, 500])
def test_every_answer_carries_what_django_csp_would_send(rf, status):
    def answer(_request):
        return HttpResponse(status=status)

    ours, theirs = (
        middleware(answer)(rf.get("/")) for middleware in (ContentPolicy, CSPMiddleware)
    )

    assert ours.headers == theirs.headers
    assert "frame-ancestors 'none'" in ours[HEADER]


def test_an_answer_with_a_policy_of_its_own_keeps_it(rf):
    def answer(_request):
        return HttpResponse(headers={HEADER: "default-src 'none'"})

    assert ContentPolicy(answer)(rf.get("/"))[HEADER] == "default-src 'none'"


@pytest.mark.parametrize("path", ["/admin/login/", "/api/v1/notice/", "/api/docs", "/nowhere"])
def test_pages_and_answers_are_under_the_policy(client, db, path):
    assert "default-src 'self'" in client.get(path)[HEADER]
