"""A witness signs what continues what it signed before, and answers as the protocol says."""

import base64
import os
import re
import signal
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hospital.audit import trail, witnessing
from hospital.audit.checkpoint import Checkpoint, Note, Signer, Verifier
from hospital.audit.merkle import EMPTY_ROOT, consistency_proof, leaf_hash, root_of
from hospital.audit.witness import Elsewhere
from hospital.audit.witness import server as witness_server
from hospital.audit.witness.desk import Desk
from hospital.audit.witness.server import LARGEST, application
from hospital.audit.witnessing import Away, Contradicted, Witness
from tests.his_server import His, serving
from tests.hospital.certificates import Authority
from tests.house import free_ports

ROOT = Path(__file__).resolve().parents[2]
ORIGIN, WITNESS = "hospital.example/trail", "witness.example"
AT = 1_763_630_000
LOG = Signer(ORIGIN, Ed25519PrivateKey.from_private_bytes(b"l" * 32))
LEAVES = [leaf_hash(b"%d" % n) for n in range(40)]
OTHERS = [leaf_hash(b"other %d" % n) for n in range(40)]


def note(size, *, leaves=LEAVES, by=LOG, origin=ORIGIN):
    body = Checkpoint(origin, size, root_of(leaves[:size])).body()
    return Note(body, (by.line(body),))


def proof(old, new, *, leaves=LEAVES):
    needed = consistency_proof(old, new) if old else []
    return [root_of(leaves[start:end]) for start, end in needed]


def question(old, new, *, hashes=None, **how):
    given = proof(old, new, leaves=how.get("leaves", LEAVES)) if hashes is None else hashes
    lines = "".join(f"{base64.b64encode(one).decode()}\n" for one in given)
    return f"old {old}\n{lines}\n{note(new, **how)}".encode()


@pytest.fixture
def desk(tmp_path):
    desk = Desk.at(tmp_path / "witness", name=WITNESS)
    desk.trust(LOG.verifier)
    return desk


@pytest.fixture
def ask(desk):
    app = application(desk, clock=lambda: AT)
    with httpx.Client(transport=httpx.WSGITransport(app=app), base_url="http://witness") as http:
        yield lambda body, path="/add-checkpoint": http.post(path, content=body)


def test_the_first_checkpoint_is_cosigned(ask, desk):
    answer = ask(question(0, 5))

    assert answer.status_code == 200
    assert note(5).with_lines([answer.text]).verify(desk.signer.verifier) == AT
    assert desk.signer.verifier.is_witness


def test_one_that_continues_it_is_cosigned_as_well(ask, desk):
    for old, new in ((0, 5), (5, 6), (6, 33), (33, 33)):
        answer = ask(question(old, new))
        assert answer.status_code == 200
        assert note(new).with_lines([answer.text]).is_signed_by(desk.signer.verifier)


def test_a_question_from_elsewhere_is_told_where(ask):
    ask(question(0, 5))

    for old in (0, 4, 6):
        answer = ask(question(old, 9))
        assert (answer.status_code, answer.text) == (409, "5\n")
        assert answer.headers["content-type"] == "text/x.tlog.size"


def test_a_smaller_log_is_not_cosigned(ask):
    ask(question(0, 5))

    answer = ask(question(3, 3))

    assert (answer.status_code, answer.text) == (409, "5\n")


def test_another_root_of_the_same_size_is_not_cosigned(ask):
    ask(question(0, 5))

    answer = ask(question(5, 5, leaves=OTHERS))

    assert (answer.status_code, answer.text) == (409, "5\n")


@pytest.mark.parametrize(
    "hashes",
    [
        proof(5, 9, leaves=OTHERS),
        [],
        proof(5, 9)[:-1],
        [*proof(5, 9), proof(5, 9)[0]],
        proof(4, 9),
    ],
    ids=["of another log", "none", "too short", "too long", "from elsewhere"],
)
def test_a_proof_that_proves_nothing_is_refused(ask, desk, hashes):
    ask(question(0, 5))

    assert ask(question(5, 9, hashes=hashes)).status_code == 422
    assert ask(question(5, 9)).status_code == 200  # it is where it was


