"""Expected information of settings about parameters on a grid, fast enough for every shot.

I(parameters; outcome | setting) is split by the chain rule: the outcome tells in which cell
of the posterior the parameter lies, and where in the cell. A cell is so narrow that the
second part is 1/2 ln(1 + F Var), so that a posterior far narrower than the grid is
weighed as rightly as one that covers several branches.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Single = NDArray[np.float32]

_NEGLIGIBLE = 1e-5


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Pieces of a posterior: probability, mean and variance of each."""

    weights: Array = field(repr=False)
    means: Array = field(repr=False)
    variances: Array = field(repr=False)


def cells_of(weights: Array, points: Array, most: int) -> Cells:
    """At most about `most` pieces of equal width that hold the posterior."""
    kept = np.flatnonzero(weights > _NEGLIGIBLE * weights.max())
    width = max(1, -(-kept.size // most))
    label = np.arange(kept.size) // width
    share = weights[kept]
    x = points[kept]
    mass = np.bincount(label, share)
    means = np.bincount(label, share * x) / mass
    squares = np.bincount(label, share * (x - means[label]) ** 2) / mass
    return Cells(mass / mass.sum(), means, squares)


def merged_outcomes(probabilities: Array, most: int) -> Array:
    """(points, merged) distributions with neighbouring outcomes put together.

    Merging can only lose information, and the same for all settings nearly.
    """
    together = max(1, -(-len(probabilities) // most))
    starts = np.arange(0, len(probabilities), together)
    merged: Array = np.ascontiguousarray(np.add.reduceat(probabilities, starts, axis=0).T)
    return merged


def information_of_cells(
    probabilities: Array, entropies: Array, fisher: Array, rows: NDArray[np.int64], cells: Cells
) -> Array:
    """(settings,) expected information, nats.

    Args:
        probabilities: (points, outcomes).
        entropies: (points,) of each row.
        fisher: (points,) information of one shot on the parameter.
        rows: (settings, cells) the point at which each cell lies at each setting.
        cells: of the posterior.
    """
    mixtures = np.stack([cells.weights @ probabilities[row] for row in rows])
    mixed = -(mixtures * np.log(np.maximum(mixtures, 1e-30))).sum(axis=1)
    between = mixed - entropies[rows] @ cells.weights
    inside = 0.5 * np.log1p(fisher[rows] * cells.variances) @ cells.weights
    total: Array = np.maximum(between, 0.0) + inside
    return total
