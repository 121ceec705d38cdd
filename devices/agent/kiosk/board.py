"""What the page shows and what was pressed on it: one screen, one person, no HTTP."""

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field
from typing import Any

from devices.agent.api import Notice
from devices.agent.kiosk import words
from devices.agent.kiosk.words import Words
from devices.agent.people import Agreement, Left, nothing
from devices.agent.screen import Step

PATIENCE = 60.0  # seconds without a touch until the notice and its ticks are forgotten
LINGER = 60.0  # seconds an ending stays, and with it the only name this program ever holds
TICK = 1.0  # seconds between two looks at what else there is to do

WITH_A_PATIENT = ("onboarded", "recognised")
ENDINGS = (Step.DONE, Step.ENDED)
WAITS = (Step.WORKING, Step.SEEKING)  # for the server, after somebody agreed


class NotNow(Exception):
    """What was pressed is not on the screen (any more)."""


@dataclass(frozen=True)
class View:
    """All that the page is ever told."""

    step: Step
    turn: int
    notice: Notice | None = None
    words: Words | None = None
    number: str = field(default="", repr=False)
    masked_name: str = field(default="", repr=False)
    may_take_back: bool = False


class Board:
    """
    The one thing that the agent's thread and the page's threads share.

    Towards the agent it is the `Screen`, and those who come (`Guests`). A turn is the number of
    a visit: what is pressed names it, so that nobody answers for the next person.
    """

    is_lit = True

    def __init__(
        self,
        *,
        patience: float = PATIENCE,
        linger: float = LINGER,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._patience = patience
        self._linger = linger
        self._clock = clock
        self._changed = threading.Condition()
        self._view = View(Step.WAIT, 0)
        self._version = 0
        self._deadline: float | None = None
        self._wiper: threading.Timer | None = None
        self._obstacle: Words | None = None
        self._is_awaiting = False  # somebody, in `arrive`
        self._is_visiting = False
        self._is_started = False
        self._is_on_request = False
        self._is_taken_back = False
        self._is_closed = False
        self._take_back: Callable[[], str] | None = None
        self._answer: bool | Agreement | None = None
        self._fallback = ""
        self._meanwhile = nothing

    # The agent's side

    def arrive(self, meanwhile: Callable[[], None] = nothing) -> bool:
        """Wait until somebody presses start."""
        self._meanwhile = meanwhile
        while not self._is_closed:
            meanwhile()
            self._withdraw()
            with self._changed:
                self._is_awaiting = True
                if self._view.step not in ENDINGS:
                    self._rest()
                self._changed.wait_for(self._is_called, TICK)
                if self._is_started or self._is_closed:
                    self._is_visiting = self._is_started
                    self._is_started = self._is_awaiting = False
                    return self._is_visiting
        return False

    def consent(self, notice: Notice) -> bool | Agreement:
        """
        Show the notice with nothing ticked; return what was answered.

        :raises Left: nobody has touched the page for a minute
        """
        with self._changed:
            self._answer = None
            self._fallback = notice.fallback
            self._put(View(Step.NOTICE, self._view.turn, notice=notice), seconds=self._patience)
        while True:
            with self._changed:
                answer = self._await_answer()
                if answer is not None:
                    return answer
                if self._left() <= 0 or self._is_closed:
                    raise Left
            self._meanwhile()

    def show(self, step: Step) -> None:
        """Show a step of the visit."""
        with self._changed:
            self._is_taken_back = False
            self._put(View(step, self._view.turn, may_take_back=step in WAITS))

    def wants_back(self) -> bool:
        """Whether it was pressed while the visit waits."""
        return self._is_taken_back

    def end(
        self,
        state: str,
        *,
        code: str = "",
        detail: str = "",
        number: str = "",
        masked_name: str = "",
        take_back: Callable[[], str] | None = None,
    ) -> None:
        """Show how the visit ended, and forget it after `LINGER` seconds, or when told to."""
        with self._changed:
            turn = self._view.turn
            self._is_visiting = self._is_taken_back = False
            self._take_back = take_back
            if state == "left":
                self._rest()
                return
            said = words.ending(state, code=code, detail=detail, fallback=self._fallback)
            step = Step.DONE if state in WITH_A_PATIENT else Step.ENDED
            view = View(
                step,
                turn,
                words=said,
                number=number,
                masked_name=masked_name,
                may_take_back=take_back is not None,
            )
            self._put(view, seconds=self._linger)
            self._wiper = threading.Timer(self._linger, self._wipe, [turn])
            self._wiper.daemon = True
            self._wiper.start()

    def block(self, code: str, detail: str = "") -> None:
        """Close or open the screen for the next person; who is there is not disturbed."""
        with self._changed:
            self._obstacle = words.obstacle(code, detail) if code else None
            self._give_up()
            if not self._is_visiting and self._view.step not in ENDINGS:
                self._rest()

    def close(self) -> None:
        """Forget everything, and let everybody go who waits."""
        with self._changed:
            self._is_closed = True
            self._put(View(Step.WAIT, self._view.turn))

    # The page's side

    def start(self, turn: int) -> None:
        """:raises NotNow:"""
        with self._changed:
            view = self._expect(turn, Step.READY, Step.ENDED)
            if view.words and not view.words.retry:
                raise NotNow
            if self._obstacle is not None:
                self._rest()  # says so
                raise NotNow
            self._is_started = True
            self._is_on_request = view.words is not None and view.words.on_request
            self._put(View(Step.WAIT, turn + 1))

    def answer(self, turn: int, *, granted: bool, purposes: Collection[str]) -> None:
        """
        Take the answer to the notice.

        :raises NotNow: also for a yes without what cannot be left out, or to what was not asked
        """
        with self._changed:
            notice = self._expect(turn, Step.NOTICE).notice
            if notice is None or self._answer is not None:
                raise NotNow
            ticked = frozenset(purposes)
            asked = {purpose.code for purpose in notice.purposes}
            required = {purpose.code for purpose in notice.purposes if purpose.required}
            if granted and not required <= ticked <= asked:
                raise NotNow
            self._answer = Agreement(ticked, self._is_on_request) if granted else False
            self._changed.notify_all()

    def touch(self, turn: int) -> None:
        """
        Give the person who reads another minute.

        :raises NotNow:
        """
        with self._changed:
            self._put(self._expect(turn, Step.NOTICE), seconds=self._patience)

    def withdraw(self, turn: int) -> None:
        """
        Take back what was agreed to: wipe the screen at once, and let the agent's thread see to it.

        :raises NotNow:
        """
        with self._changed:
            if not self._expect(turn, *WAITS, *ENDINGS).may_take_back:
                raise NotNow
            self._is_taken_back = self._is_visiting = True
            self._put(View(Step.WAIT, turn))
            self._give_up()

    def dismiss(self, turn: int) -> None:
        """
        Wipe an ending: the person has seen it.

        :raises NotNow:
        """
        with self._changed:
            self._expect(turn, *ENDINGS)
            self._rest()

    def watch(self, *, after: int, timeout: float) -> tuple[int, dict[str, Any] | None]:
        """Return the newest view, or (`after`, None) when it is still the same at `timeout`."""
        with self._changed:
            self._changed.wait_for(lambda: self._version != after or self._is_closed, timeout)
            if self._version == after or self._is_closed:
                return after, None
            shown = {name: value for name, value in asdict(self._view).items() if value is not None}
            seconds = None if self._deadline is None else max(0.0, round(self._left(), 1))
            return self._version, shown | {"seconds": seconds}

    @property
    def is_closed(self) -> bool:
        """Nobody will be received any more."""
        return self._is_closed

    def _withdraw(self) -> None:
        """Do, in the agent's thread, what was pressed after a visit."""
        if self._is_taken_back and self._take_back is not None:
            self.end(self._take_back())

    # Under the lock

    def _give_up(self) -> None:
        """Send who takes back what they agreed to, after a visit, to the desk: nobody hears us."""
        if self._is_taken_back and self._take_back is not None and self._obstacle is not None:
            self.end("not_withdrawn")

    def _is_called(self) -> bool:
        return self._is_started or self._is_taken_back or self._is_closed

    def _await_answer(self) -> bool | Agreement | None:
        self._changed.wait_for(
            lambda: self._answer is not None or self._is_closed, min(TICK, max(0.0, self._left()))
        )
        return self._answer

    def _expect(self, turn: int, *steps: Step) -> View:
        if self._view.turn != turn or self._view.step not in steps or self._is_closed:
            raise NotNow
        return self._view

    def _rest(self) -> None:
        """Show what is to be seen while nobody is there; ticks, names and reasons are gone."""
        self._answer = self._take_back = None
        self._fallback = ""
        turn = self._view.turn
        if self._obstacle is not None:
            self._is_started = False
            view = View(Step.CLOSED, turn, words=self._obstacle)
        elif self._is_awaiting and not self._is_started:
            view = View(Step.READY, turn)
        else:
            view = View(Step.WAIT, turn)
        if view != self._view:
            self._put(view)

    def _put(self, view: View, *, seconds: float | None = None) -> None:
        if self._wiper is not None:
            self._wiper.cancel()
            self._wiper = None
        self._view = view
        self._deadline = None if seconds is None else self._clock() + seconds
        self._version += 1
        self._changed.notify_all()

    def _left(self) -> float:
        return 0.0 if self._deadline is None else self._deadline - self._clock()

    def _wipe(self, turn: int) -> None:
        with self._changed:
            if self._view.turn == turn and self._view.step in ENDINGS:
                self._rest()