def test_another_history_is_refused_even_with_its_own_proof(ask):
    ask(question(0, 5))

    assert ask(question(5, 9, leaves=OTHERS)).status_code == 422


def test_a_log_nobody_told_of_is_not_found(ask):
    other = Signer("other.example", LOG.key)

    assert ask(question(0, 5, by=other, origin=other.name)).status_code == 404


def test_a_log_that_did_not_sign_is_forbidden(ask):
    forger = Signer(ORIGIN, Ed25519PrivateKey.from_private_bytes(b"f" * 32))

    assert ask(question(0, 5, by=forger)).status_code == 403


def test_signatures_of_strangers_beside_the_logs_are_ignored(ask):
    stranger = Signer("stranger.example", Ed25519PrivateKey.from_private_bytes(b"f" * 32))
    body = question(0, 5) + stranger.line(note(5).body).encode()

    assert ask(body).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        question(0, 5)[4:],
        question(0, 5).replace(b"old 0", b"old 00"),
        question(0, 5).replace(b"old 0", b"old -1"),
        question(0, 5).replace(b"old 0", b"old 6"),
        question(5, 9, hashes=[b"short"]),
        question(5, 9).replace(b"old 5\n", b"old 5\n!\n"),
        question(0, 5, hashes=LEAVES[:1]),
        question(5, 9, hashes=LEAVES[:1] * 64),
        question(0, 5)[:-1],
        question(5, 9).replace(b"old 5\n", "old 5\n留痕\n".encode()),
    ],
    ids=[
        "nothing", "not text", "no old", "a leading zero", "negative", "larger than the log",
        "a short hash", "not base64", "a proof from nothing", "too many hashes", "cut off",
        "not even ASCII",
    ],
)  # fmt: skip
def test_what_is_no_question_is_refused(ask, body):
    assert ask(body).status_code == 400


def test_the_empty_log_may_be_cosigned(ask):
    assert root_of([]) == EMPTY_ROOT
    assert ask(question(0, 0)).status_code == 200
    assert ask(question(0, 3)).status_code == 200


def test_only_one_path_answers_and_only_so_much_is_read(ask):
    assert ask(question(0, 5), "/").status_code == 404
    assert ask(b"x" * (LARGEST + 1)).status_code == 413


