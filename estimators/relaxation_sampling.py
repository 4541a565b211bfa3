"""Exactly simulated counts of two relaxing ensembles, for tests, campaigns and examples."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..models.cumulant_populations import RelaxingClouds, cloud_moments
from ..models.photon_records import PhotonRecords
from ..models.relaxation_outcomes import relaxing_outcomes
from ..models.two_ensembles import TwoEnsembles


def draw_relaxation(
    spin: float, values: Mapping[str, float], times: ArrayLike, rng: np.random.Generator
) -> dict[str, NDArray[np.float64]]:
    """One fresh shot after each hold: {"counts": (shots, 2), "time": (shots,)}.

    Args:
        spin: S of each ensemble.
        values: "collective_decay", "rabi_frequency", "detuning_difference", "exchange"
            (optional), ordinary frequencies in the inverse unit of the times; "gain",
            "background".
        times: holds, not negative.
        rng: source of randomness.
    """
    wanted = np.asarray(times, dtype=np.float64)
    holds, place = np.unique(wanted, return_inverse=True)
    decay, rabi, detuning, exchange = (
        2.0 * math.pi * values.get(name, 0.0)
        for name in ("collective_decay", "rabi_frequency", "detuning_difference", "exchange")
    )
    pair = TwoEnsembles(spin, rabi, detuning, exchange, decay)
    tables = np.maximum(relaxing_outcomes(pair, holds).probability, 0.0)
    size = tables.shape[1]
    ladders = np.cumsum(tables.reshape(holds.size, -1), axis=1)
    cells = np.empty(wanted.size, dtype=np.int64)
    for number, ladder in enumerate(ladders):
        mine = place == number
        draws = rng.random(int(mine.sum())) * ladder[-1]
        cells[mine] = np.minimum(np.searchsorted(ladder, draws, side="right"), ladder.size - 1)
    atoms = np.stack(np.divmod(cells, size), axis=1)
    counts = rng.poisson(values["gain"] * atoms + values["background"])
    return {"counts": counts.astype(np.float64), "time": wanted}


def draw_relaxation_light(
    spin: float, values: Mapping[str, float], times: ArrayLike, rng: np.random.Generator
) -> dict[str, NDArray[np.float64]]:
    """As `draw_relaxation`, with "light" (shots,): one quantum trajectory for each shot.

    Args:
        spin: S of each ensemble.
        values: as for `draw_relaxation`, and "efficiency", "output_background".
        times: holds, not negative.
        rng: source of randomness.
    """
    wanted = np.asarray(times, dtype=np.float64)
    decay, rabi, detuning, exchange = (
        2.0 * math.pi * values.get(name, 0.0)
        for name in ("collective_decay", "rabi_frequency", "detuning_difference", "exchange")
    )
    pair = TwoEnsembles(spin, rabi, detuning, exchange, decay)
    atoms, light = np.empty((wanted.size, 2)), np.empty(wanted.size)
    for hold in np.unique(wanted):
        mine = wanted == hold
        seeds = rng.integers(0, 2**53, int(mine.sum()))
        amplitudes, photons = PhotonRecords(pair, [hold]).follow(seeds)
        ladders = np.cumsum(np.abs(amplitudes) ** 2, axis=1)
        draws = rng.random(seeds.size) * ladders[:, -1]
        cells = np.minimum((ladders <= draws[:, None]).sum(axis=1), ladders.shape[1] - 1)
        atoms[mine] = np.stack(np.divmod(cells, round(2.0 * spin) + 1), axis=1)
        light[mine] = rng.binomial(photons[:, -1], values["efficiency"])
    light += rng.poisson(values["output_background"] * wanted)
    counts = rng.poisson(values["gain"] * atoms + values["background"])
    return {"counts": counts.astype(np.float64), "light": light, "time": wanted}


def draw_relaxation_clouds(
    atoms: float, values: Mapping[str, float], times: ArrayLike, rng: np.random.Generator
) -> dict[str, NDArray[np.float64]]:
    """Fresh shots of large ensembles: Gaussian atom numbers and photons by the cumulant equations.

    Args:
        atoms: N of each ensemble.
        values: as for `draw_relaxation`, and optional "single_spin_decay" (over 2 pi),
            "atoms_spread" (rms of N from shot to shot over N); with "efficiency" and
            "output_background" there is "light" (shots,) too.
        times: holds, not negative.
        rng: source of randomness.

    Raises:
        ValueError: where the closure gives no covariance for a hold.
    """
    wanted = np.asarray(times, dtype=np.float64)
    holds, place = np.unique(wanted, return_inverse=True)
    decay, rabi, detuning, exchange, single = (
        2.0 * math.pi * values.get(name, 0.0)
        for name in (
            *("collective_decay", "rabi_frequency", "detuning_difference"),
            *("exchange", "single_spin_decay"),
        )
    )
    clouds = RelaxingClouds(atoms, rabi, detuning, exchange, single, decay)
    solved = cloud_moments(clouds, holds, ("atoms",))
    by_atoms = values.get("atoms_spread", 0.0) * solved.mean_slopes[0]
    numbers = np.empty((wanted.size, 3))
    for number, (mean, normal) in enumerate(zip(solved.mean, solved.covariance, strict=True)):
        mine = place == number
        covariance = normal + np.diag([0.0, 0.0, mean[2]])
        covariance += np.outer(by_atoms[number], by_atoms[number])
        numbers[mine] = gaussian_numbers(mean, covariance, int(mine.sum()), rng)
    numbers[:, :2] = np.clip(np.rint(numbers[:, :2]), 0.0, math.ceil(atoms))
    counts = rng.poisson(values["gain"] * numbers[:, :2] + values["background"])
    found: dict[str, NDArray[np.float64]] = {"counts": counts.astype(np.float64), "time": wanted}
    if "efficiency" in values:
        photons = np.maximum(np.rint(numbers[:, 2]), 0.0).astype(np.int64)
        light = rng.binomial(photons, values["efficiency"])
        dark = rng.poisson(values["output_background"] * wanted)
        found["light"] = (light + dark).astype(np.float64)
    return found


def gaussian_numbers(
    mean: NDArray[np.float64],
    covariance: NDArray[np.float64],
    shots: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """(shots, d) Gaussian numbers; what is negative by rounding counts as zero.

    Raises:
        ValueError: when the covariance has a direction of clearly negative variance.
    """
    values, vectors = np.linalg.eigh(covariance)
    if not values[0] > -1e-6 * max(float(values[-1]), 1.0):
        raise ValueError(
            "the cumulant equations give no covariance here: take shorter holds or more atoms"
        )
    spread = np.sqrt(np.maximum(values, 0.0))
    found: NDArray[np.float64] = mean + (rng.standard_normal((shots, mean.size)) * spread) @ (
        vectors.T
    )
    return found
