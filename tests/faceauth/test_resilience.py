"""What the network and WeChat may do to a call, and what it costs whoever waits."""

import asyncio
import socket
import ssl
import threading
import time

import httpcore
import httpx
import pytest
import stamina

from faceauth.simulator import Simulator, listen
from faceauth.wechat import (
    AuthinfoClient,
    Credential,
    Decryptor,
    Device,
    IdentityClient,
    LocalSigner,
    Misconfigured,
    Party,
    Rejected,
    Unavailable,
    Untrusted,
    Verifier,
)
from faceauth.wechat.advice import seconds_to_wait
from faceauth.wechat.breaker import FAILURES, SHAKY, SHUT, Breaker
from faceauth.wechat.exchange import LIMITS, TIMEOUT, Channel, compose
from faceauth.wechat.identity import _Fetch
from faceauth.wechat.punctual import PunctualTransport, _Network, _until, deadline
from faceauth.wechat.steps import Ask, Pause, arun, run

DEVICE = Device("SIM001", "门诊大厅", "T-1")
RAWDATA = "H0kvnUgGHKuqflNwtNqCdOVpbO4FPSowudTG"


class Tick:
    """A clock that moves when told."""

    def __init__(self, now=1000.0):
        self.now = now

    def __call__(self):
        return self.now


@pytest.fixture
def simulator():
    return Simulator.fresh()


@pytest.fixture
def three_attempts():
    stamina.set_testing(True, attempts=3)


@pytest.fixture
def serving(simulator):
    with listen(simulator) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.base_url
        server.shutdown()
        thread.join()


@pytest.fixture
def connect(simulator):
    """Make clients of the simulator's 普通商户; they are closed after the test."""
    world, made = simulator.world, []
    pem = world.merchant_key.encode()

    def to_wechat(**options):
        client = IdentityClient(
            Party(world.appid, world.mch_id),
            credential=Credential(
                world.mch_id, LocalSigner.from_pem(pem, serial=world.merchant_serial)
            ),
            decryptor=Decryptor.from_pem(pem),
            verifier=Verifier(
                certificates=[world.platform_certificate.encode()],
                public_keys=options.pop("public_keys", {}),
                apiv3_key=world.apiv3_key,
            ),
            **({"transport": httpx.WSGITransport(simulator)} | options),
        )
        made.append(client)
        return client

    yield to_wechat
    for client in made:
        client.close()


def to_payapp(simulator, **options):
    options = {"transport": httpx.WSGITransport(simulator)} | options
    world = simulator.world
    return AuthinfoClient(Party(world.appid, world.mch_id), world.apiv2_key, **options)


# asked again


@pytest.mark.parametrize(
    "scenario", ["500", "down", "202", "reset", "drop", "signtest", "bad-base64"]
)
def test_what_passes_is_asked_again(simulator, connect, three_attempts, scenario):
    client = connect()
    simulator.expect(scenario, endpoint="users", times=2)

    answer = client.ask(simulator.meet("zhangsan"))

    assert client.open(answer.body).real_name == "张三"
    assert simulator.requests()["users"] == 3


@pytest.mark.parametrize("scenario", ["500", "down", "reset", "drop"])
def test_an_authinfo_is_asked_for_again(simulator, three_attempts, scenario):
    simulator.expect(scenario, endpoint="authinfo", times=2)

    assert to_payapp(simulator).fetch(DEVICE, rawdata=RAWDATA).authinfo
    assert simulator.requests()["authinfo"] == 3


def test_three_attempts_are_all_there_are(simulator, connect, three_attempts):
    simulator.expect("500", endpoint="users", times=0)

    with pytest.raises(Unavailable, match="http_5xx") as caught:
        connect().ask(simulator.meet("zhangsan"))

    assert simulator.requests()["users"] == 3
    assert caught.value.status == 500
    assert caught.value.code == "SYSTEM_ERROR"
    assert caught.value.request_id


