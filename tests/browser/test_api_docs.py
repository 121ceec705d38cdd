"""/api/docs in a real browser: all from here, and nothing the policy refuses."""

from urllib.parse import urlsplit


def test_the_api_is_described_without_a_login_by_this_server_alone(chromium, live_server):
    complaints, asked = [], []
    page = chromium.new_page()
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))

    page.goto(f"{live_server.url}/api/docs")
    page.locator("#operations-authinfo-authinfo .opblock-summary").click()
    page.get_by_text("device_unregistered").first.wait_for()

    assert page.title() == "刷脸实名建档 终端接口"
    assert page.locator(".opblock").count() >= 8
    assert page.get_by_role("button", name="Try it out").count() == 0
    assert {urlsplit(url).netloc for url in asked} == {urlsplit(live_server.url).netloc}
    assert complaints == []
