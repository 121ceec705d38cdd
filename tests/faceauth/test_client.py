import asyncio
import gzip
import json
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceauth.simulator import Simulator, listen
from faceauth.simulator.app import digest
from faceauth.wechat import (
    AsyncAuthinfoClient,
    AsyncIdentityClient,
    Authinfo,
    AuthinfoClient,
    Credential,
    Decryptor,
    Device,
    Identity,
    IdentityClient,
    LocalSigner,
    Misconfigured,
    Party,
    Rejected,
    Unavailable,
    Undecryptable,
    Untrusted,
    Verifier,
    WeChatError,
)
from faceauth.wechat.exchange import Channel, compose

NOW = 1_790_000_000
DEVICE = Device("SIM001", "门诊大厅", "T-1")
RAWDATA = "H0kvnUgGHKuqflNwtNqCdOVpbO4FPSowudTG"
CERTIFICATE, PUBLIC_KEY = "certificate", "public key"


class Clock:
    """A clock that stands still unless told."""

    def __init__(self):
        self.now = NOW

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def simulator(clock):
    return Simulator.fresh(clock=clock)


@pytest.fixture
def to_payapp(simulator, clock):
    client = authinfo_client(simulator, clock=clock)
    yield client
    client.close()


@pytest.fixture
def to_wechat(simulator, clock, tmp_path):
    client = identity_client(simulator, tmp_path, clock=clock)
    yield client
    client.close()


def party(simulator):
    return Party(simulator.world.appid, simulator.world.mch_id)


def authinfo_client(simulator, *, transport=None, **options):
    transport = transport or httpx.WSGITransport(simulator)
    key = simulator.world.apiv2_key
    return AuthinfoClient(party(simulator), key, transport=transport, **options)


def identity_client(
    simulator,
    folder,
    *,
    trusting=(CERTIFICATE,),
    kind=IdentityClient,
    **options,
):
    simulator.export(folder, base_url="")
    world = simulator.world
    pem = (folder / "merchant_key.pem").read_bytes()
    certificates = [(folder / "platform_certificate.pem").read_bytes()]
    public_keys = {world.wechat_public_key_id: (folder / "wechat_public_key.pem").read_bytes()}
    signer = LocalSigner.from_pem(pem, serial=world.merchant_serial)
    return kind(
        options.pop("party", party(simulator)),
        credential=Credential(world.mch_id, signer),
        decryptor=Decryptor.from_pem(pem),
        verifier=Verifier(
            certificates=certificates if CERTIFICATE in trusting else [],
            public_keys=public_keys if PUBLIC_KEY in trusting else {},
            apiv3_key=world.apiv3_key,
        ),
        **({"transport": httpx.WSGITransport(simulator)} | options),
    )


# authinfo


@pytest.mark.parametrize("sign_type", ["HMAC-SHA256", "MD5"])
def test_rawdata_becomes_an_authinfo(simulator, clock, sign_type):
    client = authinfo_client(simulator, clock=clock, sign_type=sign_type)

    authinfo = client.fetch(DEVICE, rawdata=RAWDATA)

    assert authinfo.expires_in == 3600
    assert authinfo.authinfo
    assert authinfo.authinfo not in repr(authinfo)


def test_an_authinfo_names_the_partner_it_is_for(simulator, clock):
    partner, hospital = simulator.world.partner, simulator.world.partner.hospitals[0]
    us = Party(partner.appid, partner.mch_id, hospital.sub_appid, hospital.sub_mch_id)
    transport = httpx.WSGITransport(simulator)
    client = AuthinfoClient(us, partner.apiv2_key, transport=transport, clock=clock)

    authinfo = client.fetch(DEVICE, rawdata=RAWDATA)

    assert isinstance(authinfo, Authinfo)
    assert (authinfo.sub_appid, authinfo.sub_mch_id) == (hospital.sub_appid, hospital.sub_mch_id)


def test_an_authinfo_for_somebody_else_is_not_ours(simulator, clock):
    client = authinfo_client(simulator, clock=clock)
    client._call._party = Party(simulator.world.appid, "1900000002")

    with pytest.raises(Misconfigured, match="appid_mch_id"):
        client.fetch(DEVICE, rawdata=RAWDATA)
    with pytest.raises(Untrusted, match="not_ours"):
        client._call._ours({"appid": simulator.world.appid, "mch_id": simulator.world.mch_id})


