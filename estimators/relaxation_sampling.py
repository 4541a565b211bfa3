"""Exactly simulated counts of two relaxing ensembles, for tests, campaigns and examples."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