@pytest.mark.usefixtures("three_attempts")
@pytest.mark.parametrize(
    ("scenario", "error", "fact"),
    [
        ("no-permission", Rejected, "permission"),
        ("wrong-appid", Misconfigured, "appid_mch_id"),
        ("html-404", Rejected, "refused"),
        ("redirect", Rejected, "refused"),
        ("forged", Untrusted, "bad_signature"),
        ("unsigned", Untrusted, "missing_signature"),
        ("empty", Untrusted, "missing_signature"),
        ("stale", Untrusted, "stale"),
        ("future", Untrusted, "future"),
    ],
)
def test_what_does_not_pass_is_not_asked_again(simulator, connect, scenario, error, fact):
    simulator.expect(scenario, endpoint="users", times=0)

    with pytest.raises(error) as caught:
        connect().ask(simulator.meet("zhangsan"))

    assert caught.value.fact == fact
    assert caught.value.status
    assert simulator.requests()["users"] == 1


@pytest.mark.parametrize(
    ("scenario", "error", "fact"),
    [
        ("wrong-appid", Misconfigured, "appid_mch_id"),
        ("device-unregistered", Rejected, "device_unregistered"),
        ("sdk-outdated", Rejected, "sdk_outdated"),
        ("html-404", Rejected, "refused"),
        ("dtd", Untrusted, "entities"),
    ],
)
def test_a_refused_authinfo_says_what_to_do(simulator, three_attempts, scenario, error, fact):
    simulator.expect(scenario, endpoint="authinfo", times=0)

    with pytest.raises(error) as caught:
        to_payapp(simulator).fetch(DEVICE, rawdata=RAWDATA)

    assert caught.value.fact == fact
    assert caught.value.request_id
    assert simulator.requests()["authinfo"] == 1


def test_a_wait_that_fits_is_waited_and_one_that_does_not_is_passed_on(
    simulator, connect, three_attempts
):
    simulator.expect("rate-limited", endpoint="users", retry_after=3)
    assert connect().ask(simulator.meet("zhangsan"))
    simulator.expect("rate-limited", endpoint="users", retry_after=3600)

    with pytest.raises(Unavailable, match="http_429") as caught:
        connect().ask(simulator.meet("zhangsan"))

    assert caught.value.retry_after == 3600
    assert simulator.requests()["users"] == 3


@pytest.mark.usefixtures("three_attempts")
def test_a_limit_that_names_no_wait_is_not_tried_at_once(simulator, connect):
    asked = []

    def limited(request):
        asked.append(request)
        return httpx.Response(429, stream=httpx.ByteStream(b""))

    with pytest.raises(Unavailable, match="http_429"):
        connect(transport=httpx.MockTransport(limited)).ask("aaaaaaaa")

    assert len(asked) == 1


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("7", 7.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400.0),
        ("soon", None),
        ("-1", None),
        ("٧", None),
        ("", None),
    ],
)
def test_a_wait_is_seconds_or_a_date(given, seconds):
    assert seconds_to_wait(given) == seconds


def test_a_full_pool_says_nothing_of_the_host():
    breaker = Breaker()

    for _ in range(FAILURES):
        fail(breaker, "busy")

    assert not is_shut(breaker)
    assert not breaker.is_shaky


def test_a_full_pool_does_not_make_a_dead_host_alive():
    breaker = Breaker()

    for _ in range(FAILURES - 1):
        fail(breaker, "timeout")
        fail(breaker, "busy")
    fail(breaker, "timeout")

    assert is_shut(breaker)


# the time it takes


def test_headers_that_drip_end_with_the_patience(simulator, connect, serving, monkeypatch):
    monkeypatch.setattr("faceauth.wechat.exchange.PATIENCE", 1.0)
    client = connect(transport=None, base_url=serving)
    simulator.expect("drip", endpoint="users", seconds=30)
    began = time.monotonic()

    with pytest.raises(Unavailable, match="timeout"):
        client.ask(simulator.meet("zhangsan"))

    assert time.monotonic() - began < 10  # each byte came well within the read timeout


