"""To a terminal nothing exists of another one's: every address of the API that names something."""

from tests.access import walking

BODIES = {
    "sighting": {"face_sid": "f" * 20, "openid": "o" + "x" * 27},
    "authorization": {"return_code": "SUCCESS"},
}


def test_nothing_of_another_terminal_is_there(install, notice, merchant):
    mine, other = install("T-1"), install("T-2")
    named = {"pk": other.agree(), "key_id": other.key.pk}

    answers = {
        (page.name, method): mine.http.request(method, page.filled(named), json=body)
        for page in walking.pages()
        if page.route.startswith("api/v1/") and page.places
        for body in [BODIES.get(page.name)]
        for method in ("GET", "POST", "PUT", "DELETE")
    }

    assert len(answers) > 12
    there = {one for one, answer in answers.items() if answer.status_code != 405}
    named = {"face-session", "sighting", "authorization", "withdrawal", "key"}
    assert {name for name, _ in there} == named
    assert {answers[one].status_code for one in there} == {404}
