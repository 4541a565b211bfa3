"""A second look at the gains of several ellipses where most shots were called stray.

A gain some standard deviations off puts most shots of a narrow ring outside of it: scoring then
rather calls them all stray than moves the gain, and stays there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .binomial_beliefs import EllipseAtoms
from .ellipse_beliefs import EllipseBeliefs
from .ellipse_joint_posterior import JointPosterior
from .ellipse_posterior import LEAST_OUTLIERS
from .scoring import Optimum, maximise_strictly

Array = NDArray[np.float64]

MANY_STRAYS = 0.1  # share of stray shots that is doubted
_STARTS, _STRICT_STEPS = 3, 30
_GAIN_STEP, _GAIN_REACH, _MOST_GAINS = 0.2, 4.0, 80  # atoms of a full port; std; on either side
_GAIN_SHOTS, _PHASES = 80, 150


def without_strays(
    posterior: JointPosterior,
    settings: Sequence[EllipseBeliefs | EllipseAtoms],
    grid: Array,
    best: Optimum,
) -> Optimum:
    """The best optimum when gains are scanned, and no shot may be stray until they are near.

    Args:
        posterior: of all members.
        settings: beliefs; those of independent atoms keep their contrasts as believed.
        grid: phases to look at.
        best: the optimum with many strays.
    """
    phases = grid[:: math.ceil(grid.size / _PHASES)]
    stride = math.ceil(posterior.shots / _GAIN_SHOTS)
    start = posterior.start(0.0, None, LEAST_OUTLIERS)
    found: list[tuple[float, Array]] = []
    for index in sorted({member.setting for member in posterior.members}):
        beliefs = settings[index]
        gains = _gains(beliefs) if isinstance(beliefs, EllipseBeliefs) else np.zeros(0)
        found = found if not gains.size else []
        for gain in gains.tolist():
            x = start.copy()
            turn = np.linalg.pinv(posterior.settings[index].directions)
            x[posterior.columns[index]] = turn @ (gain * (np.arange(4.0) == 2.0))
            totals = posterior.scan(phases, x, stride)
            z = x[1:-1]
            value = float(totals.max()) - 0.5 * float(z @ z)
            phase = float(phases[totals.argmax()])
            found.append((value, posterior.start(phase, z, LEAST_OUTLIERS)))
        found.sort(key=lambda pair: -pair[0])
        start = found[0][1] if found else start
    starts = [x for _, x in found[:_STARTS]]
    best, _ = maximise_strictly(
        posterior, starts, best, iterations=_STRICT_STEPS, enough=MANY_STRAYS
    )
    return best


def _gains(beliefs: EllipseBeliefs) -> Array:
    """Offsets of ln gain within four standard deviations; none where it is known."""
    std = math.sqrt(float(np.asarray(beliefs.covariance)[2, 2]))
    steps = math.ceil(_GAIN_REACH * std * beliefs.atoms / _GAIN_STEP)
    if steps == 0:
        return np.zeros(0)
    return np.linspace(-1.0, 1.0, 2 * min(steps, _MOST_GAINS) + 1) * _GAIN_REACH * std
