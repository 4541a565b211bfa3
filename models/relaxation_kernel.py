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

import numba
import numpy as np

# All positions are unsigned: a signed index may be negative, and is then counted from the end,
# a choice inside the loop that keeps it from being vectorised.
_Index = np.uint64
_NONE, _ONE = _Index(0), _Index(1)
_CHUNK = _Index(128)  # columns: what the loops over them read and write stays in the first cache
_compiled: Any = numba.njit(cache=True, error_model="numpy", fastmath={"contract"})


@_compiled
def _along(
    row: Any,
    now: Any,
    own: Any,
    under: Any,
    over: Any,
    decay: Any,
    here: Any,
    up: Any,
    down: Any,
    first: Any,
    last: Any,
) -> None:
    """Decay, and the ladder in m acting from the left."""
    for k in range(first, last):
        row[k] = (here + decay[k]) * now[own + k] + up * now[under + k] - down * now[over + k]


@_compiled
def _sideways(
    row: Any,
    now: Any,
    own: Any,
    climb: Any,
    fed: Any,
    jump: Any,
    weight: Any,
    first: Any,
    last: Any,
) -> None:
    """The ladder in m acting from the right, and the jumps."""
    before, after, fed_from = own - _ONE, own + _ONE, fed + _ONE
    for k in range(first, last):
        ladder = climb[k] * now[before + k] - climb[k + _ONE] * now[after + k]
        row[k] += ladder + (weight * jump[k]) * now[fed_from + k]


@_compiled
def _between(
    row: Any,
    now: Any,
    inner: Any,
    outer: Any,
    inward: Any,
    outward: Any,
    first: Any,
    last: Any,
) -> None:
    """The ladder in J acting from the left."""
    for k in range(first, last):
        row[k] += inward * now[inner + k] - outward * now[outer + k]


@_compiled
def _inner(row: Any, now: Any, offset: Any, inward: Any, first: Any, last: Any) -> None:
    for k in range(first, last):
        row[k] += inward[k] * now[offset + k]


@_compiled
def _outer(row: Any, now: Any, offset: Any, outward: Any, first: Any, last: Any) -> None:
    for k in range(first, last):
        row[k] -= outward[k] * now[offset + k]


@_compiled
def _inner_outer(
    row: Any, now: Any, inner: Any, outer: Any, inward: Any, outward: Any, first: Any, last: Any
) -> None:
    for k in range(first, last):
        row[k] += inward[k] * now[inner + k] - outward[k] * now[outer + k]


@_compiled
def _from_the_right(
    row: Any,
    now: Any,
    own: Any,
    blocks: Any,
    lead: Any,
    stop: Any,
    inward: Any,
    outward: Any,
) -> None:
    """The ladder in J acting from the right: blocks lead … stop - 1 of one row."""
    behind = blocks[5, lead - _ONE] if lead > _NONE else _NONE
    for c in range(lead, stop):
        inner_first, inner_last = blocks[1, c], blocks[2, c]
        outer_first, outer_last = blocks[3, c], blocks[4, c]
        inner, outer = own - behind, own + blocks[5, c]
        behind = blocks[5, c]
        f, g = max(inner_first, outer_first), min(inner_last, outer_last)
        if f < g:
            _inner_outer(row, now, inner, outer, inward, outward, f, g)
        else:
            f = g = inner_last
        _inner(row, now, inner, inward, inner_first, min(f, inner_last))
        _inner(row, now, inner, inward, max(g, inner_first), inner_last)
        _outer(row, now, outer, outward, outer_first, min(f, outer_last))
        _outer(row, now, outer, outward, max(g, outer_first), outer_last)


@_compiled
def _finish(row: Any, older: Any, own: Any, back: Any, first: Any, last: Any) -> None:
    for k in range(first, last):
        older[own + k] = row[k] - back * older[own + k]


@_compiled
def _collect(
    total: Any, one: Any, other: Any, here: Any, there: Any, first: Any, last: Any
) -> None:
    for k in range(first, last):
        total[k] += here * one[k] + there * other[k]


@_compiled
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
        over, inner, outer = own + width, neighbours[0, i] * width, neighbours[1, i] * width
        here = decay[i] + shift
        lead = _NONE
        while lead <= b:
            first = blocks[0, lead]
            stop = lead + _ONE
            while stop <= b and blocks[0, stop] - first < _CHUNK:
                stop += _ONE
            last = blocks[0, stop]
            _along(
                row,
                now,
                own,
                own - width,
                over,
                decay,
                here,
                climb[i],
                climb[i + _ONE],
                first,
                last,
            )
            _sideways(row, now, own, climb, over, jump, jump[i], first, last)
            _between(row, now, inner, outer, inward[i], outward[i], first, last)
            _from_the_right(row, now, own, blocks, lead, stop, inward, outward)
            _finish(row, older, own, back, first, last)
            if weights[1] != 0.0:
                _collect(total, now, older, weights[0], weights[1], own + first, own + last)
            lead = stop
    if b > _NONE:
        _mirror_block(older, blocks, b, width)


@_compiled
def _mirror_block(rho: Any, blocks: Any, b: Any, width: Any) -> None:
    """Copy the block (J+1, J) of block b to (J, J+1)."""
    for i in range(blocks[0, b - _ONE], blocks[0, b]):
        for j in range(blocks[0, b], blocks[0, b + _ONE]):
            rho[i * width + j] = rho[j * width + i]


@_compiled
def mirror(rho: Any, blocks: Any, width: Any) -> None:
    """Copy all blocks (J+1, J) to (J, J+1)."""
    for b in range(_ONE, _Index(blocks.shape[1] - 1)):
        _mirror_block(rho, blocks, b, _Index(width))


@_compiled
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
        blocks: (6, B+1) of each block: its first state; then the states whose inner
            neighbour (J-1) is kept, first and last + 1; the same for the outer one; and the
            distance to the outer neighbour. The last column only closes the last block.
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


@_compiled
def expect(rho: Any, places: Any, values: Any, out: Any) -> None:
    """out[k] <- sum over e of values[e, k] rho[places[e]]."""
    out[:] = 0.0
    for e in range(places.size):
        element = rho[places[e]]
        for k in range(out.size):
            out[k] += values[e, k] * element
