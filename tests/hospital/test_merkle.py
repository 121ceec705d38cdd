import hashlib
import itertools

import pymerkle
import pytest

from hospital.audit import merkle
from hospital.audit.merkle import (
    EMPTY_ROOT,
    BadProof,
    Frontier,
    consistency_proof,
    full_subtrees,
    leaf_hash,
    range_proof,
    root_of,
    verify_consistency,
    verify_range,
)

LARGEST = 65
LEAVES = [leaf_hash(bytes([number])) for number in range(LARGEST)]

# https://github.com/google/certificate-transparency/blob/master/cpp/merkletree/merkle_tree_test.cc
CT_INPUTS = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
]
CT_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def by_definition(leaves):
    """RFC 9162 2.1.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    both = by_definition(leaves[:k]) + by_definition(leaves[k:])
    return hashlib.sha256(b"\x01" + both).digest()


def hashes(subtrees):
    return [by_definition(LEAVES[start:end]) for start, end in subtrees]


def test_the_roots_are_those_of_certificate_transparency():
    leaves = [leaf_hash(bytes.fromhex(data)) for data in CT_INPUTS]

    assert [root_of(leaves[: size + 1]).hex() for size in range(8)] == CT_ROOTS
    assert root_of([]) == EMPTY_ROOT


@pytest.mark.parametrize("size", range(LARGEST + 1))
def test_every_root_is_that_of_the_definition(size):
    assert root_of(LEAVES[:size]) == by_definition(LEAVES[:size])


@pytest.mark.parametrize("size", range(LARGEST + 1))
def test_a_frontier_is_the_full_subtrees_and_grows_on(size):
    tree = Frontier(size, hashes(full_subtrees(size)))
    grown = tree.copy()
    for leaf in LEAVES[size:]:
        grown.append(leaf)

    assert tree.root() == root_of(LEAVES[:size])
    assert grown.root() == root_of(LEAVES)
    assert grown.hashes == hashes(full_subtrees(LARGEST))
    assert tree.size == size


@pytest.mark.parametrize("size", range(1, LARGEST + 1))
def test_every_leaf_is_shown_to_be_in_every_tree(size):
    root = root_of(LEAVES[:size])
    for index in range(size):
        proof = hashes(range_proof(index, index + 1, size=size))
        verify_range([LEAVES[index]], first=index, size=size, proof=proof, root=root)

        lies = [
            {"leaves": [LEAVES[index - 1] if size > 1 else b"x" * 32]},
            {"root": b"x" * 32},
            {"proof": [*proof, b"x" * 32]},
            {"size": 0},
            {"first": -1},
            {"first": size},
        ]
        lies += [{"proof": proof[:-1]}, {"proof": [b"x" * 32, *proof[1:]]}] if proof else []
        lies += [{"first": index ^ 1}] if index ^ 1 < size else []
        for lie in lies:
            told = {
                "leaves": [LEAVES[index]],
                "first": index,
                "size": size,
                "proof": proof,
                "root": root,
            } | lie
            with pytest.raises(BadProof):
                verify_range(told.pop("leaves"), **told)


@pytest.mark.parametrize("size", range(1, 20))
def test_every_range_is_shown_to_be_whole(size):
    root = root_of(LEAVES[:size])
    for first, end in itertools.combinations(range(size + 1), 2):
        proof = hashes(range_proof(first, end, size=size))
        told = {"first": first, "size": size, "proof": proof, "root": root}
        verify_range(LEAVES[first:end], **told)
        for left_out in range(first, end):
            kept = [LEAVES[one] for one in range(first, end) if one != left_out]
            with pytest.raises(BadProof):
                verify_range(kept, **told)


def test_a_range_outside_the_tree_has_no_proof():
    for first, end, size in [(0, 0, 1), (1, 1, 3), (2, 1, 3), (-1, 1, 3), (0, 4, 3)]:
        with pytest.raises(ValueError, match="range"):
            range_proof(first, end, size=size)


@pytest.mark.parametrize("new", range(LARGEST + 1))
def test_every_tree_is_shown_to_continue_every_earlier_one(new):
    new_root = root_of(LEAVES[:new])
    for old in range(new + 1):
        old_root = root_of(LEAVES[:old])
        proof = hashes(consistency_proof(old, new)) if old else []
        verify_consistency(old, new, old_root=old_root, new_root=new_root, proof=proof)

        lies = [{"proof": [*proof, b"x" * 32]}, {"old": new + 1}]
        if old:  # anything continues nothing
            lies += [{"new_root": b"x" * 32}, {"old_root": b"x" * 32}]
        lies += [{"proof": [*proof[:at], b"x" * 32, *proof[at + 1 :]]} for at in range(len(proof))]
        lies += [{"proof": proof[:-1]}] if proof else []
        for lie in lies:
            told = {
                "old": old,
                "new": new,
                "old_root": old_root,
                "new_root": new_root,
                "proof": proof,
            }
            told |= lie
            with pytest.raises(BadProof):
                verify_consistency(told.pop("old"), told.pop("new"), **told)


@pytest.mark.parametrize("new", range(2, LARGEST + 1))
def test_a_log_that_was_rewritten_cannot_be_shown_to_continue(new):
    for old in range(1, new):
        for rewritten in {0, old // 2, old - 1}:
            leaves = [*LEAVES[:rewritten], b"x" * 32, *LEAVES[rewritten + 1 : new]]
            proof = [by_definition(leaves[start:end]) for start, end in consistency_proof(old, new)]
            with pytest.raises(BadProof):
                verify_consistency(
                    old,
                    new,
                    old_root=root_of(LEAVES[:old]),
                    new_root=root_of(leaves),
                    proof=proof,
                )


def test_pymerkle_agrees():
    theirs = pymerkle.InmemoryTree(algorithm="sha256")
    for size in range(1, LARGEST + 1):
        theirs.append_entry(bytes([size - 1]))
        assert theirs.get_root(size) == root_of(LEAVES[:size])
        for index in range(size):
            path = theirs.prove_inclusion(index + 1, size).path
            ours = hashes(range_proof(index, index + 1, size=size))
            assert sorted(path[1:]) == sorted(ours)


def test_the_proofs_are_those_of_the_rfc():
    # https://www.rfc-editor.org/rfc/rfc9162#section-2.1.5, its letters as ranges of leaves
    assert range_proof(0, 1, size=7) == [(1, 2), (2, 4), (4, 7)]
    assert range_proof(3, 4, size=7) == [(2, 3), (0, 2), (4, 7)]
    assert range_proof(4, 5, size=7) == [(5, 6), (6, 7), (0, 4)]
    assert range_proof(6, 7, size=7) == [(4, 6), (0, 4)]
    assert consistency_proof(3, 7) == [(2, 3), (3, 4), (0, 2), (4, 7)]
    assert consistency_proof(4, 7) == [(4, 7)]
    assert consistency_proof(6, 7) == [(4, 6), (6, 7), (0, 4)]


def test_a_frontier_that_lacks_a_hash_is_refused():
    with pytest.raises(ValueError, match="bits set"):
        Frontier(3, [LEAVES[0]])
    assert merkle.HASH_SIZE == 32
