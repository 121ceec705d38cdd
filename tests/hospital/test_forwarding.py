"""What is sealed reaches a log server: in order, without a gap, and it is said how far."""

import json
import re
import select
import socket
import time
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from hospital.audit import holding, log
from hospital.audit.forwarding import checks, configured, leaves, received, resending, running, wire
from hospital.audit.forwarding.forwarder import AT_ONCE, HELD, Forwarder
from hospital.audit.forwarding.leaves import Damaged
from hospital.audit.forwarding.syslog import Sender
from hospital.audit.forwarding.wire import Away
from hospital.audit.kept import Pruned, Redacted
from hospital.audit.models import Event, Forwarded
from hospital.audit.trail import NotConfigured
from tests.hospital.certificates import Authority
from tests.hospital.log_server import LogServer
from tests.hospital.notarised import BOTH, House, tamper

INDEX = re.compile(rb' index="(\d+)"')
HASH = re.compile(rb' hash="([0-9a-f]{64})"')
MARK = re.compile(rb' (pruned|redacted|missing|altered)="1"\]')


@pytest.fixture(autouse=True, params=BOTH)
def database(request, db):
    if connection.vendor != request.param:
        pytest.skip(f"this database is {connection.vendor}")


@pytest.fixture
def house(tmp_path):
    return House(tmp_path)


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def certified(authority):
    return authority.server()


@pytest.fixture
def siem(certified):
    with LogServer(*certified) as server:
        yield server


@pytest.fixture
def to(settings, house, authority):
    """Point the settings at a server; return what forwards to it."""

    def point(server):
        settings.TRAIL_ORIGIN = house.origin
        settings.FORWARD_ADDRESS = f"127.0.0.1:{server.port}"
        settings.FORWARD_CA = str(authority.path)
        forwarder = configured.forwarder()
        forwarder.clock = lambda: house.now.timestamp()  # noqa: PLW0108 (it goes on)
        return forwarder

    return point


def forward(house, forwarder):
    """Send everything and have it acknowledged."""
    while forwarder.step(now=house.now):
        pass
    forwarder.finish(now=house.now)


def indexes(server):
    return [int(INDEX.search(one)[1]) for one in server.messages]


def hashes(server):
    return {int(INDEX.search(one)[1]): HASH.search(one)[1].decode() for one in server.messages}


def ours():
    return {
        index: bytes(code).hex() for index, code in log.Leaf.objects.values_list("index", "hash")
    }


def code(act):
    with pytest.raises(Away) as away:
        act()
    return away.value.code


# In order


def test_everything_sealed_arrives_in_order_with_its_line(house, siem, to):
    house.seal(3)
    house.seal(2)

    forward(house, to(siem))

    assert indexes(siem) == [0, 1, 2, 3, 4]
    assert hashes(siem) == ours()
    lines = Event.objects.order_by("id").values_list("payload", flat=True)
    assert [one.split(b"\xef\xbb\xbf")[1].decode() for one in siem.messages] == list(lines)
    assert [re.search(rb' size="(\d+)"', one)[1] for one in siem.messages] == [b"3"] * 3 + [
        b"5"
    ] * 2


def test_what_has_no_checkpoint_is_not_sent(house, siem, to):
    house.seal(2)
    house.write(3)

    forward(house, to(siem))

    assert indexes(siem) == [0, 1]


def test_what_the_receiver_has_read_is_remembered(house, siem, to):
    house.seal(3)
    forward(house, to(siem))
    house.seal(2)

    forward(house, to(siem))

    assert indexes(siem) == [0, 1, 2, 3, 4]
    row = Forwarded.objects.get()
    assert (row.sent, row.acknowledged) == (5, 5)
    assert siem.closed_in_order == 2


def test_what_was_only_written_is_not_called_read(house, siem, to):
    forwarder = to(siem)
    house.seal(3)

    forwarder.step(now=house.now)

    row = Forwarded.objects.get()
    assert (row.sent, row.acknowledged) == (3, 0)
    forwarder.finish(now=house.now)


