"""The relaxation of two ensembles compiled by numba; loads numba when imported.

Nothing imports this page but `relaxation_window`, on the first relaxation. A real symmetric
density matrix is kept as its lower half. States stand in blocks of one J, and a matrix has
a frame of zeros one wide, so that every neighbour in a row or a column can be read.
Of the blocks (J, J') those with J' <= J are worked out; (J, J+1) is copied from (J+1, J),
since the rows of J read it. The other blocks are never touched.

Each contribution to a row is a loop of its own over few arrays: the compiler vectorises
these, and does not vectorise their sum in one loop, whose arrays it would have to tell apart.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ._compiled import compiled

# All positions are unsigned: a signed index may be negative, and is then counted from the end,
# a choice inside the loop that keeps it from being vectorised.
_Index = np.uint64
_NONE, _ONE = _Index(0), _Index(1)
_CHUNK = _Index(128)  # columns: what the loops over them read and write stays in the first cache


@compiled
def _from_the_left(
    row: Any,
    now: Any,
    own: Any,
    inner: Any,
    outer: Any,
    decay: Any,
    factors: Any,
    first: Any,
    last: Any,
) -> None:
    """Decay, and the ladders in m and J acting from the left."""
    here, up, down, inward, outward = factors
    width = _Index(row.size)
    under, over = own - width, own + width
    for k in range(first, last):
        ladder = up * now[under + k] - down * now[over + k]
        across = inward * now[inner + k] - outward * now[outer + k]
        row[k] = (here + decay[k]) * now[own + k] + ladder + across


@compiled
def _from_the_right(
    row: Any, now: Any, inner: Any, outer: Any, inward: Any, outward: Any, first: Any, last: Any
) -> None:
    """The ladder in J acting from the right, in one block.

    At its ends, where a neighbour is not kept, some other number is multiplied by zero.
    """
    for k in range(first, last):
        row[k] += inward[k] * now[inner + k] - outward[k] * now[outer + k]


@compiled
def _finish(
    row: Any,
    now: Any,
    older: Any,
    own: Any,
    climb: Any,
    jump: Any,
    weight: Any,
    back: Any,
    first: Any,
    last: Any,
) -> None:
    """The ladder in m acting from the right, the jumps, and the term before the last."""
    fed = own + _Index(row.size) + _ONE
    for k in range(first, last):
        ladder = climb[k] * now[own + k - _ONE] - climb[k + _ONE] * now[own + k + _ONE]
        jumps = (weight * jump[k]) * now[fed + k]
        older[own + k] = row[k] + ladder + jumps - back * older[own + k]


@compiled
def _collect(
    total: Any, one: Any, other: Any, here: Any, there: Any, first: Any, last: Any
) -> None:
    for k in range(first, last):
        total[k] += here * one[k] + there * other[k]


@compiled
def _advance_block(
    b: Any,
    now: Any,
    older: Any,
    total: Any,
    blocks: Any,
    couplings: Any,
    neighbours: Any,
    shift: Any,
    back: Any,
    weights: Any,
    row: Any,
) -> None:
    """The rows of block b, and their copy beside block b - 1."""
    decay, climb, inward, outward, jump = couplings
    width = _Index(row.size)
    for i in range(blocks[0, b], blocks[0, b + _ONE]):
        own = i * width
        inner, outer = neighbours[0, i] * width, neighbours[1, i] * width
        factors = (decay[i] + shift, climb[i], climb[i + _ONE], inward[i], outward[i])
        lead = _NONE
        while lead <= b:
            first = blocks[0, lead]
            stop = lead + _ONE
            while stop <= b and blocks[0, stop] - first < _CHUNK:
                stop += _ONE
            last = blocks[0, stop]
            _from_the_left(row, now, own, inner, outer, decay, factors, first, last)
            for c in range(lead, stop):
                f, g = blocks[0, c], blocks[0, c + _ONE]
                before, after = own - blocks[1, c], own + blocks[1, c + _ONE]
                _from_the_right(row, now, before, after, inward, outward, f, g)
            _finish(row, now, older, own, climb, jump, jump[i], back, first, last)
            if weights[1] != 0.0:
                _collect(total, now, older, weights[0], weights[1], own + first, own + last)
            lead = stop
    if b > _NONE:
        _mirror_block(older, blocks, b, width)


@compiled
def _mirror_block(rho: Any, blocks: Any, b: Any, width: Any) -> None:
    """Copy the block (J+1, J) of block b to (J, J+1)."""
    for i in range(blocks[0, b - _ONE], blocks[0, b]):
        for j in range(blocks[0, b], blocks[0, b + _ONE]):
            rho[i * width + j] = rho[j * width + i]


@compiled
def mirror(rho: Any, blocks: Any, width: Any) -> None:
    """Copy all blocks (J+1, J) to (J, J+1)."""
    for b in range(_ONE, _Index(blocks.shape[1] - 1)):
        _mirror_block(rho, blocks, b, _Index(width))


@compiled
def advance_twice(
    now: Any,
    older: Any,
    total: Any,
    blocks: Any,
    couplings: Any,
    neighbours: Any,
    shift: Any,
    backs: Any,
    weights: Any,
    row: Any,
) -> None:
    """Two terms of the expansion, and their sum.

    older <- (L + shift) now - backs[0] * older, then now <- (L + shift) older - backs[1] * now
    and total <- total + weights[0] * older + weights[1] * now. The second term follows the
    first one block behind, so that what it needs is still in the cache.

    Args:
        now, older, total: lower halves in frames, (n+2, n+2).
        blocks: (2, B+1), the first state of each block, and its distance from the inner
            neighbour (J-1, m) of any of its states. The last column closes the last block.
        couplings: (5, n+2) of each state: decay, ladder in m from below, ladder in J to the
            inner and to the outer neighbour, jump into it.
        neighbours: (2, n+2), inner and outer neighbour of each state, 0 where not kept.
        shift: number.
        backs, weights: two numbers each.
        row: work space (n+2).
    """
    count = _Index(blocks.shape[1] - 1)
    none = (0.0, 0.0)
    for b in range(count + _ONE):
        if b < count:
            _advance_block(
                b, now, older, total, blocks, couplings, neighbours, shift, backs[0], none, row
            )
        if b > _NONE:
            c = b - _ONE
            _advance_block(
                c, older, now, total, blocks, couplings, neighbours, shift, backs[1], weights, row
            )


@compiled
def expect(rho: Any, places: Any, values: Any, out: Any) -> None:
    """out[k] <- sum over e of values[e, k] rho[places[e]]."""
    out[:] = 0.0
    for e in range(places.size):
        element = rho[places[e]]
        for k in range(out.size):
            out[k] += values[e, k] * element
