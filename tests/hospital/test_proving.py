"""What shows that lines are in the log, whichever they are."""

from hypothesis import given
from hypothesis import strategies as some

from hospital.audit import merkle
from hospital.audit.exporting import proving


@given(some.data(), some.integers(1, 200))
def test_what_is_left_out_becomes_full_subtrees_beside_the_rest(data, size):
    chosen = data.draw(some.sets(some.integers(0, size - 1)))
    leaves = [merkle.leaf_hash(bytes([n])) for n in range(size)]
    gap, pieces = proving.Gap(), []

    for place in range(size):
        if place in chosen:
            pieces += [*gap.take(), (place, place + 1, leaves[place])]
        else:
            gap.add(place, leaves[place])
    pieces += gap.take()

    assert [start for start, _, _ in pieces] == [0, *(end for _, end, _ in pieces[:-1])]
    assert pieces[-1][1] == size
    for start, end, hash_ in pieces:
        assert is_full(start, end)
        assert hash_ == merkle.root_of(leaves[start:end])


@given(some.integers(0, 5_000), some.integers(1, 5_000))
def test_a_stretch_is_cut_into_full_subtrees(start, width):
    pieces = list(proving.aligned(start, start + width))

    assert [low for low, _ in pieces] == [start, *(high for _, high in pieces[:-1])]
    assert pieces[-1][1] == start + width
    assert all(is_full(low, high) for low, high in pieces)


def is_full(start, end):
    width = end - start
    return width.bit_count() == 1 and start % width == 0
