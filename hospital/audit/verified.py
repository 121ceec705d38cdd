"""How far an earlier verification came: the tree there, so that the next one goes on from it."""

import json
from pathlib import Path

from hospital import durable
from hospital.audit.merkle import HASH_SIZE, Frontier


class Unreadable(Exception):
    """The file is not what was written."""


def read(path: Path) -> Frontier | None:
    """
    Return the tree that was verified; None if none was.

    :raises Unreadable:
    """
    try:
        kept = json.loads(path.read_bytes())
        hashes = [bytes.fromhex(one) for one in kept["hashes"]]
        if any(len(one) != HASH_SIZE for one in hashes):
            raise Unreadable
        return Frontier(kept["size"], hashes)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Unreadable from None


def write(path: Path, tree: Frontier) -> None:
    """Keep the tree, on disk when this returns."""
    kept = {"size": tree.size, "hashes": [one.hex() for one in tree.hashes]}
    durable.replace(path, json.dumps(kept).encode())
