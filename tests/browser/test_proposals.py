"""What takes two people, in a real browser: each page whole, and decided with keys alone."""

import pytest
from django.urls import reverse

from hospital.audit.models import Archive, Proposal
from tests.browser.desk import expect
from tests.hospital.aged import NOW, aged, ask_to_redact


@pytest.fixture
def proposal(tmp_path, settings, zhou):
    aged(tmp_path, settings)
    for start, end in ((0, 4), (4, 10)):
        name = f"trail-{start:012d}-{end:012d}.zip"
        Archive(
            start=start, end=end, root=b"r" * 32, name=name, size=1,
            sha256="0" * 64, sm3="0" * 64, at=NOW,
        ).save()  # fmt: skip
    return ask_to_redact(zhou, 3)


def page(name, *args):
    return reverse(f"admin:audit_proposal_{name}", args=args)


def go_to(desk, address):
    desk.open(address)
    expect(desk.page.locator("h1")).to_contain_text("审批")


def test_every_page_is_whole_and_axe_finds_nothing(seat, proposal, zhou, mei):
    asker, decider = seat(zhou), seat(mei)

    for desk, name, address in (
        (asker, "list", page("changelist")),
        (asker, "prune", page("prune")),
        (asker, "redact", page("redact") + "?index=3"),
        (asker, "asked", page("change", proposal.pk)),
        (decider, "waiting", page("change", proposal.pk)),
        (decider, "decision", page("decision", proposal.pk)),
    ):
        desk.visit(address, f"proposal-{name}")


def test_a_request_is_made_and_decided_with_keys_alone(seat, proposal, zhou, mei):
    asker = seat(zhou)
    asker.open(page("redact") + "?index=5")
    asker.page.get_by_label("理由").focus()
    asker.page.keyboard.type("误写入姓名")
    asker.page.keyboard.press("Tab")
    asker.page.keyboard.press("Enter")
    expect(asker.page.locator(".messagelist")).to_contain_text("请另一人批准")

    asked = Proposal.objects.latest("id")
    decider = seat(mei)
    go_to(decider, page("decision", asked.pk))
    decider.page.get_by_role("button", name="批准", exact=True).focus()
    decider.page.keyboard.press("Enter")

    expect(decider.page.locator(".messagelist")).to_contain_text("已批准")
    expect(decider.page.locator("#content")).to_contain_text("封存后执行")
    assert Proposal.objects.get(pk=asked.pk).state == "approved"
