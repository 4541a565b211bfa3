"""Does a model describe histograms of outcomes? Chi-square of grouped outcomes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from .estimate import GoodnessOfFit

Array = NDArray[np.float64]

_PER_GROUP = 8.0
_MOST_GROUPS = 40


def check_histograms(
    pairs: Sequence[tuple[NDArray[np.int64], Array]], *, by_probability: bool
) -> GoodnessOfFit | None:
    """Pearson's chi-square over groups of outcomes, shots of all settings pooled.

    Under every setting the outcomes are divided into groups of nearly equal probability: by
    their order (sensitive to shifts and widths), or by rising probability (sensitive to
    outcomes that should be rare, for outcomes without an order). Pooled, no setting needs
    many shots. Fitted parameters make p-values a little too large, never too small.

    Args:
        pairs: for each setting its histogram and the outcomes' probabilities.
        by_probability: which division.

    Returns:
        None below 24 shots.
    """
    shots = sum(int(seen.sum()) for seen, _ in pairs)
    groups = min(_MOST_GROUPS, int(shots / _PER_GROUP))
    if groups < 3:
        return None
    expected, number = np.zeros(groups), np.zeros(groups)
    for seen, probability in pairs:
        share = np.asarray(probability) / np.sum(probability)
        order = np.argsort(share, kind="stable") if by_probability else np.arange(share.size)
        middle = np.cumsum(share[order]) - 0.5 * share[order]
        label = np.minimum((middle * groups).astype(int), groups - 1)
        expected += int(seen.sum()) * np.bincount(label, share[order], minlength=groups)
        number += np.bincount(label, seen[order], minlength=groups)
    used = expected > 0.5 * _PER_GROUP
    if int(used.sum()) < 3:
        return None
    if not used.all():  # the others as one more group
        rest = expected[~used].sum(), number[~used].sum()
        expected, number = expected[used], number[used]
        expected[0] += rest[0]
        number[0] += rest[1]
    statistic = float(np.sum((number - expected) ** 2 / expected))
    degrees = expected.size - 1
    return GoodnessOfFit(
        statistic, float(chi2.sf(statistic, degrees)), degrees, "chi-square of groups of outcomes"
    )