@pytest.mark.parametrize(
    ("scenario", "error", "fact"),
    [
        ("500", Unavailable, "http_5xx"),
        ("down", Unavailable, "http_5xx"),
        ("rate-limited", Unavailable, "http_429"),
        ("html", Untrusted, "not_xml"),
        ("oversized", Untrusted, "too_large"),
        ("forged", Untrusted, "bad_signature"),
        ("unsigned", Untrusted, "missing_signature"),
        ("truncated", Untrusted, "not_xml"),
        ("malformed", Untrusted, "not_xml"),
        ("entities", Untrusted, "entities"),
    ],
)
def test_an_authinfo_that_goes_wrong_says_how(simulator, to_payapp, scenario, error, fact):
    simulator.expect(scenario, endpoint="authinfo")

    with pytest.raises(error) as caught:
        to_payapp.fetch(DEVICE, rawdata=RAWDATA)

    assert caught.value.fact == fact
    assert to_payapp.fetch(DEVICE, rawdata=RAWDATA)


def test_a_wrong_key_is_rejected(simulator, clock):
    transport = httpx.WSGITransport(simulator)
    client = AuthinfoClient(party(simulator), "0" * 32, transport=transport, clock=clock)

    with pytest.raises(Misconfigured, match=r"PARAM_ERROR \(signature\)"):
        client.fetch(DEVICE, rawdata=RAWDATA)


def test_rawdata_with_a_blank_is_never_sent(simulator, to_payapp):
    with pytest.raises(ValueError, match=r"^rawdata$"):
        to_payapp.fetch(DEVICE, rawdata="a b")

    assert simulator.requests()["authinfo"] == 0


def test_a_key_of_another_length_is_no_key(simulator):
    with pytest.raises(ValueError, match=r"^key$"):
        AuthinfoClient(party(simulator), "short")


# identity


@pytest.mark.parametrize("trusting", [(CERTIFICATE,), (PUBLIC_KEY,), (CERTIFICATE, PUBLIC_KEY), ()])
def test_a_face_becomes_a_person(simulator, clock, tmp_path, trusting):
    client = identity_client(simulator, tmp_path, trusting=trusting, clock=clock)

    identity = client.open(client.ask(simulator.meet("zhangsan")).body)

    assert isinstance(identity, Identity)
    assert identity.real_name == "张三"
    assert identity.document_number.startswith("99990119900307001")
    assert identity.sub_openid is None


def test_an_answer_shows_nothing_but_its_request_id(simulator, to_wechat):
    answer = to_wechat.ask(simulator.meet("zhangsan"))

    assert answer.request_id.endswith("-0")
    assert repr(answer) == f"Answer(request_id='{answer.request_id}')"


def partner_client(simulator, *, clock, opens_with, hospital):
    partner, world = simulator.world.partner, simulator.world
    return IdentityClient(
        Party(partner.appid, partner.mch_id, hospital.sub_appid, hospital.sub_mch_id),
        credential=Credential(
            partner.mch_id, LocalSigner.from_pem(partner.key.encode(), serial=partner.serial)
        ),
        decryptor=Decryptor.from_pem(opens_with.encode()),
        verifier=Verifier(certificates=[world.platform_certificate.encode()]),
        sub_serial_no=hospital.serial,
        transport=httpx.WSGITransport(simulator),
        clock=clock,
    )


def test_a_partner_signs_and_the_hospital_opens(simulator, clock):
    partner, hospital = simulator.world.partner, simulator.world.partner.hospitals[0]
    client = partner_client(simulator, clock=clock, opens_with=hospital.key, hospital=hospital)

    def meet():
        return simulator.meet("zhangsan", sub_mch_id=hospital.sub_mch_id)

    identity = client.open(client.ask(meet()).body)

    assert identity.real_name == "张三"
    assert identity.sub_openid
    assert identity.sub_openid != identity.openid
    for other in (partner, partner.hospitals[1]):
        client = partner_client(simulator, clock=clock, opens_with=other.key, hospital=hospital)
        with pytest.raises(Undecryptable):
            client.open(client.ask(meet()).body)


def test_a_partner_must_say_whose_key_opens_the_answer(simulator, tmp_path):
    partner = Party("wx", "1900000001", "", "1900000009")

    with pytest.raises(ValueError, match=r"^sub_serial_no$"):
        identity_client(simulator, tmp_path, party=partner)


