"""Opening a backup: with one key of each group, after every byte was compared."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from pyrage import x25519

from hospital.backup import envelopes, identities, packing
from hospital.backup.making import DATABASE
from hospital.backup.receipts import Receipt


class NotTwo(Exception):
    """These are not one key of each group; the text says which is missing, in Chinese."""


def pair(
    receipt: Receipt, keys: Sequence[x25519.Identity]
) -> tuple[x25519.Identity, x25519.Identity]:
    """
    Return the key of the first group and that of the second.

    :raises NotTwo:
    """
    mine = {identities.public(key): key for key in keys}
    if len(mine) < 2:  # noqa: PLR2004 (people)
        raise NotTwo("要两个人的私钥，两组各一把：给出两个不同的 --identity")
    found = []
    for name, group in (("第一组", receipt.groups.first), ("第二组", receipt.groups.second)):
        ours = [mine[one] for one in group if one in mine]
        if not ours:
            raise NotTwo(f"给出的私钥里没有{name}的：这份备份须由两组各一把私钥打开")
        found.append(ours[0])
    return found[0], found[1]


def manifest_of(
    receipt: Receipt,
    kind: str,
    directory: Path,
    keys: tuple[x25519.Identity, x25519.Identity],
    *,
    into: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> dict[str, Any]:
    """
    Read a file to its end, perhaps into what takes a dump; return what it says it is.

    :raises WrongIdentity, Damaged: and what was taken is not to be used
    """
    name = receipt.files[kind].name
    # The loader ends first: what follows a stream that broke is not its fault.
    with (
        (directory / name).open("rb") as file,
        envelopes.opening(file, *keys) as stream,
        into() as loader,
    ):
        sinks = {DATABASE: loader.write} if loader else {}
        manifest = packing.unpack(stream, sinks)
    if (manifest.get("id"), manifest.get("kind")) != (receipt.id, kind):
        raise envelopes.Damaged
    return manifest