def test_after_a_few_seconds_it_is_asked_whether_it_was_read(house, siem, to):
    forwarder = to(siem)
    house.seal(3)
    forwarder.step(now=house.now)

    house.later(seconds=HELD - 1)
    forwarder.step(now=house.now)
    early = Forwarded.objects.get().acknowledged
    house.later(seconds=1)
    forwarder.step(now=house.now)

    assert early == 0
    assert Forwarded.objects.get().acknowledged == 3


def test_a_long_backlog_is_acknowledged_in_parts(house, siem, to):
    forwarder = to(siem)
    forwarder._span = 2 * AT_ONCE
    house.seal(5 * AT_ONCE + 1)

    forward(house, forwarder)

    assert indexes(siem) == list(range(5 * AT_ONCE + 1))
    assert siem.closed_in_order == 2


def test_the_notary_seals_meanwhile(house, siem, to):
    forwarder = to(siem)
    for _ in range(5):
        house.seal(3)
        forwarder.step(now=house.now)
    forwarder.finish(now=house.now)

    assert indexes(siem) == list(range(15))


# The receiver


def test_an_outage_leaves_no_gap(house, certified, to):
    with LogServer(*certified) as first:
        forwarder = to(first)
        house.seal(3)
        forward(house, forwarder)
    house.seal(4)
    assert code(lambda: forwarder.step(now=house.now)) == "unreachable"

    with LogServer(*certified, port=first.port) as second:
        forward(house, forwarder)

    assert indexes(first) + indexes(second) == list(range(7))


