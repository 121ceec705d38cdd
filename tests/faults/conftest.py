"""One hospital a broker, on servers of its own; broken by every test, and whole after each."""

import time
from collections.abc import Iterator

import pytest

from hospital.demo.processes import Died
from tests.faults.hospital import BROKERS, Hospital, Services, since
from tests.faults.oracle import PROMISED, TRIED, Verdict, Word, judge, waiting
from tests.faults.servers import PostgreSQL, Redis, is_installed
from tests.house import Visit, until

KEPT_UP = ("web", "worker", "beat", "notary")
TOLD = "told"
MENDED = 120.0  # seconds until what is not dealt with is a failure


class Scene:
    """The hospital during one test, and everybody it ever made a promise to."""

    def __init__(self, hospital: Hospital, words: list[Word], poison: set[str]) -> None:
        self.hospital = hospital
        self.words = words
        self.poison = poison  # the sessions that kill whoever works on them

    def note(self, kind: str, visit: Visit) -> None:
        self.words.append(Word(kind, visit.session, visit.person, visit.face_sid))

    def stranger(self) -> str:
        return f"stranger-{len(self.words)}"

    def crowd(self, count: int, *, patience: float = 60.0) -> list[Visit]:
        """Have so many people promised something."""
        with self.hospital.terminal(patience=patience) as terminal:
            return [self.receive(terminal, self.stranger()) for _ in range(count)]

    def receive(self, terminal, person: str) -> Visit:
        visit = terminal.visit(person, told=lambda one: self.note(TRIED, one))
        assert visit is not None
        self.note(PROMISED, visit)
        return visit

    def judge(self) -> Verdict:
        return judge(
            self.words,
            database=self.hospital.services.database.url,
            simulator=self.hospital.place.simulator,
            logs=self.hospital.place.logs,
            held=self.hospital.services.held(),
            poison=frozenset(self.poison),
        )

    def judge_sealed(self) -> Verdict:
        """To have verified is an event as well; another may come between two looks."""
        seen: list[Verdict] = []

        def is_sealed() -> bool:
            seen.append(self.judge())
            return "unsealed" not in seen[-1].wrong

        until(is_sealed, "every event is sealed")
        return seen[-1]

    def recover(self, *, began: float) -> float:
        """Return the seconds since `began` after which nobody waited any more."""
        url = self.hospital.services.database.url
        until(
            lambda: not self.hospital.revive() and not waiting(self.words, url) - self.poison,
            "everybody is dealt with",
            seconds=MENDED,
        )
        return since(began)


@pytest.fixture(scope="session", params=sorted(BROKERS))
def hospital(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Hospital]:
    if missing := is_installed(PostgreSQL, Redis, BROKERS[request.param]):
        pytest.skip(missing)
    var = tmp_path_factory.mktemp("hospital")
    with Services.running(request.param) as services, Hospital.open(var, services) as hospital:
        hospital.up(*KEPT_UP)
        hospital.activate()
        yield hospital


@pytest.fixture(scope="session")
def promised(hospital: Hospital) -> tuple[list[Word], set[str]]:
    """What the terminals logged of one hospital, from the first test to the last."""
    return [], set()


@pytest.fixture
def scene(hospital: Hospital, promised: tuple[list[Word], set[str]]) -> Iterator[Scene]:
    """Whatever happened: nobody is lost, nothing was done twice, the trail verifies."""
    hospital.up(*KEPT_UP)
    scene = Scene(hospital, *promised)
    yield scene
    hospital.clear_weather()
    for service in vars(hospital.services).values():
        service.go_on()
    hospital.up(*KEPT_UP)
    scene.recover(began=time.monotonic())
    try:
        hospital.verify_trail()
    except Died as exc:
        pytest.fail(str(exc))
    assert scene.judge_sealed().wrong == {}


@pytest.fixture
def told(request: pytest.FixtureRequest):
    """Say a figure to whoever runs the tests, when all of them are done."""

    def say(what: str) -> None:
        request.node.user_properties.append((TOLD, what))

    return say


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [one for several in terminalreporter.stats.values() for one in several]
    called = [one for one in reports if getattr(one, "when", "") == "call"]
    told = [
        f"{one.nodeid.rpartition('::')[2]}: {what}"
        for one in called
        for name, what in one.user_properties
        if name == TOLD
    ]
    if told:
        terminalreporter.section("what it took")
        terminalreporter.write_line("\n".join(sorted(told)))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name == "faults":
            item.add_marker(pytest.mark.faults)
