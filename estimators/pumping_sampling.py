"""Exactly simulated records of pumping scans, for tests, benchmarks and planning."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..models.pumped_superradiance import PumpedEnsemble, log_populations
from .pumping_chain import ChainValues

Array = NDArray[np.float64]


def draw_snapshots(
    atoms: int,
    critical: float,
    gain: float,
    background: float,
    pumps: ArrayLike,
    rng: np.random.Generator,
) -> dict[str, Array]:
    """Records "pump" and "counts" of fresh steady states, one for each entry of `pumps`."""
    knob = np.asarray(pumps, dtype=np.float64)
    number = np.empty(knob.size)
    for value in np.unique(knob):
        here = knob == value
        p = np.exp(log_populations(PumpedEnsemble(atoms, float(value / critical))))
        number[here] = rng.choice(atoms + 1, p=p / p.sum(), size=int(here.sum()))
    counts = rng.poisson(gain * number + background).astype(np.float64)
    return {"pump": knob, "counts": counts[:, None]}


def draw_sweeps(
    atoms: int,
    values: ChainValues,
    ramps: ArrayLike,
    duration: float,
    bins: int,
    rng: np.random.Generator,
) -> dict[str, Array]:
    """Records "counts", "pump" and "time" of sweeps, jump by jump.

    The waiting times follow the moving pump exactly (the hazard is linear in time), and the
    counts of a bin are Poisson with the integral of the rate along the path.

    Args:
        atoms: N.
        values: u_c, gamma, a, b.
        ramps: (sweeps, 2) knob at the beginning and the end of each sweep.
        duration: of every sweep.
        bins: equal bins of a sweep.
        rng: source of randomness.

    Raises:
        ImportError: without numba (`pip install cavitylab[fast]`).
    """
    from .pumping_kernel import simulate  # numba is loaded where it is needed

    knob = np.asarray(ramps, dtype=np.float64)
    edges = np.linspace(0.0, duration, bins + 1)
    means = np.empty((len(knob), bins))
    for row, (first, last) in zip(means, knob, strict=True):
        ratio = first / values.critical
        slope = (last - first) / values.critical / duration
        p = np.exp(log_populations(PumpedEnsemble(atoms, float(max(ratio, 1e-12)))))
        level = float(rng.choice(atoms + 1, p=p / p.sum()))
        simulate(
            float(atoms), values.decay, ratio, slope, values.half_rate, values.background,
            level, edges, rng, row,
        )  # fmt: skip
    counts = rng.poisson(means).astype(np.float64)
    return {"counts": counts, "pump": knob.copy(), "time": np.full(len(knob), float(duration))}