def test_a_receiver_that_resets_half_way_gets_everything(house, certified, to):
    house.seal(3 * AT_ONCE)
    with LogServer(*certified, manner="resets", after=AT_ONCE // 2) as server:
        forwarder = to(server)
        with pytest.raises(Away):
            while True:
                forwarder.step(now=house.now)
                house.later(seconds=5)
        assert Forwarded.objects.get().acknowledged == 0
        forward(house, forwarder)

    assert sorted(set(indexes(server))) == list(range(3 * AT_ONCE))
    assert Forwarded.objects.get().acknowledged == 3 * AT_ONCE


def test_a_slow_receiver_is_waited_for(house, certified, to):
    house.seal(2 * AT_ONCE)

    with LogServer(*certified, manner="slow") as server:
        forward(house, to(server))

    assert indexes(server) == list(range(2 * AT_ONCE))


def test_a_receiver_that_takes_nothing_any_more_is_given_up(house, certified, to, monkeypatch):
    monkeypatch.setattr(wire, "WRITING", 0.3)
    with LogServer(*certified, manner="silent") as server:
        stuffed = to(server)._connect()

        assert code(lambda: [stuffed.write(b"x" * 1_000_000) for _ in range(64)]) == "stalled"

        stuffed.drop()


def test_a_receiver_that_reads_nothing_has_acknowledged_nothing(house, certified, to, monkeypatch):
    monkeypatch.setattr(wire, "CLOSING", 0.3)
    house.seal(5)
    with LogServer(*certified, manner="silent") as server:
        forwarder = to(server)
        forwarder.step(now=house.now)

        assert code(lambda: forwarder.finish(now=house.now)) == "unanswered"

    assert Forwarded.objects.get().acknowledged == 0


def test_a_receiver_that_never_answers_the_close_has_acknowledged_nothing(house, certified, to):
    house.seal(5)
    with LogServer(*certified, manner="mute") as server:
        forwarder = to(server)
        forwarder.step(now=house.now)

        with pytest.raises(Away):
            forwarder.finish(now=house.now)

    assert Forwarded.objects.get().acknowledged == 0
    assert len(server.messages) == 5


def test_a_receiver_that_closed_of_its_own_accord_has_acknowledged_nothing(house, certified, to):
    house.seal(2)
    with LogServer(*certified, manner="leaves") as server:
        forwarder = to(server)
        forwarder.step(now=house.now)
        while server.manner == "leaves":
            time.sleep(0.01)
        house.seal(2)

        assert code(lambda: forwarder.step(now=house.now)) in {"closed", "reset"}
        assert Forwarded.objects.get().acknowledged == 0

        forward(house, forwarder)
    assert indexes(server) == [0, 1, 0, 1, 2, 3]


def test_a_close_of_its_own_that_crosses_ours_is_no_answer(house, certified, to, monkeypatch):
    monkeypatch.setattr(wire.Wire, "_look", lambda _wire: None)  # it had not come when we looked
    monkeypatch.setattr(wire, "CLOSING", 0.5)
    house.seal(2)
    with LogServer(*certified, manner="leaves") as server:
        forwarder = to(server)
        forwarder.step(now=house.now)
        while server.manner == "leaves":
            time.sleep(0.01)

        with pytest.raises(Away):
            forwarder.finish(now=house.now)

    assert Forwarded.objects.get().acknowledged == 0


def test_a_close_of_its_own_without_a_reset_is_no_answer_either(house, certified, to):
    house.seal(2)
    with LogServer(*certified, manner="lingers") as server:
        forwarder = to(server)
        forwarder.step(now=house.now)

        assert code(lambda: forwarder.finish(now=house.now)) == "closed"

    assert Forwarded.objects.get().acknowledged == 0


def test_a_receiver_that_talks_without_end_is_given_up(house, certified, to, monkeypatch):
    monkeypatch.setattr(wire, "LOOKING", -1.0)  # its time is over
    with LogServer(*certified, manner="talks") as server:
        connection = to(server)._connect()
        assert server.talking.wait(20)

        def write():
            for _ in range(1_000):  # TLS says something of its own first
                select.select([connection._tls], [], [], 20)
                connection.write(b"x")

        assert code(write) == "noisy"

        connection.drop()


def test_one_that_never_speaks_tls_is_a_handshake(house, to, monkeypatch):
    monkeypatch.setattr(wire, "CONNECTING", 0.2)
    house.seal(1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        forwarder = to(SimpleNamespace(port=listener.getsockname()[1]))

        assert code(lambda: forwarder.step(now=house.now)) == "handshake"


def test_what_the_others_tcp_has_not_even_taken_was_not_read(monkeypatch):
    monkeypatch.setattr(wire, "CLOSING", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sender = socket.create_connection(listener.getsockname())
        receiver, _ = listener.accept()
    with sender, receiver:
        sender.settimeout(0)
        with pytest.raises(BlockingIOError):
            while True:
                sender.send(b"x" * 65_536)
        sender.settimeout(5)
        receiver.shutdown(socket.SHUT_WR)

        with pytest.raises(TimeoutError):
            wire._settle(sender)


def test_what_a_reset_left_behind_is_waited_for_by_nobody():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sender = socket.create_connection(listener.getsockname())
        receiver, _ = listener.accept()
    with sender:
        sender.settimeout(0)
        with pytest.raises(BlockingIOError):
            while True:
                sender.send(b"x" * 65_536)
        receiver.close()  # with something unread

        with pytest.raises(ConnectionResetError):
            wire._drain(sender, until=time.monotonic() + 30)


@pytest.mark.parametrize(
    "how", [{"host": "127.0.0.2"}, {"days": (-3, -2)}], ids=["another name", "expired"]
)
def test_a_server_without_a_right_certificate_gets_nothing(house, authority, to, how):
    house.seal(2)
    with LogServer(*authority.server(**how)) as server:
        forwarder = to(server)

        assert code(lambda: forwarder.step(now=house.now)) == "untrusted"

    assert server.messages == []


def test_a_server_of_another_authority_gets_nothing(house, certified, to, tmp_path, settings):
    house.seal(2)
    with LogServer(*certified) as server:
        to(server)
        settings.FORWARD_CA = str(Authority(tmp_path / "other").path)

        assert code(lambda: configured.forwarder().step(now=house.now)) == "untrusted"

    assert server.messages == []


def test_a_receiver_may_ask_who_we_are(house, certified, authority, to, settings):
    house.seal(2)
    with LogServer(*certified, clients=authority.path) as server:
        stranger = to(server)
        with pytest.raises(Away) as away:
            forward(house, stranger)
        refused = Forwarded.objects.get().acknowledged
        certificate, key = authority.client()
        settings.FORWARD_CERTIFICATE, settings.FORWARD_KEY_FILE = str(certificate), str(key)

        forward(house, configured.forwarder())

    assert away.value.code.startswith(("tls:", "reset", "unanswered"))
    assert refused == 0
    assert indexes(server) == [0, 1]


def test_old_tls_is_not_spoken(house, certified, to):
    house.seal(1)
    with LogServer(*certified) as server:
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            server.context.maximum_version = wire.ssl.TLSVersion.TLSv1_1
        forwarder = to(server)

        assert code(lambda: forwarder.step(now=house.now)).startswith("tls:")

    assert server.messages == []


# The log


def test_what_is_gone_or_changed_is_said_with_its_hash(house, siem, to):
    events = house.seal(5)
    before = ours()
    proposal = {"proposal": "0190a000-0000-7000-8000-00000000000", "at": house.now}
    Pruned.objects.create(
        start=0, end=1, archive=1, **{**proposal, "proposal": proposal["proposal"] + "1"}
    )
    Redacted.objects.create(index=1, **{**proposal, "proposal": proposal["proposal"] + "2"})
    tamper("DELETE FROM audit_event WHERE id = %s", [events[0]])
    for one in events[1:3]:
        tamper("UPDATE audit_event SET payload = %s WHERE id = %s", ['{"redacted":"x","v":1}', one])
    tamper("DELETE FROM audit_event WHERE id = %s", [events[3]])

    forward(house, to(siem))

    assert hashes(siem) == before
    marks = [found and found[1].decode() for found in map(MARK.search, siem.messages)]
    assert marks == ["pruned", "redacted", "altered", "missing", None]
    assert [b"\xef\xbb\xbf" in one for one in siem.messages] == [False, True, True, False, True]
    assert [one[:5] for one in siem.messages][2:4] == [b"<105>"] * 2


def test_an_event_removed_before_it_was_sealed_has_its_tombstone(house, siem, to):
    gone, _ = house.write(2)
    tamper("DELETE FROM audit_event WHERE id = %s", [gone])
    house.notary().step(now=house.now)

    forward(house, to(siem))

    assert siem.messages[0].endswith(b'\xef\xbb\xbf{"missing":%d,"v":1}' % gone)


def test_a_missing_leaf_stops_it_after_what_is_before_it(house, siem, to):
    house.seal(5)
    tamper('DELETE FROM audit_leaf WHERE "index" = 2')

    with pytest.raises(Damaged) as damaged:
        forward(house, to(siem))

    assert (damaged.value.code, damaged.value.numbers) == ("gap", {"index": 2})
    assert indexes(siem) == [0, 1]
    assert Forwarded.objects.get().acknowledged == 2


def test_somebody_who_says_so_lets_it_go_on_after_the_gap(house, siem, to):
    house.seal(6)
    tamper('DELETE FROM audit_leaf WHERE "index" IN (2, 3)')
    forwarder = to(siem)
    with pytest.raises(Damaged):
        forward(house, forwarder)

    call_command("reconcileforwarding", "--past-gap")
    forward(house, forwarder)

    assert indexes(siem) == [0, 1, 4, 5]
    assert Event.objects.get(action="forward.reset").payload.count('"start":4') == 1
    with pytest.raises(CommandError) as ended:
        call_command("reconcileforwarding", "--past-gap")
    assert ended.value.returncode == 2


def test_a_line_that_breaks_in_two_is_not_sent_as_one(house, siem, to):
    events = house.seal(3)
    forged = '{"action":"a\\nb",\n"x":1}'
    tamper("UPDATE audit_event SET payload = %s WHERE id = %s", [forged, events[1]])

    forward(house, to(siem))

    assert b"\n" not in b"".join(siem.messages)
    assert MARK.search(siem.messages[1])[1] == b"altered"
    assert 'action="a\ufffdb"'.encode() in siem.messages[1]
    assert b"\xef\xbb\xbf" not in siem.messages[1]


def test_a_clock_that_is_set_back_holds_nothing_up(house, siem, to):
    forwarder = to(siem)
    started = house.now
    forwarder.clock = time.monotonic
    house.seal(3)
    forwarder.step(now=started)
    forwarder.clock = lambda: time.monotonic() + HELD

    forwarder.step(now=started - timedelta(hours=1))

    assert Forwarded.objects.get().acknowledged == 3


def test_a_checkpoint_over_more_than_there_is_keeps_nothing_back(house, siem, to):
    house.seal(3)
    row = log.Checkpoint.objects.get()
    log.Checkpoint.objects.create(
        size=2**40, root=row.root, note=row.note, created_at=row.created_at
    )

    forward(house, to(siem))

    assert indexes(siem) == [0, 1, 2]


def test_a_log_shorter_than_was_read_stops_it(house, siem, to):
    house.seal(5)
    forward(house, to(siem))
    tamper('DELETE FROM audit_leaf WHERE "index" >= 3')
    tamper("DELETE FROM audit_checkpoint WHERE size > 3")

    with pytest.raises(Damaged) as damaged:
        to(siem).step(now=house.now)

    assert damaged.value.code == "shrunk"


def test_a_log_begun_anew_is_sent_from_its_beginning(house, siem, to, settings):
    house.seal(3)
    forward(house, to(siem))
    settings.TRAIL_ORIGIN = house.origin + "/2"

    forward(house, configured.forwarder())

    assert indexes(siem) == [0, 1, 2, 0, 1, 2]
    assert Forwarded.objects.count() == 2


# The commands


@pytest.fixture
def alone(settings, tmp_path):
    """The lock is this test's own."""
    settings.VAR_DIR = tmp_path


def test_once_sends_what_there_is(house, siem, to, alone, capsys):
    house.seal(4)
    to(siem)

    call_command("runforwarder", "--once")

    assert "已读完" in capsys.readouterr().out
    assert indexes(siem) == [0, 1, 2, 3]


def test_there_is_one_forwarder(siem, to, alone, tmp_path):
    to(siem)
    other = holding.hold(tmp_path, of="forward")
    assert other.take()

    with pytest.raises(CommandError, match="另一个"):
        call_command("runforwarder", "--once")

    other.release()


def test_the_notary_and_the_forwarder_do_not_wait_for_each_other(tmp_path):
    notary, forwarder = holding.hold(tmp_path), holding.hold(tmp_path, of="forward")

    assert notary.take()
    assert forwarder.take()

    notary.release()
    forwarder.release()


@pytest.mark.parametrize(
    "address",
    [
        *("", "a b:1", "host:port", "x" * 60, "x." * 30 + "x", ":6514", "siem..example:6514"),
        *(".siem.example:6514", "-siem.example:1", "127.0.0.1:99999", "127.0.0.1:0", "siem:٣"),
        "siem:" + "9" * 5_000,
    ],
)
def test_without_a_good_address_nothing_is_begun(settings, address):
    settings.TRAIL_ORIGIN, settings.FORWARD_ADDRESS = "x.example/trail", address

    with pytest.raises(NotConfigured, match="FORWARD_ADDRESS"):
        configured.forwarder()
    with pytest.raises(CommandError) as ended:
        call_command("runforwarder")
    assert ended.value.returncode == 2


@pytest.mark.parametrize("number", [0, -1])
def test_an_enterprise_has_a_positive_number(settings, number):
    settings.TRAIL_ORIGIN, settings.FORWARD_ADDRESS = "x.example/trail", "siem.example"
    settings.FORWARD_ENTERPRISE = number

    with pytest.raises(NotConfigured, match="FORWARD_ENTERPRISE"):
        configured.forwarder()
    assert [one.id for one in checks.enterprise()] == ["audit.E010"]


def test_the_port_is_that_of_syslog_over_tls(settings):
    settings.TRAIL_ORIGIN, settings.FORWARD_ADDRESS = "x.example/trail", "siem.example"

    assert configured.sink().startswith("siem.example:6514/")


# Reconciling


@pytest.fixture
def forwarded(house, siem, to):
    """Ten leaves that were read; return their raw messages."""
    house.seal(10)
    forward(house, to(siem))
    return [one.decode() for one in siem.messages]


def reconcile(tmp_path, lines, *how):
    (tmp_path / "received").write_text("\n".join(lines), encoding="utf-8")
    call_command("reconcileforwarding", "--received", str(tmp_path / "received"), *how)


FORMS = {
    "raw": lambda one, *_: one,
    "with something before it": lambda one, *_: f"2026-11-20 host {one}",
    "only the two": lambda _, index, digest: f"{index},{digest}",
    "json": lambda _, index, digest: f'{{"index": {index}, "n": 1, "hash": "{digest}"}}',
    "json the other way round": lambda _, index, digest: f'{{"hash":"{digest}","index":"{index}"}}',
    "json in parts": lambda one, index, digest: json.dumps(
        {"MESSAGE": one[one.index("{") :], "SDATA": {"trail": {"index": index, "hash": digest}}}
    ),
    "json after something": lambda one, *_: "host " + json.dumps({"message": one}),
    "json with a message in it": lambda one, *_: json.dumps({"message": one}),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_what_a_log_server_has_may_come_in_any_usual_form(tmp_path, forwarded, form, capsys):
    lines = [
        form(one, INDEX.search(one.encode())[1].decode(), HASH.search(one.encode())[1].decode())
        for one in forwarded
    ]

    reconcile(tmp_path, reversed(lines))

    assert "缺 0 条，重 0 条（重发所致，无妨），不同 0 条" in capsys.readouterr().out


def test_a_text_that_is_not_what_was_sent_is_different(tmp_path, forwarded, capsys):
    forged = forwarded[3].replace('"v":1', '"v":2')
    assert forged != forwarded[3]

    with pytest.raises(CommandError) as ended:
        reconcile(tmp_path, [*forwarded[:3], forged, *forwarded[4:]])

    told = capsys.readouterr().out
    assert ended.value.returncode == 1
    assert "不同：3" in told
    assert "核对正文 10 行" in told


def test_lines_that_say_themselves_that_they_are_not_the_original_are_counted(
    tmp_path, forwarded, capsys
):
    marked = [one[: one.index("] \ufeff")] + ' missing="1"]' for one in forwarded]

    reconcile(tmp_path, [*forwarded[:7], *marked[7:]])

    told = capsys.readouterr().out
    assert "核对正文 7 行" in told
    assert "只核对散列的 3 行" in told


@pytest.mark.parametrize(
    "how", [["--start", "500"], ["--start", "10"], ["--start", "-1"], ["--end", "11"]]
)
def test_where_nothing_is_compared_nothing_agrees(tmp_path, forwarded, how):
    with pytest.raises(CommandError) as ended:
        reconcile(tmp_path, forwarded, *how)

    assert ended.value.returncode == 2


def test_a_receiver_that_was_never_sent_anything_agrees_with_nothing(tmp_path, forwarded, settings):
    settings.FORWARD_ADDRESS = "typo.example:6514"

    with pytest.raises(CommandError, match="从未外发过") as ended:
        reconcile(tmp_path, forwarded)

    assert ended.value.returncode == 2


def test_sending_again_asks_for_no_less(tmp_path, forwarded):
    call_command("reconcileforwarding", "--again", "0")

    with pytest.raises(CommandError) as ended:
        reconcile(tmp_path, forwarded[:4])

    assert ended.value.returncode == 1


def test_what_is_not_sent_yet_may_be_left_out(house, tmp_path, forwarded):
    house.seal(2)
    with pytest.raises(CommandError):
        reconcile(tmp_path, forwarded)

    reconcile(tmp_path, forwarded, "--end", "10")


def test_a_json_line_of_another_log_is_foreign(tmp_path, forwarded, capsys):
    other = json.dumps({"origin": "elsewhere.example/trail", "index": 1, "hash": "0" * 64})

    reconcile(tmp_path, [*forwarded, other])

    assert "另一册的 1 行" in capsys.readouterr().out


@given(
    st.text(max_size=60) | st.builds(json.dumps, st.recursive(st.text() | st.integers(), st.lists))
)
def test_any_line_can_be_read(line):
    received.read(line)

    assert received.read('{"index":' + "[" * 5_000) is None


def test_what_is_missing_or_different_is_named(tmp_path, forwarded, capsys):
    forged = forwarded[7].replace(' hash="', ' hash="0000', 1)
    forged = re.sub(r' hash="0000(.{60}).{4}"', r' hash="0000\1"', forged)

    with pytest.raises(CommandError) as ended:
        reconcile(tmp_path, [*forwarded[:3], *forwarded[5:7], forged, *forwarded[8:9]])

    told = capsys.readouterr().out
    assert ended.value.returncode == 1
    assert "缺：3–4、7、9" in told
    assert "不同：7" in told


def test_doubles_and_lines_of_others_do_no_harm(tmp_path, forwarded, capsys):
    other = forwarded[4].replace("hospital.example/trail", "elsewhere.example/trail")

    reconcile(tmp_path, [*forwarded, forwarded[2], forwarded[2], other, "something else"])

    assert "重 2 条" in capsys.readouterr().out


def test_a_leaf_the_log_never_had_is_different(tmp_path, forwarded, capsys):
    invented = forwarded[9].replace('index="9"', 'index="99"')

    with pytest.raises(CommandError):
        reconcile(tmp_path, [*forwarded, invented])

    assert "不同：99" in capsys.readouterr().out


def test_from_where_on_may_be_said(tmp_path, forwarded):
    reconcile(tmp_path, forwarded[6:], "--start", "6")


def test_without_a_file_it_says_how_far_it_is(house, forwarded, capsys):
    house.seal(2)

    call_command("reconcileforwarding")

    told = capsys.readouterr().out
    assert "已签名 12 条，已发送 10 条" in told
    assert "已读完 10 条（不等于已存盘），还差 2 条" in told


def test_what_a_server_lost_is_sent_again_and_on_record(house, siem, forwarded, to):
    forwarder = to(siem)
    forwarder.step(now=house.now)

    call_command("reconcileforwarding", "--again", "7")
    forward(house, forwarder)

    assert indexes(siem) == [*range(10), 7, 8, 9]
    assert Event.objects.get(action="forward.reset").payload.count('"start":7') == 1
    with pytest.raises(resending.NotSent):
        resending.again(configured.sink(), start=11, at=house.now)


def test_a_forwarder_that_was_put_back_while_it_sent_goes_back(house, siem, forwarded, to):
    forwarder = to(siem)
    house.seal(2)
    forwarder.step(now=house.now)

    resending.again(configured.sink(), start=3, at=house.now)
    forwarder.finish(now=house.now)
    assert Forwarded.objects.get().acknowledged == 3
    forward(house, forwarder)

    assert set(indexes(siem)) == set(range(12))
    assert Forwarded.objects.get().acknowledged == 12


# Patience


def test_it_is_tried_again_more_and_more_patiently_and_alarmed_once(caplog):
    trouble = running.Trouble()

    delays = [trouble.grown("unreachable", at=60.0 * minute) for minute in range(20)]
    alarms = [one for one in caplog.records if "forwarder.away" in one.getMessage()]
    trouble.over()

    assert delays[:7] == [1, 2, 4, 8, 16, 32, 60]
    assert set(delays[7:]) == {60}
    assert len(alarms) == 1
    assert trouble.grown("unreachable", at=0.0) == 1


def test_a_receiver_that_is_too_slow_for_a_thousand_is_asked_after_fewer(house, certified, to):
    house.seal(4)
    with LogServer(*certified, manner="mute") as server:
        forwarder = to(server)
        before = forwarder._span
        forwarder.step(now=house.now)
        house.later(seconds=5)

        with pytest.raises(Away):
            forwarder.step(now=house.now)

    assert forwarder._span == before // 2


def test_a_name_nobody_can_have_is_a_hostname_all_the_same():
    sender = Sender(origin="x", hostname="医院 1", process=1, enterprise=1)

    assert sender.message(leaves.Entry(0, b"x" * 32, 1)).split(b" ")[2] == b"???1"
    assert isinstance(Forwarder("x", sender, connect=lambda: None), Forwarder)
