"""Rotor mixture: likelihood of raw counts for squeezed, strongly antisqueezed states.

The difference of the spins is a rotor of length 2r, r^2 = S(S+1) - J(J+1)/4, whose n_z has the
density (1 - n_z^2)^J; the total spin J takes two values with the mean, variance and skewness of
its distribution p_J (Gauss quadrature). With rho^2 = 1 - n_z^2:

    m1 + m2 = J_y cos(phi) + 2 r rho cos(a) sin(phi),
    m1 - m2 = 2 r rho sin(a) cos(phi) + J_x sin(phi),
    J_x = j cos(a) - p sin(a),  J_y = j sin(a) + p cos(a),  j = J n_z/rho,  p ~ N(0, J/2).

At every J, every n_z (24 Gauss-Gegenbauer nodes: 12, two signs; without those that hardly weigh)
and every common phase a the two counts are normal. Interference of n_z with -n_z, the fringes of
single atoms, is not in it: it is for counting noise of two atoms and more. J held at its mean
alone would bias the score by .007 to .019 of a shot's spread (S = 50, counting noise of 2.5 atoms,
phi .05 to 1.4), two values by .002 to .004.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import roots_gegenbauer

from ..models.two_ensembles import TwoEnsembles, steady_state
from .ellipse_beliefs import EllipseBeliefs, natural
from .gaussian_ring import RingLikelihood

Array = NDArray[np.float64]

LEAST_NOISE = 2.0  # atoms
LARGEST_SPIN = 400.0  # beyond it a fit of 1000 shots takes minutes
MOST_SHOTS = 1000  # the score's bias of .004 of a shot's spread is .1 standard errors here
_NODES = 24
_LEAST_WEIGHT = 1e-4  # nodes of n_z below it are left out
_ROUNDING = 1.0 / 12.0  # counts^2: keeps the density finite where no light is expected


class RotorLikelihood(RingLikelihood):
    """Density of counts at any parameters, by normal counts on a rotor's nodes.

    Args:
        beliefs: where the nuisances are expected; they fix the number of nodes.
        nodes: number of common phases; by default 1.2 pi S over the counting noise.

    Raises:
        ValueError: for counting noise below 2 atoms or a spin above 400.
    """

    def __init__(self, beliefs: EllipseBeliefs, nodes: int | None = None) -> None:
        if beliefs.counting_noise < LEAST_NOISE or beliefs.spin > LARGEST_SPIN:
            raise ValueError(
                f"The rotor mixture needs counting noise of at least {LEAST_NOISE:g} atoms and a "
                f"spin up to {LARGEST_SPIN:g}, but they are {beliefs.counting_noise:.3g} and "
                f"{beliefs.spin:g}."
            )
        needed = max(48, math.ceil(1.2 * math.pi * beliefs.spin / beliefs.counting_noise))
        count = nodes or needed
        self._rotor_angles = 2.0 * math.pi * (np.arange(count) + 0.5) / count
        _, _, weight = _rotor_nodes(beliefs.spin, float(beliefs.centre[0]))
        # Chosen once: a node that came or went with Delta/Omega would break the slopes.
        self._kept = weight > _LEAST_WEIGHT
        super().__init__(beliefs, nodes=count * int(self._kept.sum()))

    @property
    def name(self) -> str:
        """Name of the measurement model."""
        return "rotor_mixture"

    def node_weights(self, nuisances: Array) -> Array:
        """(nodes,) weights; Delta/Omega moves them."""
        _, _, weight = self._rotor(nuisances)
        tiled: Array = np.repeat(weight, self._rotor_angles.size) / self._rotor_angles.size
        return tiled

    def moments(self, phase: float, nuisances: Array, theta: Array) -> tuple[Array, ...]:
        """Means, variances and covariance of the counts at all nodes; `theta` is not used."""
        _, area, gain, background = natural(nuisances)
        background = max(float(background), 0.0)
        spin, count = self._beliefs.spin, self._rotor_angles.size
        spins, heights, _ = self._rotor(nuisances)
        total, z = np.repeat(spins, count), np.repeat(heights, count)
        angle = np.tile(self._rotor_angles, heights.size)
        rho = np.sqrt(1.0 - z * z)
        radius = np.sqrt(np.maximum(spin * (spin + 1.0) - total * (total + 1.0) / 4.0, 0.0))
        along = total * z / rho
        sine, cosine = np.sin(angle), np.cos(angle)
        sp, cp = math.sin(phase), math.cos(phase)
        added = along * sine * cp + 2.0 * radius * rho * cosine * sp
        apart = 2.0 * radius * rho * sine * cp + along * cosine * sp
        tilt, tip = math.sin(area), math.cos(area)
        first = spin + 0.5 * tilt * (added + apart) + tip * (radius * z - 0.5 * total)
        second = spin + 0.5 * tilt * (added - apart) - tip * (radius * z + 0.5 * total)
        by_added, by_apart = cosine * cp, -sine * sp
        g1, g2 = 0.5 * tilt * (by_added + by_apart), 0.5 * tilt * (by_added - by_apart)
        width = 0.5 * total
        c1 = gain * np.maximum(first, 0.0) + background + _ROUNDING
        c2 = gain * np.maximum(second, 0.0) + background + _ROUNDING
        return (
            gain * first + background,
            gain * second + background,
            gain**2 * width * g1 * g1 + c1,
            gain**2 * width * g1 * g2,
            gain**2 * width * g2 * g2 + c2,
        )

    def _rotor(self, nuisances: Array) -> tuple[Array, Array, Array]:
        """J, n_z and weights of the nodes."""
        spins, heights, weights = _rotor_nodes(self._beliefs.spin, float(nuisances[0]))
        kept = weights[self._kept]
        return spins[self._kept], heights[self._kept], kept / kept.sum()


@functools.lru_cache(maxsize=64)
def _rotor_nodes(spin: float, log_ratio: float) -> tuple[Array, Array, Array]:
    """(2 * 24,) each: J, n_z, and their weights."""
    spins, chances = _total_spins(spin, log_ratio)
    heights, weights = zip(*(roots_gegenbauer(_NODES, total + 0.5) for total in spins), strict=True)
    shares = [chance * one / one.sum() for chance, one in zip(chances, weights, strict=True)]
    return np.repeat(spins, _NODES), np.concatenate(heights), np.concatenate(shares)


def _total_spins(spin: float, log_ratio: float) -> tuple[Array, Array]:
    """Two values of J, and weights, with the moments of p_J up to the third: a Gauss quadrature."""
    state = steady_state(TwoEnsembles(spin, 1.0, math.exp(log_ratio)))
    total = np.arange(state.weights.size, dtype=np.float64)
    share = state.weights / state.weights.sum()
    mean = float(share @ total)
    std = math.sqrt(float(share @ (total - mean) ** 2))
    skew = float(share @ (total - mean) ** 3) / std**3 if std > 0.0 else 0.0
    width = math.hypot(skew, 2.0)
    spins = mean + 0.5 * std * np.array([skew - width, skew + width])
    chances = 0.5 * (1.0 + np.array([skew, -skew]) / width)
    return np.maximum(spins, 0.0), chances
