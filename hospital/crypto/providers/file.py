"""
A root key in a file: 32 random bytes, mode 0600.

For a demo, or a hospital that has nothing better. Whoever reads both the file and the
database reads everything. It always wraps with AES-256-GCM, whatever the suite of the data.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, Self

from hospital import durable
from hospital.crypto import suites
from hospital.crypto.providers import KeyRefused, KeyUnavailable
from hospital.crypto.suites import NONCE_SIZE, Suite

_SUITE: Final = Suite.AES_256_GCM


@dataclass(frozen=True)
class FileProvider:
    """The key file at `path`, read anew each time it is needed and not kept."""

    path: Path
    name: ClassVar[str] = "file"

    @classmethod
    def create(cls, path: Path) -> Self:
        """
        Make a new root key, on disk before this returns.

        :raises FileExistsError: there is one; replacing it would lose every patient
        """
        durable.create(path, os.urandom(_SUITE.key_size))
        return cls(path)

    def wrap(self, key: bytes, *, context: bytes) -> bytes:
        """
        Return nonce 12 ‖ ciphertext ‖ tag 16.

        :raises KeyUnavailable: there is no usable key file
        """
        nonce = os.urandom(NONCE_SIZE)
        return nonce + suites.encrypt(
            _SUITE, key=self._read(), nonce=nonce, plaintext=key, aad=context
        )

    def unwrap(self, wrapped: bytes, *, context: bytes) -> bytes:
        """
        Return the key that was wrapped for this context.

        :raises KeyUnavailable: there is no usable key file
        :raises KeyRefused: it was wrapped by another file, or for another context
        """
        root, nonce, ciphertext = self._read(), wrapped[:NONCE_SIZE], wrapped[NONCE_SIZE:]
        if len(nonce) != NONCE_SIZE:
            raise KeyRefused
        try:
            return suites.decrypt(_SUITE, key=root, nonce=nonce, ciphertext=ciphertext, aad=context)
        except suites.WrongTag:
            raise KeyRefused from None

    def _read(self) -> bytes:
        try:
            with self.path.open("rb") as file:
                # Of the open file, not of the path: it cannot change in between.
                shared = stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077
                root = b"" if shared else file.read(_SUITE.key_size + 1)
        except OSError as exc:
            raise KeyUnavailable(f"key file {self.path}: {exc.strerror}") from None
        if shared:
            raise KeyUnavailable(f"key file {self.path}: others may read it, chmod 600")
        if len(root) != _SUITE.key_size:
            raise KeyUnavailable(f"key file {self.path}: not {_SUITE.key_size} bytes")
        return root
