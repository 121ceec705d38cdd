"""The committed description is the API's; a change shows as a diff to review."""

from pathlib import Path

from django.core.management import call_command

COMMITTED = Path(__file__).with_name("openapi.yaml")


def test_the_committed_description_is_in_step(tmp_path):
    generated = tmp_path / "openapi.yaml"

    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(generated))

    assert generated.read_text() == COMMITTED.read_text(), "make openapi"


def test_it_is_served_as_committed(client):
    served = client.get("/api/openapi.yaml")

    assert served.status_code == 200
    assert served.content.decode() == COMMITTED.read_text()


def test_the_page_for_integrators_needs_no_login_and_nothing_from_elsewhere(client):
    page = client.get("/api/docs")

    assert page.status_code == 200
    assert '<html lang="zh-hans">' in page.content.decode()
    assert "//" not in page.content.decode().replace("<!DOCTYPE html>", "")