def test_a_host_that_accepts_and_says_nothing_ends_with_the_patience(connect, monkeypatch):
    monkeypatch.setattr("faceauth.wechat.exchange.PATIENCE", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        client = connect(transport=None, base_url=f"http://127.0.0.1:{deaf.getsockname()[1]}")

        with pytest.raises(Unavailable, match="timeout"):
            client.ask("aaaaaaaa")


@pytest.fixture
def punctual():
    transport = PunctualTransport(limits=LIMITS)
    yield transport
    transport.close()


def test_many_dead_addresses_cost_the_time_of_one(punctual, monkeypatch):
    many = [f"127.0.0.{number}" for number in range(1, 5)]
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, 443)) for one in many]
    tried = []

    def blackhole(_self, host, _port, timeout, *_):
        tried.append((host, timeout))
        raise httpcore.ConnectTimeout

    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", blackhole)

    with pytest.raises(Unavailable, match="unreachable"):
        Channel(punctual).send(
            compose("GET", "http://wechat.invalid/", accept="*/*"), until=float("inf")
        )

    assert [host for host, _ in tried] == many
    assert tried[0][1] <= TIMEOUT.connect / len(many)


def test_a_resolver_that_is_stuck_is_not_waited_for(punctual, monkeypatch):
    monkeypatch.setattr("faceauth.wechat.exchange.PATIENCE", 0.1)
    let_go, ended = threading.Event(), threading.Event()

    def stuck(*_, **__):
        let_go.wait(5)
        ended.set()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", stuck)

    with pytest.raises(Unavailable, match="unreachable"):
        Channel(punctual).send(
            compose("GET", "http://wechat.invalid/", accept="*/*"), until=float("inf")
        )

    assert not ended.is_set()
    let_go.set()


def test_a_name_no_resolver_can_spell_is_unreachable(connect):
    client = connect(transport=None, base_url="http://a..invalid")

    with pytest.raises(Unavailable, match="unreachable"):
        client.ask("aaaaaaaa")


def test_a_connection_is_waited_for_no_longer_than_the_caller_may(punctual):
    request = compose("GET", "http://127.0.0.1:1/", accept="*/*")

    with deadline(time.monotonic() + 0.5), pytest.raises(httpx.ConnectError):
        punctual.handle_request(request)

    assert request.extensions["timeout"]["pool"] <= 0.5


def test_a_host_that_takes_a_request_byte_by_byte_ends_with_the_deadline():
    gone = threading.Event()

    def swallow():
        theirs, _ = listener.accept()
        with theirs:
            while not gone.wait(0.01):
                theirs.recv(131_072)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=swallow)
        thread.start()
        try:
            stream = _Network().connect_tcp("127.0.0.1", listener.getsockname()[1])
            with deadline(time.monotonic() + 0.3), pytest.raises(httpcore.WriteTimeout):
                stream.write(bytes(50_000_000))
        finally:
            stream.close()
            gone.set()
            thread.join()


def test_a_deadline_within_another_ends_no_later_and_leaves_it_standing():
    with deadline(2.0):
        with deadline(3.0):
            assert _until() == 2.0
        with deadline(1.0):
            assert _until() == 1.0
        assert _until() == 2.0

    assert _until() == float("inf")


def test_a_pause_ends_with_the_budget():
    def steps():
        yield Pause(60)

    async def taken():
        await arun(steps(), None, until=time.monotonic())

    with pytest.raises(Unavailable, match="timeout"):
        run(steps(), None, until=time.monotonic())
    with pytest.raises(Unavailable, match="timeout"):
        asyncio.run(taken())


