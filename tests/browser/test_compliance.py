"""What patients may read, and what auditors see, in a real browser."""

from django.urls import reverse


def test_patients_read_the_rules_large_and_whole_without_logging_in(seat, notice):
    anybody = seat()

    anybody.visit("/privacy", "privacy")

    size = anybody.page.evaluate("() => parseFloat(getComputedStyle(document.body).fontSize)")
    assert size >= 19  # pixels
    anybody.page.emulate_media(media="print")
    assert not anybody.page.locator("nav").is_visible()
    assert anybody.page.get_by_role("heading", name="六、保存多久").is_visible()


def test_the_auditor_narrows_the_matrix_with_keys_and_saves_the_pack(seat, zhou, notice):
    auditor = seat(zhou)

    auditor.visit(reverse("compliance:matrix"), "compliance")
    auditor.page.get_by_role("link", name="未满足", exact=False).focus()
    with auditor.page.expect_navigation():
        auditor.page.keyboard.press("Enter")
    badges = auditor.page.locator(".matrix .badge").all_inner_texts()
    with auditor.page.expect_download() as saved:
        auditor.page.get_by_role("button", name="收集证据").click()

    assert {text.strip() for text in badges} == {"未满足"}
    assert saved.value.suggested_filename.startswith("evidence-")
