"""From one host to several, or back: the ledger's lines to where they lie from now on."""

from hospital.privacy.erasing import ledger, standing
from hospital.privacy.erasing.ledger import BEGIN, Broken, Line, Store


def move(source: Store, to: Store) -> list[Line]:
    """
    Add to one store what the other has and it has not; return what was added.

    All is examined first, and compared with how much this database knows. Killed anywhere it may be
    done again, and where there is nothing left to add nothing is done.

    :raises Broken: one of them is not as it was written, or they tell different stories
    :raises LedgerLost, LedgerForged: neither has what this database knows
    :raises OSError: one of them cannot be read or written
    """
    key, known = standing.key(), standing.mark()
    lines, there = ledger.read(source, key=key), ledger.read(to, key=key)
    if any(one != other for one, other in zip(lines, there, strict=False)):
        raise Broken
    standing.demand_known(max(lines, there, key=len), known)
    after = there[-1].mark if there else BEGIN
    added = []
    for line in lines[len(there) :]:
        added.append(ledger.append(to, line.entry, key=key, after=after))
        after = added[-1].mark
    if added != lines[len(there) :]:
        raise Broken
    return added