@pytest.mark.parametrize(
    ("failure", "fact"),
    [
        (ssl.SSLError(1, "bad record mac"), "network"),
        (ConnectionResetError(), "network"),
        (UnicodeError("label too long"), "unreachable"),
    ],
)
def test_what_asyncio_lets_through_is_a_fact_all_the_same(failure, fact):
    class Broken(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request):
            raise failure

    async def ask():
        request = compose("GET", "https://wechat.invalid/", accept="*/*")
        await Channel(Broken()).asend(request, until=float("inf"))

    with pytest.raises(Unavailable, match=fact):
        asyncio.run(ask())


def test_each_of_thousands_of_headers_is_looked_at_once(monkeypatch):
    looks, look = [], httpx.Headers.__getitem__
    monkeypatch.setattr(
        httpx.Headers, "__getitem__", lambda self, name: (looks.append(name), look(self, name))[1]
    )
    headers = [("A", "1"), ("a", "2"), *((f"B{number}", "") for number in range(5000))]
    transport = httpx.MockTransport(
        lambda _request: httpx.Response(200, headers=headers, stream=httpx.ByteStream(b""))
    )

    reply = Channel(transport).send(
        compose("GET", "http://wechat.invalid/", accept="*/*"), until=float("inf")
    )

    assert reply.headers["a"] == "1, 2"
    assert len(looks) < 100


def test_a_question_does_not_show_whom_it_is_about():
    request = compose("GET", "https://wechat.invalid/v3/facemch/users/aaaaaaaa", accept="*/*")

    assert "aaaaaaaa" not in repr(Ask(Channel(), request))


# the breaker


def fail(breaker, fact="timeout"):
    with pytest.raises(Unavailable, match=fact), breaker.watching():
        raise Unavailable(fact)


def is_shut(breaker):
    try:
        with breaker.watching():
            return False
    except Unavailable as exc:
        return exc.fact == "circuit_open"


def test_a_dead_host_turns_callers_away(simulator):
    deaths = []

    def dead(request):
        deaths.append(request)
        raise httpx.ConnectTimeout("", request=request)

    client = to_payapp(simulator, transport=httpx.MockTransport(dead))
    for _ in range(FAILURES):
        with pytest.raises(Unavailable, match="unreachable"):
            client.fetch(DEVICE, rawdata=RAWDATA)

    with pytest.raises(Unavailable, match="circuit_open") as caught:
        client.fetch(DEVICE, rawdata=RAWDATA)

    assert len(deaths) == FAILURES
    assert 0 < caught.value.retry_after <= SHUT


def test_nobody_waits_for_a_shut_breaker(simulator):
    hosts = Hosts(simulator, httpx.ConnectError)
    client = to_payapp(simulator, transport=hosts, base_url="https://first.invalid")
    for _ in range(FAILURES):
        with pytest.raises(Unavailable):
            client.fetch(DEVICE, rawdata=RAWDATA)
    waits = []
    stamina.set_testing(False)
    stamina.instrumentation.set_on_retry_hooks([waits.append])

    with pytest.raises(Unavailable, match="circuit_open"):
        client.fetch(DEVICE, rawdata=RAWDATA)

    stamina.instrumentation.set_on_retry_hooks(None)
    assert waits == []


def test_after_a_while_one_caller_tries_for_all():
    clock = Tick()
    breaker = Breaker(clock=clock)
    for _ in range(FAILURES):
        fail(breaker)
    clock.now += SHUT

    with breaker.watching():
        assert is_shut(breaker)

    assert not is_shut(breaker)


def test_a_try_that_fails_shuts_it_again():
    clock = Tick()
    breaker = Breaker(clock=clock)
    for _ in range(FAILURES):
        fail(breaker)
    clock.now += SHUT

    fail(breaker)

    assert is_shut(breaker)


@pytest.mark.parametrize("answer", [Unavailable("http_429"), Rejected("NO_AUTH"), Untrusted("x")])
def test_an_answer_is_a_sign_of_life(answer):
    breaker = Breaker()
    for _ in range(FAILURES - 1):
        fail(breaker)

    with pytest.raises(type(answer)), breaker.watching():
        raise answer

    fail(breaker)
    assert not is_shut(breaker)


