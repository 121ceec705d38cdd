"""
A second signature over a checkpoint's body, with SM2 and SM3, by a machine of the hospital's.

The machine (签名验签服务器, 密码机) is reached through a program of whoever runs it: the body on
its standard input, the signature in base64 on its standard output. OpenSSL verifies what it says,
with the user identity that GM/T 0009 gives for when none was agreed on.
"""

import base64
import binascii
import os
import select
import shlex
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Final, cast

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from hospital.audit.anchors import Away, BadReceipt
from hospital.audit.checkpoint import Note

NAME: Final = "sm2"
PATIENCE: Final = 5.0  # seconds
LARGEST: Final = 1_024  # octets of what the program prints; a signature has about 100
_IDENTITY: Final = "1234567812345678"
_RAW: Final = 64  # octets of r and s side by side, as some machines give them


@dataclass(frozen=True)
class CounterSignatures:
    """
    A program that signs.

    :param command: with its arguments; no shell reads it
    :param public_key: PEM file
    """

    command: tuple[str, ...]
    public_key: Path
    name: str = NAME

    @classmethod
    def of(cls, command: str, public_key: Path) -> "CounterSignatures":
        """:raises ValueError: a quotation mark is not closed"""
        return cls(tuple(shlex.split(command)), public_key)

    def anchor(self, note: Note, *, now: datetime) -> str:
        """
        Return the signature over the note's body: DER, base64.

        :raises Away:
        """
        printed = self._printed(note.body.encode())
        try:
            signature = base64.b64decode(printed.strip(), validate=True)
        except (binascii.Error, ValueError):
            raise Away("not base64") from None
        receipt = base64.b64encode(_der(signature)).decode()
        try:
            verify(receipt, note, self.public_key)
        except BadReceipt as exc:
            raise Away(str(exc)) from None
        return receipt

    def _printed(self, body: bytes) -> bytes:
        # Not our environment: it names secrets the program has no use for.
        environment = {"PATH": os.environ.get("PATH", os.defpath)}
        try:
            process = subprocess.Popen(  # noqa: S603 (the operator's own)
                self.command,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                start_new_session=True,  # so that what it started ends with it
            )
        except OSError as exc:
            raise Away(type(exc).__name__) from None
        with process:
            try:
                return _told(process, body, until=time.monotonic() + PATIENCE)
            except subprocess.TimeoutExpired:
                raise Away("too slow") from None
            finally:
                if process.returncode is None:
                    os.killpg(process.pid, signal.SIGKILL)


def _told(process: subprocess.Popen[bytes], body: bytes, *, until: float) -> bytes:
    """
    Return what a program prints that is told `body`, which a pipe has room for.

    :raises Away: it printed too much, or failed
    :raises TimeoutExpired:
    """
    told, says = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
    with suppress(BrokenPipeError), told:
        told.write(body)
    printed = b""
    while select.select([says], [], [], _left(until))[0]:
        part = says.read(LARGEST + 1)
        printed += part
        if len(printed) > LARGEST:
            raise Away("too much")
        if not part:
            process.wait(_left(until))
            break
    if process.returncode is None:
        raise subprocess.TimeoutExpired(process.args, PATIENCE)
    if process.returncode:
        raise Away(f"exit code {process.returncode}")
    return printed


def _left(until: float) -> float:
    return max(0.0, until - time.monotonic())


def verify(receipt: str, note: Note, public_key: Path) -> None:
    """
    Verify a counter-signature over a note's body.

    :raises BadReceipt:
    :raises OSError: there is no OpenSSL here
    """
    try:
        signature = base64.b64decode(receipt, validate=True)
    except (binascii.Error, ValueError):
        raise BadReceipt("not base64") from None
    with tempfile.NamedTemporaryFile() as file:
        file.write(signature)
        file.flush()
        command = [
            *("openssl", "dgst", "-sm3", "-verify", str(public_key)),
            *("-sigopt", f"distid:{_IDENTITY}", "-signature", file.name),
        ]
        verified = subprocess.run(  # noqa: S603 (words of ours, and a path)
            command, input=note.body.encode(), capture_output=True, check=False, timeout=PATIENCE
        )
    if verified.returncode:
        raise BadReceipt("not signed with this key")


def _der(signature: bytes) -> bytes:
    if len(signature) != _RAW:
        return signature
    half = _RAW // 2
    return encode_dss_signature(int.from_bytes(signature[:half]), int.from_bytes(signature[half:]))
