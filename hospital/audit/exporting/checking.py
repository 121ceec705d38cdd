"""A finished copy, as whoever receives it sees it: its digests, and what `verify.py` says of it."""

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final

from cryptography.hazmat.primitives import hashes

VERIFIER: Final = Path(__file__).with_name("verify.py")
_BLOCK: Final = 1 << 20  # bytes
_LONGEST: Final = 3600  # seconds


class Digests:
    """SHA-256 and SM3 (GB/T 32905) over the same bytes."""

    def __init__(self) -> None:
        self._sha256, self._sm3 = hashlib.sha256(), hashes.Hash(hashes.SM3())
        self.size = 0

    def update(self, data: bytes | memoryview) -> None:
        self._sha256.update(data)
        self._sm3.update(data)
        self.size += len(data)

    def hex(self) -> tuple[str, str]:
        """Return SHA-256 and SM3; nothing can be added afterwards."""
        return self._sha256.hexdigest(), self._sm3.finalize().hex()


class Unverified(Exception):
    """A copy is not what it says; the text is what the verifier said, in Chinese."""


class Unfinished(Unverified):
    """The verifier was not done in time."""


def digests(path: Path) -> Digests:
    """Return the digests of a file."""
    with path.open("rb") as file:
        return digests_of(file)


def digests_of(file: IO[bytes]) -> Digests:
    """Return the digests of what is left of an open file."""
    found = Digests()
    while block := file.read(_BLOCK):
        found.update(block)
    return found


def verify(path: Path, *, keys: Sequence[str]) -> str:
    """
    Have a copy verified by the program in it, in a process that knows nothing of ours.

    :param keys: public keys as `name+id+base64`, the log's own among them: without it no signature
        is believed, and nothing is verified
    :return: what the verifier said
    :raises Unverified:
    """
    named = [word for key in keys for word in ("--key", key)]
    command = [sys.executable, "-I", "-S", str(VERIFIER), *named, str(path)]
    try:
        answer = subprocess.run(  # noqa: S603 (our own program, no shell)
            command, capture_output=True, check=False, timeout=_LONGEST, encoding="utf-8"
        )
    except subprocess.TimeoutExpired:
        raise Unfinished(f"核验在 {_LONGEST} 秒内没有完成") from None
    if answer.returncode:
        raise Unverified(answer.stdout.strip() or f"核验程序退出码 {answer.returncode}")
    return answer.stdout.strip()