def test_a_caller_who_gives_up_says_nothing_of_the_host():
    breaker = Breaker()
    for _ in range(FAILURES - 1):
        fail(breaker)

    with pytest.raises(KeyboardInterrupt), breaker.watching():
        raise KeyboardInterrupt

    fail(breaker)
    assert is_shut(breaker)


# the second host


class Hosts(httpx.BaseTransport):
    """The first host fails in some way; the second is the simulator."""

    def __init__(self, simulator, failure):
        self.simulator = httpx.WSGITransport(simulator)
        self.failure = failure
        self.asked = []

    def handle_request(self, request):
        name = request.url.host.partition(".")[0]
        self.asked.append(name)
        if name == "first" and self.failure:
            raise self.failure("", request=request)
        return self.simulator.handle_request(request)


def two(connect, hosts):
    return connect(
        transport=hosts, base_url="https://first.invalid", fallback_url="https://second.invalid"
    )


@pytest.mark.parametrize("failure", [httpx.ReadTimeout, httpx.ReadError])
def test_asking_again_goes_to_the_other_host(simulator, connect, three_attempts, failure):
    hosts = Hosts(simulator, failure)

    two(connect, hosts).ask(simulator.meet("zhangsan"))

    assert hosts.asked == ["first", "second"]


def test_a_host_that_failed_is_left_alone_for_a_while(simulator, connect, monkeypatch):
    clock = Tick()
    monkeypatch.setattr(Breaker.__init__, "__kwdefaults__", {"clock": clock})
    hosts = Hosts(simulator, httpx.ConnectError)
    client = two(connect, hosts)
    client.ask(simulator.meet("zhangsan"))
    hosts.asked.clear()

    client.ask(simulator.meet("zhangsan"))
    clock.now += SHAKY
    hosts.failure = None
    client.ask(simulator.meet("zhangsan"))
    client.ask(simulator.meet("zhangsan"))

    assert hosts.asked == ["second", "first", "first"]


def test_a_shut_host_is_passed_by(simulator, connect):
    hosts = Hosts(simulator, None)
    client = two(connect, hosts)
    first, second = (host.breaker for host in client._hosts._hosts)
    for _ in range(FAILURES):
        fail(first)
    fail(second)

    assert client.ask(simulator.meet("zhangsan"))

    assert hosts.asked == ["second"]


# WeChat's keys


def test_a_rotation_is_followed(simulator, connect):
    client = connect()
    simulator.expect("rotating", times=0)

    for _ in range(3):
        assert client.ask(simulator.meet("zhangsan"))

    assert simulator.requests()["certificates"] == 1


def test_an_expired_certificate_among_the_new_is_survived(simulator, connect):
    simulator.expect("rotated-expired", times=0)

    assert connect().ask(simulator.meet("zhangsan"))


def test_a_switch_to_the_public_key_is_survived(simulator, connect, tmp_path):
    simulator.export(tmp_path, base_url="")
    pem = (tmp_path / "wechat_public_key.pem").read_bytes()
    client = connect(public_keys={simulator.world.wechat_public_key_id: pem})
    simulator.expect("pubkey-switch", endpoint="users", times=0)

    for _ in range(4):
        assert client.ask(simulator.meet("zhangsan"))


@pytest.mark.parametrize(
    "scenario", ["no-certificates", "certificates-forbidden", "certificates-empty"]
)
def test_no_certificates_to_fetch_is_no_failure_with_a_public_key(
    simulator, connect, tmp_path, scenario
):
    simulator.export(tmp_path, base_url="")
    pem = (tmp_path / "wechat_public_key.pem").read_bytes()
    client = connect(public_keys={simulator.world.wechat_public_key_id: pem})
    simulator.expect("unknown-certificate", endpoint="users")
    simulator.expect(scenario, endpoint="certificates")

    with pytest.raises(Untrusted, match="unknown_serial"):
        client.ask(simulator.meet("zhangsan"))

    assert client.ask(simulator.meet("zhangsan"))


