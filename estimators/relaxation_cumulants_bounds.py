"""The precision that populations of large ensembles against hold time allow: Cramer-Rao bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..models.cumulant_populations import CloudMoments, cloud_moments
from .relaxation_bounds import RelaxationBounds, inverse_of
from .relaxation_clouds import Allowance, CloudBeliefs, CountMoments, allowance, counted
from .relaxation_gaussian import GaussianPosterior, HoldSums

Array = NDArray[np.float64]


def relaxation_cumulants_bounds(
    beliefs: CloudBeliefs, values: Mapping[str, float], times: ArrayLike
) -> RelaxationBounds:
    """Bound for one shot at each of `times`, at true values by name ("collective_decay", …).

    The model is taken as exact for the holds that the closure can be trusted at, the others tell
    nothing: the error that the estimator allows for is not in the bound. Independent atoms have
    the same mean populations, no correlations and no light.

    Raises:
        ValueError: on times that are negative or not finite.
    """
    coordinates = beliefs.coordinates()
    prior = np.diag(coordinates.weight)
    holds, shots = np.unique(np.asarray(times, dtype=np.float64), return_counts=True)
    exact, independent = (
        np.einsum("t,tij->ij", shots, information)
        for information in cloud_information(beliefs, values, holds)
    )
    slopes = np.array(
        [1.0 if c.linear else _value(beliefs, values, c.name) for c in coordinates.all]
    )
    named = [
        dict(
            zip(
                coordinates.names,
                map(float, slopes * np.sqrt(np.diag(inverse_of(information + prior)))),
                strict=True,
            )
        )
        for information in (exact, independent)
    ]
    return RelaxationBounds(named[0], named[1], exact + prior)


def cloud_information(
    beliefs: CloudBeliefs, values: Mapping[str, float], holds: Array
) -> tuple[Array, Array]:
    """Expected information of one shot at each of rising holds, (T, k, k), without priors.

    On the coordinates of the beliefs; of the correlated state, and of independent atoms.
    """
    coordinates = beliefs.coordinates()
    natural = {name: _value(beliefs, values, name) for name in coordinates.names}
    solved = cloud_moments(beliefs.clouds(natural), holds, beliefs.slopes)
    x = np.array(
        [natural[c.name] if c.linear else np.log(natural[c.name]) for c in coordinates.all]
    )
    allowed = allowance(beliefs, x, holds)
    found = []
    for dark, one in ((beliefs, solved), (_dark(beliefs), _independent(solved))):
        names = dark.coordinates().names
        moments = counted(dark, names, natural, one)
        size = moments.mean.shape[1]
        part = np.array([coordinates.names.index(name) for name in names])
        whole = np.zeros((holds.size, len(coordinates.names), len(coordinates.names)))
        for number in np.flatnonzero(allowed.trusted):
            whole[number][np.ix_(part, part)] = _of_one(
                dark, moments, int(number), allowed.spread[number, :size, :size]
            )
        found.append(whole)
    return found[0], found[1]


def _of_one(beliefs: CloudBeliefs, moments: CountMoments, number: int, spread: Array) -> Array:
    """Information of one shot at one hold, from the likelihood of the estimator."""
    part = slice(number, number + 1)
    mine = CountMoments(
        moments.mean[part],
        moments.covariance[part],
        moments.mean_slopes[:, part],
        moments.covariance_slopes[:, part],
    )
    size = mine.mean.shape[1]
    none = np.zeros((1, size, size))
    every = np.ones(1, dtype=np.bool_)
    exact = Allowance(none, np.zeros(1), spread[None], every, every)
    sums = HoldSums(np.zeros(1), np.ones(1), mine.mean, none)
    coordinates = beliefs.coordinates()
    posterior = GaussianPosterior(coordinates, lambda _x, _holds: mine, sums, exact)
    information = posterior.evaluate(coordinates.centre).information
    return np.asarray(information - np.diag(coordinates.weight))


def _independent(solved: CloudMoments) -> CloudMoments:
    """Binomial numbers with the same means."""
    n = solved.parameters.atoms
    covariance = np.zeros_like(solved.covariance)
    slopes = np.zeros_like(solved.covariance_slopes)
    for a in (0, 1):
        p = solved.mean[:, a] / n
        covariance[:, a, a] = n * p * (1.0 - p)
        slopes[..., a, a] = (1.0 - 2.0 * p) * solved.mean_slopes[..., a]
        if "atoms" in solved.names:
            slopes[solved.names.index("atoms"), :, a, a] += n * p * p
    return replace(solved, covariance=covariance, covariance_slopes=slopes)


def _dark(beliefs: CloudBeliefs) -> CloudBeliefs:
    return replace(beliefs, efficiency=None, output_background=None)


def _value(beliefs: CloudBeliefs, values: Mapping[str, float], name: str) -> float:
    """A coordinate's value: what is not given is believed; chi less its belief."""
    if name == "exchange":
        return values.get(name, beliefs.exchange) - beliefs.exchange
    if name in values:
        return values[name]
    believed = getattr(beliefs, name)
    return float(getattr(believed, "value", believed))
