import httpx
import pytest
from django.core.wsgi import get_wsgi_application

from devices import activation as codes
from devices.agent import activation, keys, rotation
from devices.agent.api import Presence, Problem, Server, Unreachable
from devices.agent.wire import Wire
from devices.models import TerminalKey
from hospital.audit.recording import SYSTEM
from tests.devices.lobby import Clock, problem

pytestmark = pytest.mark.django_db

DAY = 86_400


class Road:
    """The way to the real server; `weather` is met before a request gets there, or after."""

    def __init__(self):
        self.before, self.after = [], []
        self.asked = []
        self._server = httpx.WSGITransport(get_wsgi_application())

    def handle_request(self, request):
        self.asked.append((request.method, request.url.path[8:]))
        self._meet(self.before)
        answer = self._server.handle_request(request)
        answer.read()
        return self._meet(self.after) or answer

    def close(self): ...

    def __enter__(self):
        return self

    def __exit__(self, *exc): ...

    @staticmethod
    def _meet(weather):
        met = weather.pop(0) if weather else None
        if isinstance(met, Exception):
            raise met
        return met


class Box:
    """A terminal's program between two starts: a state directory, and the way to the server."""

    def __init__(self, state, road, clock):
        self.state, self.road, self.clock = state, road, clock
        self.told = []
        self.start()

    def start(self):
        self.auth = activation.recall(self.state).auth()
        self.server = Server(self.wire(self.auth))

    def wire(self, auth):
        options = {"clock": self.clock, "sleep": self.clock.sleep, "patience": 0}
        return Wire("http://testserver", auth, transport=self.road, **options)

    def rotate(self):
        return rotation.rotate(self.state, self.server, self.auth)

    def keychain(self, *, every):
        return rotation.Rotation(
            self.state,
            self.server,
            self.auth,
            every=every,
            say=self.told.append,
            clock=self.clock,
        )

    def is_heard(self):
        return self.server.notice().version == 3

    def identity(self):
        return activation.recall(self.state)

    def files(self):
        return {path.name for path in self.state.iterdir()}


@pytest.fixture
def box(tmp_path, store, notice):
    terminal = store.terminals.create(serial="T-01", name="门诊一号")
    code = codes.issue(terminal, by=SYSTEM, at=notice.in_force_from)
    road, clock = Road(), Clock()
    activation.activate(
        tmp_path / "state",
        code,
        connect=lambda auth: Wire("http://testserver", auth, transport=road),
        algorithm="ecdsa-p256-sha256",
        sdk_version="simulated",
    )
    return Box(tmp_path / "state", road, clock)


def in_force():
    return set(TerminalKey.objects.in_force().values_list("pk", flat=True))


def at(server_time):
    return Presence(server_time=server_time, clock_offset=0, notice_version=3, suspension="")


def test_a_key_is_replaced_and_the_old_one_is_gone_everywhere(box):
    old = box.identity()

    new = box.rotate()

    assert new.key_id != old.key_id
    assert (new.id, new.serial, new.store) == (old.id, old.serial, old.store)
    assert in_force() == {new.key_id}
    assert box.files() == {"terminal.json", f"{new.key_id}.pem"}
    assert box.is_heard()
    box.start()
    assert box.is_heard()


def test_a_key_is_replaced_by_one_of_its_kind(box):
    box.rotate()
    assert keys.algorithm(box.identity().key) == "ecdsa-p256-sha256"


def test_rotating_twice_works(box):
    box.rotate()
    box.rotate()

    assert in_force() == {box.identity().key_id}
    assert box.is_heard()


def test_a_new_key_that_never_arrived_changes_nothing_and_is_tried_again(box):
    old = box.identity()
    box.road.before = [httpx.ConnectError("gone")]

    with pytest.raises(Unreachable):
        box.rotate()

    assert box.identity().key_id == old.key_id
    [tried] = box.files() - {"terminal.json", f"{old.key_id}.pem"}
    box.start()
    assert box.is_heard()
    assert f"{box.rotate().key_id}.pem" == tried


def test_a_registration_whose_answer_was_lost_is_taken_up_again(box):
    box.road.after = [httpx.ReadError("gone")]
    with pytest.raises(Unreachable):
        box.rotate()
    assert len(in_force()) == 2

    box.start()
    new = box.rotate()

    assert in_force() == {new.key_id}
    assert box.files() == {"terminal.json", f"{new.key_id}.pem"}
    assert box.is_heard()


def test_an_old_key_that_could_not_be_retired_is_retired_later(box):
    old = box.identity()
    box.road.before = [None, httpx.ConnectError("gone")]
    with pytest.raises(Unreachable):
        box.rotate()
    assert box.identity().retiring == old.key_id
    assert in_force() == {old.key_id, box.identity().key_id}

    box.start()
    assert box.is_heard()
    box.keychain(every=0).consider(at(0))

    assert in_force() == {box.identity().key_id}
    assert box.identity().retiring == ""
    assert box.files() == {"terminal.json", f"{box.identity().key_id}.pem"}


def test_a_key_that_staff_cut_off_halfway_is_not_offered_for_ever(box):
    box.road.after = [httpx.ReadError("gone")]
    with pytest.raises(Unreachable):
        box.rotate()
    orphan = TerminalKey.objects.in_force().exclude(pk=box.identity().key_id).get()
    codes.revoke(orphan, by=SYSTEM, at=orphan.created_at)

    with pytest.raises(Problem, match="key_in_use"):
        box.rotate()

    assert box.rotate().key_id != orphan.pk
    assert box.is_heard()


def test_a_key_is_changed_when_it_is_old_in_the_servers_time(box):
    old, registered_at = box.identity(), box.identity().registered_at
    keychain = box.keychain(every=90)

    keychain.consider(at(registered_at + 90 * DAY - 1))
    assert box.identity().key_id == old.key_id
    keychain.consider(at(registered_at + 90 * DAY))

    assert box.identity().key_id != old.key_id
    assert box.told == ["已更换终端密钥"]
    assert box.is_heard()


def test_a_key_is_left_alone_when_nobody_wants_it_changed(box):
    old = box.identity()

    box.keychain(every=0).consider(at(old.registered_at + 9999 * DAY))

    assert box.identity().key_id == old.key_id


def test_a_change_that_fails_is_told_and_not_repeated_at_once(box):
    asked, registered_at = box.road.asked, box.identity().registered_at
    keychain = box.keychain(every=90)
    box.road.after = [problem(403, "terminal_suspended")]

    for seconds in (0, 30, 3599):
        box.clock.now = seconds
        keychain.consider(at(registered_at + 90 * DAY))
    assert box.told == ["密钥未能更换：terminal_suspended 说明"]
    assert asked.count(("POST", "terminals/keys/")) == 1

    box.clock.now = 3600
    keychain.consider(at(registered_at + 90 * DAY))
    assert box.told[1:] == ["已更换终端密钥"]
