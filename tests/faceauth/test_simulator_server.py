import socket
import threading

import httpx
import pytest

from faceauth.simulator import Simulator, listen

PATH = "/v3/certificates"


@pytest.fixture
def simulator():
    return Simulator.fresh()


@pytest.fixture
def server(simulator):
    with listen(simulator) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def http(server):
    with httpx.Client(base_url=server.base_url, trust_env=False) as client:
        yield client


@pytest.fixture
def raw(server):
    with socket.create_connection(server.server_address) as connection:
        yield connection


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("reset", httpx.ReadError, "reset by peer"),
        ("drop", httpx.RemoteProtocolError, "without sending complete message body"),
    ],
)
def test_a_connection_is_broken_and_the_next_is_whole(simulator, http, name, error, said):
    simulator.expect(name, endpoint="certificates")

    with pytest.raises(error, match=said):
        http.get(PATH)

    assert http.get(PATH).status_code == 401


def test_a_reset_comes_in_the_middle_of_a_kept_connection(simulator, http):
    http.get(PATH)
    simulator.expect("reset", endpoint="certificates")

    with pytest.raises(httpx.ReadError):
        http.get(PATH)


def test_an_answer_may_be_late(simulator, http):
    simulator.expect("slow", endpoint="certificates", seconds=0.4)

    with pytest.raises(httpx.ReadTimeout):
        http.get(PATH, timeout=0.1)

    assert http.get(PATH).status_code == 401


def test_headers_that_drip_come_a_few_bytes_at_a_time(simulator, raw):
    simulator.expect("drip", endpoint="certificates", seconds=60)

    raw.sendall(b"GET /v3/certificates HTTP/1.1\r\nHost: localhost\r\n\r\n")
    begun = raw.recv(4096)

    assert b"HTTP/1.1 401".startswith(begun[:12])
    assert b"\r\n\r\n" not in begun


def test_headers_that_dripped_are_whole(simulator, http):
    simulator.expect("drip", endpoint="certificates", seconds=0.1)

    answer = http.get(PATH)

    assert (answer.status_code, answer.json()["code"]) == (401, "SIGN_ERROR")


def test_scenarios_are_cleared_over_a_real_connection(simulator, http):
    simulator.expect("down", times=0)

    answer = http.request("DELETE", "/_sim/scenario", json={"name": "down"})

    assert answer.status_code == 200
    assert simulator.weather.active() == []


def test_a_connection_is_kept_for_the_next_question(http):
    first, second = http.get(PATH), http.get(PATH)

    streams = {answer.extensions["network_stream"] for answer in (first, second)}
    assert len(streams) == 1


@pytest.mark.parametrize("length", [b"many", b"-1", b"99999999"])
def test_a_body_of_no_known_length_is_not_read(raw, length):
    raw.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + length + b"\r\n\r\n")

    assert raw.recv(4096).startswith(b"HTTP/1.1 411 ")


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost:8001", "[::1]:8001", "192.168.7.9"])
def test_it_answers_to_an_address(http, name):
    assert http.get("/_sim/people", headers={"Host": name}).status_code == 200


@pytest.mark.parametrize(
    "hosts",
    [[], ["evil.example"], ["127.0.0.1.evil.example"], ["localhost", "evil.example"], ["["]],
    ids=["none", "name", "like an address", "two", "unreadable"],
)
@pytest.mark.parametrize(
    "asked", [b"GET /_sim/state", b"DELETE /_sim/scenario"], ids=["reading", "changing"]
)
def test_a_page_that_leads_its_own_name_here_is_not_answered(simulator, raw, hosts, asked):
    simulator.expect("down", times=0)

    lines = [f"Host: {host}".encode() for host in hosts]
    raw.sendall(b"\r\n".join([asked + b" HTTP/1.1", *lines, b"Content-Length: 2", b"", b"{}"]))

    assert raw.recv(4096).startswith(b"HTTP/1.1 421 ")
    assert simulator.weather.active() != []


def test_it_answers_to_the_name_it_was_told_to_have(simulator):
    with listen(simulator, host="localhost") as server:
        assert server.names == {"localhost"}
        assert server.base_url.startswith("http://127.0.0.1:")