def test_what_was_signed_is_on_disk_before_the_answer(desk, monkeypatch):
    body = question(0, 5)
    monkeypatch.setattr(Signer, "line", lambda *_args, **_kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        desk.answer(body, at=AT)
    monkeypatch.undo()

    again = Desk.at(desk.directory, name=WITNESS)

    assert again.signer.verifier == desk.signer.verifier
    with pytest.raises(Elsewhere, match=r"^5$"):
        again.answer(question(0, 4), at=AT)
    assert again.answer(question(5, 9), at=AT)


def test_it_keeps_no_more_than_it_must(desk):
    desk.answer(question(0, 5), at=AT)

    kept = {path.name: path for path in desk.directory.rglob("*") if path.is_file()}
    [signed] = kept.keys() - {"key.pem", "logs", "lock"}
    assert kept[signed].read_text() == note(5).body
    assert kept["logs"].read_text() == f"{LOG.verifier}\n"
    assert {path.stat().st_mode & 0o777 for path in kept.values()} == {0o600}


def test_a_log_it_was_told_of_twice_is_known_once(desk):
    desk.trust(LOG.verifier)

    assert desk.logs() == [LOG.verifier]


# The log's side


class Answers:
    """A witness that says what it is told to, one thing after the other."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    def __call__(self, request):
        self.asked.append(request.content.split(b"\n")[0].decode())
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def witness_that(*answers, verifiers=()):
    told = Answers(*answers)
    http = httpx.Client(transport=httpx.MockTransport(told), base_url="http://witness/at/")
    return Witness(http, verifiers), told


def cosign(witness, size=9):
    return witness.cosign(note(size), proof=lambda old: proof(old, size))


def size(n):
    return httpx.Response(409, text=f"{n}\n")


def test_the_log_asks_anew_from_where_the_witness_is(desk):
    ours = [desk.signer.verifier]
    line = desk.signer.line(note(9).body, at=AT)
    witness, told = witness_that(size(5), httpx.Response(200, text=line), verifiers=ours)

    assert cosign(witness) == (line,)
    assert told.asked == ["old 0", "old 5"]
    assert witness.cosigned == 9


@pytest.mark.parametrize(
    "answers",
    [
        [httpx.Response(422)],
        [size(10)],
        [size(0)],
        [size(9), size(9)],
    ],
    ids=["inconsistent", "further than we", "another root of nothing", "another root"],
)
def test_a_contradiction_is_told_apart(answers):
    with pytest.raises(Contradicted):
        cosign(witness_that(*answers)[0])


@pytest.mark.parametrize(
    "answers",
    [
        [httpx.ConnectError("refused")],
        [httpx.ReadTimeout("slow")],
        [httpx.Response(500)],
        [httpx.Response(403)],
        [httpx.Response(404)],
        [httpx.Response(409, text="soon")],
        [httpx.Response(200, text="")],
        [httpx.Response(200, text="— a b\n")],
        [size(1), size(2), size(3)],
    ],
    ids=[
        "unreachable", "slow", "broken", "forbidden", "not found", "no size", "nothing",
        "nonsense", "always elsewhere",
    ],
)  # fmt: skip
def test_from_one_that_does_not_answer_nothing_follows(answers):
    with pytest.raises(Away):
        cosign(witness_that(*answers)[0])


def test_what_a_stranger_signed_is_dropped(desk):
    stranger = Signer(WITNESS, Ed25519PrivateKey.from_private_bytes(b"f" * 32), is_witness=True)
    lines = stranger.line(note(9).body, at=AT), desk.signer.line(note(9).body, at=AT)
    answer = httpx.Response(200, text="".join(lines))

    kept = cosign(witness_that(answer, verifiers=[desk.signer.verifier])[0])

    assert kept == lines[1:]
    with pytest.raises(Away):
        cosign(
            witness_that(httpx.Response(200, text=lines[0]), verifiers=[desk.signer.verifier])[0]
        )


def test_a_signature_beside_an_error_is_none(desk):
    line = desk.signer.line(note(9).body, at=AT)
    answer = httpx.Response(500, text=line)

    with pytest.raises(Away):
        cosign(witness_that(answer, verifiers=[desk.signer.verifier])[0])


def test_the_witness_is_asked_under_its_prefix(desk):
    asked = []
    http = httpx.Client(
        transport=httpx.MockTransport(lambda request: asked.append(request) or httpx.Response(500)),
        base_url="http://witness/at",
    )
    with pytest.raises(Away):
        witnessing.Witness(http, []).cosign(note(1), proof=lambda _old: [])

    assert asked[0].url == "http://witness/at/add-checkpoint"


class Dripping(socketserver.BaseRequestHandler):
    """A witness that is never done: a byte of its answer every 50 ms."""

    answer = b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 200

    def handle(self):
        with suppress(OSError):
            for byte in self.answer:
                self.request.sendall(bytes([byte]))
                time.sleep(0.05)


class Endless(Dripping):
    answer = b"HTTP/1.1 200 OK\r\n\r\n"

    def handle(self):
        with suppress(OSError):
            self.request.sendall(self.answer)
            while True:
                self.request.sendall(b"x" * 4096)


@contextmanager
def listening(handler):
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads, server.block_on_close = True, False
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield "http://{}:{}/".format(*server.server_address)
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("handler", [Dripping, Endless])
def test_a_witness_that_is_never_done_is_waited_for_once_and_not_for_long(handler):
    with listening(handler) as url, httpx.Client(base_url=url, trust_env=False) as http:
        slow = Witness(http, [], patience=0.5)
        began = time.monotonic()
        for _ in range(3):
            with pytest.raises(Away):
                cosign(slow)
        took = time.monotonic() - began
        slow._asking.join(timeout=30)

    assert took < 5


def test_one_who_asks_byte_by_byte_is_hung_up_on(desk, monkeypatch):
    monkeypatch.setattr(witness_server, "PATIENCE", 0.5)
    with (
        witness_server.listen(desk, host="127.0.0.1", port=0) as server,
        socket.create_connection(server.server_address, timeout=10) as slow,
    ):
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        sent = 0
        with suppress(OSError):
            slow.sendall(b"POST /add-checkpoint HTTP/1.0\r\nContent-Length: 5000\r\n\r\n")
            while sent < 400:
                slow.sendall(b"o")
                sent += 1
                time.sleep(0.05)
        server.shutdown()
        thread.join()

    assert sent < 400


# The process


def cosigned_by(process, *, port):
    """Have a witness that was just started cosign, and stop it."""
    try:
        said = process.stdout.readline()
        witness = Verifier.parse(re.search(r"公钥 (\S+)", said)[1])
        url = f"http://127.0.0.1:{port}/"
        with httpx.Client(base_url=url, trust_env=False) as http:
            lines = Witness(http, [witness]).cosign(note(5), proof=lambda old: proof(old, 5))
        assert note(5).with_lines(lines).is_signed_by(witness)
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors


def test_it_runs_where_there_is_no_django_and_no_database(tmp_path):
    script = (
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, *_):\n"
        "        assert name.split('.')[0] not in {'django', 'psycopg', 'celery'}, name\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "from hospital.audit.witness.__main__ import main\n"
        "sys.exit(main())\n"
    )
    [port] = free_ports(1)
    process = subprocess.Popen(
        [sys.executable, "-c", script, "--port", str(port), "--state", str(tmp_path / "state"),
         "--name", WITNESS, "--log", str(LOG.verifier)],
        cwd=ROOT, env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip

    cosigned_by(process, port=port)


def test_who_is_at_manage_py_runs_it_from_there(tmp_path):
    [port] = free_ports(1)
    process = subprocess.Popen(
        [sys.executable, "manage.py", "runwitness", "--port", str(port),
         "--state", str(tmp_path / "state"), "--name", WITNESS, "--log", str(LOG.verifier)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip

    cosigned_by(process, port=port)


# Over TLS


@pytest.fixture
def far_away(settings, tmp_path):
    """Somebody who speaks TLS by an authority of this hospital's own."""
    ours = Authority(tmp_path / "ours")
    key = Signer(WITNESS, Ed25519PrivateKey.from_private_bytes(b"w" * 32), is_witness=True)
    settings.TRAIL_VERIFIERS = [str(key.verifier)]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*ours.server())
    with serving(His(), context=context) as there:
        settings.WITNESS_URL = there.url
        yield ours


def reached():
    with trail._witness().http as http:
        return http.get("/").status_code


def test_it_is_believed_by_the_authority_that_is_named(far_away, settings, tmp_path):
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        reached()
    settings.WITNESS_CA_FILE = str(Authority(tmp_path / "others").path)
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        reached()

    settings.WITNESS_CA_FILE = str(far_away.path)

    assert reached() in {401, 404}


def test_a_file_of_authorities_that_cannot_be_read_is_said(far_away, settings):
    settings.WITNESS_CA_FILE = "/nowhere/ca.pem"

    with pytest.raises(trail.NotConfigured, match="WITNESS_CA_FILE"):
        reached()