@pytest.mark.parametrize(
    "face_sid",
    [
        "../../v3/certificates",
        "aaaaaaaa%2e%2e",
        "aaaaaaaa?appid=wx",
        "aaaaaaaa\r\nHost: elsewhere",
        "a" * 10_240,
        "１２３４５６７８",
        "",
    ],
)
def test_a_face_sid_of_another_shape_is_never_sent(simulator, to_wechat, face_sid):
    with pytest.raises(ValueError, match=r"^face_sid$"):
        to_wechat.ask(face_sid)

    assert simulator.requests()["users"] == 0


@pytest.mark.parametrize(
    ("scenario", "error", "fact"),
    [
        ("500", Unavailable, "http_5xx"),
        ("down", Unavailable, "http_5xx"),
        ("rate-limited", Unavailable, "http_429"),
        ("html", Untrusted, "missing_signature"),
        ("oversized", Untrusted, "too_large"),
        ("forged", Untrusted, "bad_signature"),
        ("unsigned", Untrusted, "missing_signature"),
        ("truncated", Untrusted, "bad_signature"),
        ("stale", Untrusted, "stale"),
        ("future", Untrusted, "future"),
        ("signtest", Untrusted, "signtest"),
    ],
)
def test_an_answer_that_goes_wrong_says_how(simulator, to_wechat, scenario, error, fact):
    face_sid = simulator.meet("zhangsan")
    simulator.expect(scenario, endpoint="users")

    with pytest.raises(error) as caught:
        to_wechat.ask(face_sid)

    assert caught.value.fact == fact
    assert face_sid not in repr(caught.value)
    assert caught.value.__context__ is None or not str(caught.value.__context__)
    assert to_wechat.ask(face_sid)


@pytest.mark.parametrize(
    ("scenario", "error"),
    [("malformed", Untrusted), ("garbage", Undecryptable), ("oaep", Undecryptable)],
)
def test_a_signed_answer_may_still_be_no_person(simulator, to_wechat, scenario, error):
    simulator.expect(scenario)

    answer = to_wechat.ask(simulator.meet("zhangsan"))

    with pytest.raises(error):
        to_wechat.open(answer.body)


def test_a_rate_limit_says_how_long(simulator, to_wechat):
    simulator.expect("rate-limited")

    with pytest.raises(Unavailable) as caught:
        to_wechat.ask(simulator.meet("zhangsan"))

    assert caught.value.retry_after == 7.0


@pytest.mark.parametrize(("authorized", "code", "status"), [(False, "NO_AUTH", 403)])
def test_a_refusal_keeps_its_code(simulator, to_wechat, authorized, code, status):
    with pytest.raises(Rejected) as caught:
        to_wechat.ask(simulator.meet("zhangsan", authorized=authorized))

    assert (caught.value.code, caught.value.status) == (code, status)
    assert caught.value.request_id
    assert caught.value.internal.isdecimal()
    assert caught.value.fact == "permission"


def test_a_clock_five_minutes_off_is_refused(simulator, clock, tmp_path):
    client = identity_client(simulator, tmp_path, clock=lambda: clock() + 301)

    with pytest.raises(Misconfigured, match=r"SIGN_ERROR \(clock\)"):
        client.ask(simulator.meet("zhangsan"))


# certificates


def test_an_unknown_certificate_is_fetched_and_the_answer_not_asked_for_again(
    simulator, clock, tmp_path
):
    client = identity_client(simulator, tmp_path, trusting=(), clock=clock)
    face_sid = simulator.meet("zhangsan")

    client.ask(face_sid)

    assert simulator.requests() == {
        "authinfo": 0,
        "users": 1,
        "certificates": 1,
        "face_sids": {digest(face_sid): 1},
    }


def test_certificates_are_fetched_at_most_once_a_minute(simulator, clock, tmp_path):
    client = identity_client(simulator, tmp_path, trusting=(), clock=clock)
    client._calls._verifier._apiv3_key = b"another key of thirty-two bytes."

    for seconds in (0, 59, 60):
        clock.now = NOW + seconds
        with pytest.raises(Untrusted):
            client.ask(simulator.meet("zhangsan"))

    assert simulator.requests()["certificates"] == 2


@pytest.mark.parametrize("trusting", [(PUBLIC_KEY,), ()])
def test_without_certificates_to_fetch_the_signer_stays_unknown(
    simulator, clock, tmp_path, trusting
):
    inner = httpx.WSGITransport(simulator)

    def without_certificates(request):
        if request.url.path == "/v3/certificates":
            return reply(404, b'{"code":"RESOURCE_NOT_EXISTS"}')
        request.headers.pop("wechatpay-serial", None)  # the switch in the portal is off
        return inner.handle_request(request)

    transport = httpx.MockTransport(without_certificates)
    client = identity_client(
        simulator, tmp_path, trusting=trusting, transport=transport, clock=clock
    )

    with pytest.raises(Untrusted, match="unknown_serial"):
        client.ask(simulator.meet("zhangsan"))


