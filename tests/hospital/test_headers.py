"""What every answer tells a browser."""

import pytest
from csp.constants import HEADER
from django.urls import reverse

PUBLIC = ["/admin/login/", "/api/docs", "/api/v1/notice/", "/nowhere", "/healthz"]


@pytest.mark.parametrize("path", PUBLIC)
def test_every_answer_tells_a_browser_what_to_refuse(client, db, path):
    headers = client.get(path).headers

    assert "unsafe" not in headers[HEADER]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "camera=()" in headers["Permissions-Policy"]
    assert "publickey-credentials-get=(self)" in headers["Permissions-Policy"]


def test_no_page_of_staffs_is_kept_by_a_browser(client, mei):
    pages = ["/admin/login/", "/admin/nowhere/", "/admin/"]
    for path in pages:
        assert "no-store" in client.get(path)["Cache-Control"]
    client.force_login(mei)

    for path in [*pages, reverse("admin:jsi18n"), reverse("admin:accounts_staff_changelist")]:
        kept = client.get(path)["Cache-Control"]
        assert "no-store" in kept
        assert "private" in kept
        assert "public" not in kept


def test_nothing_tells_what_this_runs_on(client, db):
    headers = client.get("/admin/login/").headers

    assert not {"Server", "X-Powered-By"} & set(headers)
