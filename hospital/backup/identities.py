"""
Who can open a backup: two groups of age keys, of each of which one has to be there.

A server knows the public halves only, so whoever takes it over can read no backup. The private
halves are two people's, each with a deputy, on nothing the server reaches.
"""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pyrage import IdentityError, RecipientError, x25519

from hospital import durable


class Unusable(Exception):
    """There is no such key; the text says why, in Chinese, and names the file."""


class NotPublic(ValueError):
    """No public key of age looks like this."""


@dataclass(frozen=True)
class Groups:
    """The public keys (`age1…`) of both groups."""

    first: tuple[str, ...]
    second: tuple[str, ...]

    @property
    def in_both(self) -> frozenset[str]:
        """With these one person would do."""
        return frozenset(self.first) & frozenset(self.second)


def create(path: Path) -> str:
    """
    Make a private key, on disk before this returns, mode 0600; return its public half.

    :raises FileExistsError: there is one, which may be needed still
    :raises OSError: it cannot be written
    """
    key = x25519.Identity.generate()
    public = str(key.to_public())
    durable.create(path, f"# public key: {public}\n{key}\n".encode())
    return public


def load(path: Path) -> x25519.Identity:
    """
    Return the private key in a file like those of `age-keygen`.

    :raises Unusable:
    """
    try:
        with path.open("rb") as file:
            # Of the open file, not of the path: it cannot change in between.
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise Unusable(f"{path} 他人可读，请 chmod 600")
            lines = file.read().decode(errors="replace").split()
    except OSError as exc:
        raise Unusable(f"{path} 无法读取：{exc.strerror}") from None
    for line in lines:
        if line.startswith("AGE-SECRET-KEY-"):
            try:
                return x25519.Identity.from_str(line)
            except IdentityError:
                break
    raise Unusable(f"{path} 不是备份私钥（createbackupkey 或 age-keygen 生成）")


def public(key: x25519.Identity) -> str:
    return str(key.to_public())


def recipients(texts: Iterable[str]) -> list[x25519.Recipient]:
    """:raises NotPublic: naming the one that is none"""
    found = []
    for text in texts:
        try:
            found.append(x25519.Recipient.from_str(text))
        except RecipientError:
            raise NotPublic(text) from None
    return found