def test_threads_share_one_fetch(simulator, clock, tmp_path):
    client = identity_client(simulator, tmp_path, trusting=(), clock=clock)
    face_sids = [simulator.meet(f"stranger-{number}") for number in range(8)]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(client.ask, face_sids))

    assert len({client.open(answer.body).openid for answer in answers}) == 8
    assert simulator.requests()["certificates"] == 1


# the network


@pytest.mark.parametrize(
    ("failure", "fact"),
    [
        (httpx.ReadTimeout, "timeout"),
        (httpx.ConnectTimeout, "unreachable"),
        (httpx.PoolTimeout, "busy"),
        (httpx.ConnectError, "unreachable"),
        (httpx.ReadError, "network"),
        (httpx.RemoteProtocolError, "network"),
    ],
)
def test_the_network_may_work_later(simulator, clock, tmp_path, failure, fact):
    def broken(request):
        raise failure(str(request.url), request=request)

    transport = httpx.MockTransport(broken)
    client = identity_client(simulator, tmp_path, transport=transport, clock=clock)

    with pytest.raises(Unavailable) as caught:
        client.ask(simulator.meet("zhangsan"))

    assert caught.value.fact == fact
    assert caught.value.__context__ is None  # httpx's exception holds the URL


class TwoHosts(httpx.BaseTransport):
    """The first host fails in some way; the second is the simulator."""

    def __init__(self, simulator, failure):
        self.second = httpx.WSGITransport(simulator)
        self.failure = failure
        self.asked = []

    def handle_request(self, request):
        self.asked.append(request.url.host)
        if request.url.host == "first.invalid":
            raise self.failure("", request=request)
        return self.second.handle_request(request)


def two_hosts(simulator, clock, tmp_path, failure):
    transport = TwoHosts(simulator, failure)
    urls = {"base_url": "https://first.invalid", "fallback_url": "https://second.invalid"}
    return transport, identity_client(simulator, tmp_path, transport=transport, clock=clock, **urls)


@pytest.mark.parametrize("failure", [httpx.ConnectError, httpx.ConnectTimeout])
def test_a_host_that_cannot_be_reached_has_a_second(simulator, clock, tmp_path, failure):
    transport, client = two_hosts(simulator, clock, tmp_path, failure)

    answer = client.ask(simulator.meet("zhangsan"))

    assert client.open(answer.body).real_name
    assert transport.asked == ["first.invalid", "second.invalid"]


@pytest.mark.parametrize("failure", [httpx.ReadTimeout, httpx.ReadError])
def test_a_question_that_may_have_arrived_is_not_put_twice(simulator, clock, tmp_path, failure):
    transport, client = two_hosts(simulator, clock, tmp_path, failure)

    with pytest.raises(Unavailable):
        client.ask(simulator.meet("zhangsan"))

    assert transport.asked == ["first.invalid"]


def reply(status, body=b"", **headers):
    return httpx.Response(status, headers=headers, stream=httpx.ByteStream(body))


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (400, b'{"code":"PARAM_ERROR","message":"\xe5\xbc\xa0"}', "PARAM_ERROR"),
        (404, b"nginx", "HTTP_404"),
        (403, b'{"code":7}', "HTTP_403"),
        (403, '{"code":"张三"}'.encode(), "UNKNOWN"),
        (302, b"", "HTTP_302"),
    ],
)
def test_any_other_status_is_a_refusal(simulator, tmp_path, status, body, code):
    transport = httpx.MockTransport(lambda _: reply(status, body, Location="http://127.0.0.1/"))
    client = identity_client(simulator, tmp_path, transport=transport)

    with pytest.raises(Rejected) as caught:
        client.ask("aaaaaaaa")

    assert caught.value.code == code


@pytest.mark.parametrize(
    ("code", "request_id"), [("FREQUENCY_LIMITED", "08-1"), ("INVALID_REQUEST", "08-268447840")]
)
def test_a_rate_limit_is_one_whatever_its_status(simulator, tmp_path, code, request_id):
    def answer(_request):
        content = json.dumps({"code": code, "message": "频率过快"}).encode()
        return httpx.Response(
            403, headers={"Request-ID": request_id}, stream=httpx.ByteStream(content)
        )

    client = identity_client(simulator, tmp_path, transport=httpx.MockTransport(answer))

    with pytest.raises(Unavailable, match="http_429"):
        client.ask(simulator.meet("zhangsan"))


