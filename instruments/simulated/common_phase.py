"""Outcomes of prepared pairs whose common phase is narrow, or drifts from shot to shot.

The phase of each shot is that of the tones in the synthesizer's table (pulse less preparation), a
mean, noise, and the sum of all steps of a walk since the first shot. Outcomes are drawn from the
exact table at that phase, which is kept on a circle of nodes.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from ...models.ellipse_oriented import OrientedReadout
from .draws import shot_uniforms
from .truth import CommonPhaseTruth

NODES = 512
"""Common phases on the circle; a wave of order J is off by J pi / 512 at most."""

_KEPT = 256
"""Tables kept at once."""


class CommonPhases:
    """The common phase of every shot of a laboratory.

    Args:
        truth: Mean, noise and walk.
        seed: Keys them.
    """

    def __init__(self, truth: CommonPhaseTruth, seed: int) -> None:
        self._truth, self._seed = truth, seed
        self._walk = np.zeros(0)

    def of(self, shots: range) -> NDArray[np.float64]:
        """Radians, without those of the tones."""
        truth = self._truth
        noise = ndtri(shot_uniforms(self._seed, "common.noise", shots))
        found = truth.mean + truth.std * np.asarray(noise, dtype=np.float64)
        if truth.walk:
            if self._walk.size < shots.stop:
                every = range(max(shots.stop, 2 * self._walk.size))
                steps = ndtri(shot_uniforms(self._seed, "common.walk", every))
                self._walk = truth.walk * np.cumsum(steps)
            found += self._walk[shots.start : shots.stop]
        return found


class OrientedShots:
    """Outcomes of one state at one phase and pulse area.

    Args:
        readout: Its waves.
    """

    def __init__(self, readout: OrientedReadout) -> None:
        self._readout = readout
        self._ladders: dict[int, NDArray[np.float64]] = {}

    def draw(self, common: NDArray[np.float64], uniforms: NDArray[np.float64]) -> NDArray[np.int64]:
        """(shots, 2) atoms for common phases in radians and uniform numbers."""
        nodes = np.rint(common / math.tau * NODES).astype(np.int64) % NODES
        cells = np.empty(len(nodes), dtype=np.int64)
        for node in np.unique(nodes).tolist():
            own = nodes == node
            ladder = self._ladder(node)
            found = np.searchsorted(ladder, uniforms[own] * ladder[-1], side="right")
            cells[own] = np.minimum(found, ladder.size - 1)
        size = self._readout.waves.shape[1]
        return np.stack(np.divmod(cells, size), axis=1).astype(np.int64)

    def _ladder(self, node: int) -> NDArray[np.float64]:
        if node not in self._ladders:
            if len(self._ladders) >= _KEPT:
                self._ladders.clear()
            self._ladders[node] = np.cumsum(self._readout.at(math.tau * node / NODES).ravel())
        return self._ladders[node]
