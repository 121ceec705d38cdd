"""
A quorum queue that nobody leads: RabbitMQ knows it, and neither takes nor hands out a message.

So it stays for ever, restarts included, if RabbitMQ was killed in the second the queue was made:
its name was on disk, and who leads it was not. So it also is while most of its nodes are away.
Connecting, declaring and asking how much is in it are answered then, and consuming is not. The
queue is made anew: what was in it only woke workers, and is still due in the database.
"""

import time
from typing import Any, ClassVar, Final

import structlog
from amqp.exceptions import InternalError
from kombu import Consumer
from kombu.exceptions import KombuError

PATIENCE: Final = 20.0  # seconds; a cluster that restarts node by node elects in less
TIMES: Final = 4  # in a row: a broker that hung for a minute was slow once or twice
FOR_DELETING: Final = 15.0  # seconds; RabbitMQ looks for the leader for five of them

logger = structlog.get_logger(__name__)


class Taker(Consumer):
    """Who takes a worker's messages; consumes anew on each line to the broker."""

    unanswered: ClassVar[list[float]] = []  # time.monotonic() of each, in this process

    def consume(self, no_ack: bool | None = None) -> None:
        """
        Begin to take messages.

        :raises OSError: nobody answered
        """
        line = self.connection  # who hangs up forgets it
        try:
            super().consume(no_ack)
        except (TimeoutError, InternalError):
            self._go_unanswered(line)
            raise
        self.unanswered.clear()

    def _go_unanswered(self, line: Any) -> None:
        self.unanswered.append(time.monotonic())
        lasted = self.unanswered[-1] - self.unanswered[0]
        if len(self.unanswered) >= TIMES and lasted >= PATIENCE:
            self.unanswered.clear()
            self._make_anew(line)

    def _make_anew(self, line: Any) -> None:
        """Take the queue away: who connects next declares it."""
        options = {**line.transport_options, "read_timeout": FOR_DELETING}
        try:
            with line.clone(transport_options=options) as another, another.channel() as channel:
                for queue in self.queues:
                    if queue.queue_arguments and "x-queue-type" in queue.queue_arguments:
                        channel.queue_delete(queue.name)
                        logger.error("broker.queue_without_leader", queue=queue.name)
        except (KombuError, OSError, *line.connection_errors, *line.channel_errors) as exc:
            logger.warning("broker.queue_stays_without_leader", reason=type(exc).__name__)
