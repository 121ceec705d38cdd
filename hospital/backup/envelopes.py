"""
Two envelopes, one in the other: what is inside needs a key of each group (age, C2SP).

Streams of any length: each layer is a thread with a pipe, so that memory stays as it is. By hand
it is `age -d -i second.key FILE | age -d -i first.key | tar x`.
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Any, Final

import pyrage
from pyrage import x25519

HEADER: Final = b"age-encryption.org/v1\n"
_ONCE: Final = 1 << 20  # bytes


class WrongIdentity(Exception):
    """These keys open it not."""


class Damaged(Exception):
    """It is not what was written: cut off, changed, or something else."""


class _Sink:
    """A file that remembers why it could not be written: age makes an error of its own of that."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        with self._remembered():
            return self._file.write(data)

    def flush(self) -> None:
        with self._remembered():
            self._file.flush()

    def close(self) -> None:
        with self._remembered():
            self._file.close()

    @contextmanager
    def _remembered(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            self.error = exc
            raise


class _Layer(threading.Thread):
    """One layer at work, from a stream to another, which it closes when it is done."""

    def __init__(
        self, act: Callable[..., None], source: IO[bytes], sink: IO[bytes], keys: Sequence[Any]
    ) -> None:
        super().__init__(daemon=True)
        self._act, self._source, self._sink, self._keys = act, source, sink, keys
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self._act(self._source, self._sink, self._keys)
            self._sink.flush()
        except Exception as exc:  # noqa: BLE001 (raised by whoever waits for it)
            self.error = exc
        finally:
            for stream in (self._source, self._sink):
                with suppress(OSError):  # nobody reads on
                    stream.close()


@contextmanager
def sealing(
    file: IO[bytes], first: Sequence[x25519.Recipient], second: Sequence[x25519.Recipient]
) -> Iterator[IO[bytes]]:
    """
    Yield a stream; what is written to it is in `file`, sealed, and that closed, when this ends.

    :raises OSError: it cannot be written
    """
    inner_source, plain = _pipe()
    outer_source, inner_sink = _pipe()
    sink = _Sink(file)
    layers = (
        _Layer(pyrage.encrypt_io, inner_source, inner_sink, first),
        _Layer(pyrage.encrypt_io, outer_source, sink, second),  # type: ignore[arg-type]
    )
    try:
        with plain:
            yield plain
    except BrokenPipeError:
        pass  # a layer has ended, and says why
    finally:
        for layer in layers:
            layer.join()
    if sink.error:
        raise sink.error
    for layer in reversed(layers):
        if layer.error:
            raise layer.error


@contextmanager
def opening(
    file: IO[bytes], first: x25519.Identity, second: x25519.Identity
) -> Iterator[IO[bytes]]:
    """
    Yield what is inside, as it comes: it is whole and genuine only if this ends without an error.

    :raises WrongIdentity: one of the keys opens it not
    :raises Damaged: and so does nothing that was read count
    """
    inner_source, outer_sink = _pipe()
    plain, inner_sink = _pipe()
    layers = (
        _Layer(pyrage.decrypt_io, file, outer_sink, [second]),
        _Layer(pyrage.decrypt_io, inner_source, inner_sink, [first]),
    )
    failed: Exception | None = None
    try:
        with plain:
            yield plain
            while plain.read(_ONCE):
                pass  # to the end: its last block says that it is the last
    except Exception as exc:  # noqa: BLE001 (mostly what follows from what a layer met)
        failed = exc
    for layer in layers:
        layer.join()
    if any(isinstance(layer.error, pyrage.DecryptError) for layer in layers):
        raise WrongIdentity from None
    if failed and not isinstance(failed, Damaged):
        raise failed
    if failed or any(layer.error for layer in layers):
        raise Damaged from None


def _pipe() -> tuple[IO[bytes], IO[bytes]]:
    source, sink = os.pipe()
    return os.fdopen(source, "rb", _ONCE), os.fdopen(sink, "wb", _ONCE)
