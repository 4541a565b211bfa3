"""Exactly simulated records of pumping scans, for tests, benchmarks and planning."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..models.pumped_superradiance import PumpedEnsemble, log_populations
from ..models.pumped_superradiance_scans import evolve_populations
from .pumping_chain import ChainValues
from .pumping_ramps_model import RampBeliefs

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


def draw_ramps(
    beliefs: RampBeliefs,
    values: tuple[float, float, float, float],
    direction: ArrayLike,
    stairs: ArrayLike,
    rng: np.random.Generator,
) -> dict[str, Array]:
    """Records "counts", "direction" and "stairs" of shots along ramps, level by level.

    Args:
        beliefs: N, the pumps of the ramps and the time of a stair.
        values: true u_c, gamma, gain, background.
        direction: (shots,) 1 up, -1 down.
        stairs: (shots,) how many were climbed.
        rng: source of randomness.
    """
    critical, decay, gain, background = values
    way, climbed = np.asarray(direction, dtype=np.float64), np.asarray(stairs, dtype=np.float64)
    number = np.empty(way.size)
    for sign in np.unique(way).tolist():
        first, *pumps = (pump / critical for pump in beliefs.ramp(int(sign)))
        state = np.exp(log_populations(PumpedEnsemble(beliefs.atoms, first)))
        for stair, pump in enumerate(pumps, start=1):
            ensemble = PumpedEnsemble(beliefs.atoms, pump)
            state = evolve_populations(ensemble, state, [decay * beliefs.stair])[0]
            here = (way == sign) & (climbed == stair)
            p = np.clip(state, 0.0, None)
            number[here] = rng.choice(beliefs.atoms + 1, p=p / p.sum(), size=int(here.sum()))
    counts = rng.poisson(gain * number + background).astype(np.float64)
    return {"counts": counts[:, None], "direction": way, "stairs": climbed}


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
