"""
The brokers, where Celery's own ways do not do.

The embedded one is kombu's folder of messages, made safe for several processes.

kombu's own transport creates a message file and then fills it; a worker that looks in
between reads half a message and dies. Here a file appears complete, or not at all, and a
torn one is dropped: the database knows what is due, the message only wakes.

A RabbitMQ that hangs is hung up on: Celery's way is to say goodbye first, once for the channel and
once for the connection, and to wait for an answer to each.

With quorum queues Celery would declare thirty more of them for messages with a countdown, of
which we send none: when something is due again is in the database.
"""

import fcntl
import time
from pathlib import Path
from queue import Empty
from typing import Any
from uuid import uuid4

from celery.worker import consumer
from kombu.transport import filesystem, pyamqp
from kombu.utils.json import dumps, loads


class Channel(filesystem.Channel):
    def _put(self, queue: str, payload: Any, **kwargs: Any) -> None:  # type: ignore[override]
        name = f"{time.time_ns():020d}_{uuid4()}.{queue}.msg"
        folder = Path(self.data_folder_out)
        unfinished = folder / f".{name}"
        unfinished.write_text(dumps(payload))
        unfinished.rename(folder / name)

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        folder = Path(self.data_folder_in)
        for name in sorted(path.name for path in folder.iterdir()):
            if name.startswith(".") or not name.endswith(f".{queue}.msg"):
                continue
            taken = folder / f".{uuid4()}.taken"
            try:
                (folder / name).rename(taken)
            except FileNotFoundError:
                continue  # another worker was faster
            text = taken.read_text()
            taken.unlink()
            try:
                return loads(text)
            except ValueError:
                continue
        raise Empty

    def _queue_bind(self, *args: Any) -> None:
        # Two processes that start together would both create the exchange's table.
        with (Path(self.control_folder) / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            super()._queue_bind(*args)


class Transport(filesystem.Transport):
    Channel = Channel


class Line(pyamqp.Connection):
    def blocking_read(self, timeout: float | None = None) -> Any:
        try:
            return super().blocking_read(timeout)
        except OSError:
            if timeout is None:  # an answer was due, and `read_timeout` is over
                self.collect()
            raise


class RabbitMQ(pyamqp.Transport):
    Connection = Line


_Steps: Any = consumer.Consumer.Blueprint


class Consumer(consumer.Consumer):
    class Blueprint(_Steps):  # type: ignore[misc]
        default_steps = [step for step in _Steps.default_steps if "delayed_delivery" not in step]