def test_certificates_that_cannot_be_fetched_now_are_a_reason_to_ask_later(
    simulator, connect, tmp_path
):
    simulator.export(tmp_path, base_url="")
    pem = (tmp_path / "wechat_public_key.pem").read_bytes()
    with_public_key = connect(public_keys={simulator.world.wechat_public_key_id: pem})
    for client, error, fact in [
        (connect(), Unavailable, "http_5xx"),
        (with_public_key, Untrusted, "unknown_serial"),
    ]:
        simulator.expect("unknown-certificate", endpoint="users")
        simulator.expect("down", endpoint="certificates")

        with pytest.raises(error, match=fact):
            client.ask(simulator.meet("zhangsan"))


def test_certificates_nobody_answered_for_are_asked_for_again(simulator, connect, three_attempts):
    simulator.expect("rotating", times=0)
    simulator.expect("down", endpoint="certificates")

    assert connect().ask(simulator.meet("zhangsan"))

    assert simulator.requests()["certificates"] == 2


def test_who_waits_for_certificates_learns_that_nobody_answered(connect):
    calls = connect()._calls
    calls._fetch.begin(time.time(), at_most_every=0)
    steps = calls._learn()
    assert isinstance(next(steps), Pause)
    calls._fetch.end("http_5xx")

    with pytest.raises(Unavailable, match="http_5xx"):
        next(steps)


def test_a_fetch_given_up_in_the_middle_may_be_made_again(connect):
    calls = connect()._calls
    steps = calls._learn()
    assert isinstance(next(steps), Ask)
    steps.close()

    assert isinstance(next(calls._learn()), Ask)


def test_nobody_waits_for_the_certificates_of_tomorrow(connect):
    calls = connect()._calls
    calls._clock = Tick(calls._verifier.last_expiry - 3600)
    calls._fetch.begin(calls._clock(), at_most_every=0)

    step = next(calls.ask("aaaaaaaa", info_type="ASK_REAL_NAME"))

    assert "/v3/facemch/users/" in step.request.url.path


def test_a_clock_set_back_does_not_put_off_certificates():
    fetch = _Fetch()
    assert fetch.begin(4_000_000_000, at_most_every=60)
    fetch.end("")

    assert fetch.begin(1_790_000_000, at_most_every=60)


def test_the_next_certificate_is_learnt_before_the_last_one_ends(simulator, connect):
    clock = Tick(time.time())
    simulator = Simulator(simulator.world, clock=clock)
    transport = httpx.WSGITransport(simulator)
    client = connect(transport=transport, clock=clock)
    client.ask(simulator.meet("zhangsan"))
    assert simulator.requests()["certificates"] == 0

    clock.now = client._calls._verifier.last_expiry - 3600
    for _ in range(3):
        client.ask(simulator.meet("zhangsan"))
    clock.now += 3600 - 1
    client.ask(simulator.meet("zhangsan"))
    clock.now += 1
    simulator.expect("down", endpoint="certificates")
    client.ask(simulator.meet("zhangsan"))

    assert simulator.requests()["certificates"] == 2


# who it is, under every condition a plaintext may be in


@pytest.mark.parametrize("number", range(1, 13))
def test_every_kind_of_document_is_read(simulator, connect, number):
    simulator.expect("credential-type", value=number)
    client = connect()

    identity = client.open(client.ask(simulator.meet("zhangsan")).body)

    assert identity.document_type == number


def test_a_union_id_is_asked_for_by_token(simulator, connect):
    client = connect()

    answer = client.ask_union(simulator.meet("zhangsan", is_token=True))

    membership = client.open_union(answer.body)
    assert membership.union_id
    assert membership.union_id not in repr(membership)
    with pytest.raises(Rejected):
        client.ask(simulator.meet("zhangsan", is_token=True))
    with pytest.raises(Rejected):
        client.ask_union(simulator.meet("zhangsan"))