def test_accepted_means_ask_again(simulator, clock, tmp_path):
    transport = httpx.MockTransport(lambda _: reply(202))
    client = identity_client(simulator, tmp_path, transport=transport, clock=clock)

    with pytest.raises(Unavailable, match="http_202"):
        client.ask("aaaaaaaa")


def get(transport):
    request = compose("GET", "http://127.0.0.1/", accept="*/*")
    return Channel(transport).send(request, until=time.monotonic() + 5)


def test_a_small_body_that_would_grow_is_not_unpacked():
    bomb = gzip.compress(b"\0" * 10_000_000)
    transport = httpx.MockTransport(lambda _: reply(200, bomb, **{"Content-Encoding": "gzip"}))

    assert get(transport).body == bomb
    assert compose("GET", "/", accept="*/*").headers["accept-encoding"] == "identity"


@given(st.binary(), st.integers(200, 599))
@settings(max_examples=50)
def test_no_answer_surprises_the_client(body, status):
    simulator = Simulator.fresh()
    answer = httpx.MockTransport(lambda _: reply(status, body))

    with pytest.raises(WeChatError):
        authinfo_client(simulator, transport=answer).fetch(DEVICE, rawdata=RAWDATA)


def test_our_own_code_logs_nothing(simulator, to_wechat, to_payapp, caplog):
    caplog.set_level(logging.DEBUG)

    to_payapp.fetch(DEVICE, rawdata=RAWDATA)
    to_wechat.open(to_wechat.ask(simulator.meet("zhangsan")).body)

    assert [record for record in caplog.records if record.name.startswith("faceauth")] == []


@pytest.fixture
def port(simulator):
    """The simulator on a loopback port, counting the connections made to it."""
    with listen(simulator) as server:
        connections = []
        process = server.process_request
        server.process_request = lambda *made: (connections.append(made), process(*made))
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.base_url, connections
        server.shutdown()
        thread.join()


def test_one_thread_keeps_one_connection(simulator, clock, tmp_path, port):
    base_url, connections = port
    client = identity_client(
        simulator,
        tmp_path,
        transport=None,  # its own lines
        base_url=base_url,
        clock=clock,
    )

    for _ in range(3):
        assert client.open(client.ask(simulator.meet("zhangsan")).body).real_name == "张三"
    client.close()

    assert len(connections) == 1


def test_eight_threads_keep_at_most_eight_connections(simulator, clock, tmp_path, port):
    base_url, connections = port
    client = identity_client(
        simulator,
        tmp_path,
        transport=None,  # its own lines
        base_url=base_url,
        clock=clock,
    )
    faces = [simulator.meet(f"stranger-{number}") for number in range(40)]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(client.ask, faces))
    client.close()

    assert len({client.open(answer.body).openid for answer in answers}) == 40
    assert len(connections) <= 8


# asyncio


def test_tasks_ask_as_threads_do(simulator, clock, tmp_path, port):
    base_url, _ = port
    faces = [simulator.meet(f"stranger-{number}") for number in range(8)]
    client = identity_client(
        simulator,
        tmp_path,
        kind=AsyncIdentityClient,
        transport=httpx.AsyncHTTPTransport(),
        trusting=(),
        base_url=base_url,
        clock=clock,
    )

    async def everybody():
        answers = await asyncio.gather(*map(client.ask, faces))
        await client.aclose()
        return answers

    answers = asyncio.run(everybody())

    assert len({client.open(answer.body).openid for answer in answers}) == 8
    assert simulator.requests()["certificates"] == 1


def test_a_task_gets_an_authinfo(simulator, clock, port):
    base_url, _ = port
    client = AsyncAuthinfoClient(
        party(simulator), simulator.world.apiv2_key, base_url=base_url, clock=clock
    )

    async def fetch():
        authinfo = await client.fetch(DEVICE, rawdata=RAWDATA)
        await client.aclose()
        return authinfo

    assert asyncio.run(fetch()).expires_in == 3600


def test_a_task_learns_what_went_wrong(simulator, clock, tmp_path):
    async def refused(request):
        raise httpx.ConnectError("", request=request)

    client = identity_client(
        simulator,
        tmp_path,
        kind=AsyncIdentityClient,
        transport=httpx.MockTransport(refused),
        clock=clock,
    )

    with pytest.raises(Unavailable, match="unreachable"):
        asyncio.run(client.ask(simulator.meet("zhangsan")))
