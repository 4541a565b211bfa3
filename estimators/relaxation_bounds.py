"""The precision that populations against hold time allow: Cramer-Rao bounds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .likelihood_table import bin_kernels
from .relaxation_beliefs import RelaxationBeliefs
from .relaxation_light import LEAST_VARIANCE, LightBeliefs, photons_of
from .relaxation_trace import outcomes_at

Array = NDArray[np.float64]

_BIN = 0.2  # width of a bin of counts in counting noises
_NEGLIGIBLE = 1e-14


@dataclass(frozen=True, slots=True)
class RelaxationBounds:
    """Least standard deviations by name, in the units of the quantities.

    Attributes:
        std: everything else free within the beliefs.
        independent_std: the same for atoms that are independent of each other and have the same
            mean populations: each ensemble a binomial number. What correlations are worth.
        information: expected, on ln rates (chi itself), ln gain, background; priors included.
    """

    std: Mapping[str, float]
    independent_std: Mapping[str, float]
    information: Array = field(repr=False, compare=False)

    def __getitem__(self, name: str) -> float:
        return self.std[name]


def relaxation_bounds(
    beliefs: RelaxationBeliefs, values: Mapping[str, float], times: ArrayLike
) -> RelaxationBounds:
    """Bound for one shot at each of `times`, at true values by name ("collective_decay", …).

    Summed over finely binned counts of both ensembles and all numbers of atoms; with the light of
    `hold_information` where the beliefs know of it.

    Raises:
        ValueError: on times that are negative or not finite.
    """
    coordinates = beliefs.coordinates()
    natural = _natural(beliefs, values)
    holds, shots = np.unique(np.asarray(times, dtype=np.float64), return_counts=True)
    exact, independent = (
        np.einsum("t,tij->ij", shots, information)
        for information in hold_information(beliefs, values, holds)
    )
    prior = np.diag(coordinates.weight)
    slopes = np.array(
        [1.0 if c.linear else value for c, value in zip(coordinates.all, natural, strict=True)]
    )
    stds = [
        slopes * np.sqrt(np.diag(inverse_of(information + prior)))
        for information in (exact, independent)
    ]
    named = [dict(zip(coordinates.names, map(float, std), strict=True)) for std in stds]
    return RelaxationBounds(named[0], named[1], exact + prior)


def hold_information(
    beliefs: RelaxationBeliefs, values: Mapping[str, float], holds: Array
) -> tuple[Array, Array]:
    """As `information_by_hold`, with the cavity's light where the beliefs know its counter.

    Of the light the mean and the variance on each outcome of the atoms are used, as the estimator
    does: what bunching says beyond these is left out. There the atoms are taken as resolved.
    Independent atoms have no light: they do not emit together.
    """
    if not isinstance(beliefs, LightBeliefs):
        return information_by_hold(beliefs, values, holds)
    natural = _natural(beliefs, values)
    rates, size = natural.size - 4, natural.size
    places = np.r_[:rates, rates + 2 : size]
    exact, independent = np.zeros((2, holds.size, size, size))
    for whole, part in zip(
        (exact, independent), information_by_hold(beliefs.populations, values, holds), strict=True
    ):
        whole[:, places[:, None], places] = part
    outcomes = outcomes_at(beliefs, natural[:rates], holds, photons=True)
    photons = photons_of(outcomes)
    efficiency = float(natural[-4])
    for number, time in enumerate(holds):
        probability = np.maximum(outcomes.probability[number], _NEGLIGIBLE)
        mean, pairs = (one[number] / probability for one in (photons.mean, photons.pairs))
        slopes = np.zeros((size, *mean.shape))
        changed = photons.slopes[:, number] - mean * outcomes.slopes[:, number]
        slopes[:rates] = efficiency * changed / probability
        slopes[-4], slopes[-3] = efficiency * mean, time
        dark = float(natural[-3]) * time
        variance = efficiency * mean + efficiency**2 * (pairs - mean**2) + dark
        weight = probability / np.maximum(variance, LEAST_VARIANCE)
        exact[number] += np.einsum("ixy,jxy,xy->ij", slopes, slopes, weight)
    return exact, independent


def information_by_hold(
    beliefs: RelaxationBeliefs, values: Mapping[str, float], holds: Array
) -> tuple[Array, Array]:
    """Expected information of one shot at each of rising holds, (T, k, k), without priors.

    On ln rates (chi itself), ln gain and background; of the exact state, and of independent atoms
    with the same mean populations.
    """
    natural = _natural(beliefs, values)
    gain, background = float(natural[-2]), float(natural[-1])
    outcomes = outcomes_at(beliefs, natural[:-2], holds)
    edges = _count_edges(gain * beliefs.atoms + background)
    kernel, by_background = bin_kernels(edges, gain, background, beliefs.atoms)
    by_gain = by_background * (gain * np.arange(beliefs.atoms + 1.0))
    exact, independent = [], []
    for number in range(holds.size):
        tables = np.concatenate(
            [outcomes.probability[None, number], outcomes.slopes[: natural.size - 2, number]]
        )
        exact.append(_information(tables, kernel, by_gain, by_background))
        independent.append(_information(_binomial(tables), kernel, by_gain, by_background))
    return np.array(exact), np.array(independent)


def _natural(beliefs: RelaxationBeliefs, values: Mapping[str, float]) -> Array:
    """Values of the coordinates; chi less its belief."""
    names = beliefs.coordinates().names
    return np.array(
        [values[name] - (beliefs.exchange if name == "exchange" else 0.0) for name in names]
    )


def _information(tables: Array, kernel: Array, by_gain: Array, by_background: Array) -> Array:
    """Expected information of one shot from its tables (1 + rates, d, d)."""
    plain = np.einsum("ai,kij,bj->kab", kernel, tables, kernel, optimize=True)
    turned = [
        by @ tables[0] @ kernel.T + kernel @ tables[0] @ by.T for by in (by_gain, by_background)
    ]
    probability = np.maximum(plain[0], 0.0)
    seen = probability > _NEGLIGIBLE
    scaled = np.stack([table[seen] for table in [*plain[1:], *turned]]) / np.sqrt(probability[seen])
    found: Array = scaled @ scaled.T
    return found


def _binomial(tables: Array) -> Array:
    """Independent atoms with the mean populations of the tables, and their slopes."""
    size = tables.shape[1]
    atoms = size - 1
    n = np.arange(size)
    choose = np.array([math.comb(atoms, k) for k in range(size)], dtype=np.float64)
    means = [np.einsum("kij,i->k", tables, n), np.einsum("kij,j->k", tables, n)]
    single, slopes = [], []
    for mean in means:
        p = min(max(float(mean[0]) / atoms, 1e-12), 1.0 - 1e-12)
        law = choose * p**n * (1.0 - p) ** (atoms - n)
        single.append(law)
        score = law * (n - atoms * p) / (p * (1.0 - p))
        slopes.append([score * float(by) / atoms for by in mean[1:]])
    first = np.outer(*single)
    by = [
        np.outer(left, single[1]) + np.outer(single[0], right)
        for left, right in zip(slopes[0], slopes[1], strict=True)
    ]
    return np.stack([first, *by])


def _count_edges(top: float) -> Array:
    """Edges equally spaced in the root of the counts, where Poisson noise is constant."""
    most = top + 9.0 * math.sqrt(top) + 9.0
    steps = math.ceil(2.0 * math.sqrt(most) / _BIN)
    edges = np.unique(np.rint((0.5 * _BIN * np.arange(steps + 1)) ** 2))
    return np.append(edges, max(edges[-1] + 1.0, math.ceil(most)))


def inverse_of(information: Array) -> Array:
    """Inverse with every coordinate scaled to one; undetermined directions become very wide."""
    scale = np.sqrt(np.maximum(np.diag(information), 1e-12))
    values, vectors = np.linalg.eigh(information / np.outer(scale, scale))
    inverse: Array = (vectors / np.maximum(values, 1e-12)) @ vectors.T / np.outer(scale, scale)
    return inverse
