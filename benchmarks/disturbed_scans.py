"""Sweeps and ramps of the pump, light and clouds that relax, of disturbed runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from disturbed_records import PARTS, SMALL, Array, Disturbance, Records, dead, family, fitted, ramp

from cavitylab.estimators import (
    Calibrated,
    ChainValues,
    CloudBeliefs,
    Estimate,
    LightBeliefs,
    PumpingRamps,
    PumpingSweeps,
    RampBeliefs,
    RelaxationCumulants,
    RelaxationLight,
    SweepBeliefs,
    draw_ramps,
    draw_relaxation_clouds,
    draw_relaxation_light,
    draw_sweeps,
)

RATES = ("collective_decay", "rabi_frequency", "detuning_difference")


def _joined(blocks: list[dict[str, Array]]) -> Records:
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def sweeps(method: str) -> Iterator[Disturbance]:
    """N = 60, 10 sweeps up and 10 down in turn over 1 -+ .4 in 6/gamma, bins of .1/gamma."""
    atoms, ends, duration, bins = 60, (0.6, 1.4), 6.0, 60
    half_rate, background = 50.0, 5.0

    def clean(rng: np.random.Generator, fall: float = 0.0, drift: float = 0.0) -> Records:
        blocks = []
        for less, moved in zip(ramp(-fall, PARTS), ramp(drift, PARTS), strict=True):
            values = ChainValues(1.003 * (1.0 + moved), 1.0, half_rate * (1.0 + less), background)
            blocks.append(draw_sweeps(atoms, values, [ends, ends[::-1]], duration, bins, rng))
        return _joined(blocks)

    def fit(records: Records, excess: float) -> Estimate:
        beliefs = SweepBeliefs(round(atoms * (1.0 + excess)))
        return fitted(PumpingSweeps(beliefs, method), records)

    full = (2.0 * half_rate + background) * duration / bins
    drift = "u_c drifts within the run"
    yield from family(
        f"sweeps, {method}", clean, fit, ("critical_pump",), full, drift, all_ports=True
    )


def ramps() -> Iterator[Disturbance]:
    """N = 20, stairs up and down over 1 -+ .5, 480 shots; gain to 3 %, background to 10 %."""
    up = (0.5, 0.7, 0.9, 1.1, 1.3, 1.5)
    known = Calibrated(20.0, 0.6), Calibrated(5.0, 0.5)
    beliefs = RampBeliefs(20, up, up[::-1], 0.3, 1.2, 1.0, *known)
    way, stairs = np.repeat([1.0, -1.0], 24), np.resize([1.0, 2.0, 3.0, 4.0, 5.0], 48)

    def clean(rng: np.random.Generator, fall: float = 0.0, drift: float = 0.0) -> Records:
        return _joined(
            [
                draw_ramps(
                    beliefs, (1.03 * (1.0 + moved), 1.0, 20.0 * (1.0 + less), 5.0), way, stairs, rng
                )
                for less, moved in zip(ramp(-fall, PARTS), ramp(drift, PARTS), strict=True)
            ]
        )

    def fit(records: Records, excess: float) -> Estimate:
        return fitted(PumpingRamps(replace(beliefs, atoms=round(20 * (1.0 + excess)))), records)

    drift, names = "u_c drifts within the run", ("critical_pump",)
    yield from family("ramps", clean, fit, names, 405.0, drift, (0.05, 0.1, 0.2, 0.3))


def light() -> Iterator[Disturbance]:
    """S = 1, 8 holds in turn, 480 shots, eta = .3; gain to 3, background and eta to 5 %."""
    values = {"collective_decay": 100.0, "rabi_frequency": 300.0, "detuning_difference": 300.0}
    gain, background, efficiency, dark = 40.0, 20.0, 0.3, 100.0
    times = np.tile(np.linspace(0.4e-3, 5e-3, 8), 60)
    parts = np.array_split(np.arange(times.size), PARTS)

    def clean(
        rng: np.random.Generator, fall: float = 0.0, drift: float = 0.0, dim: float = 0.0
    ) -> Records:
        gains = 1.0 + ramp(-fall, times.size)
        blocks = []
        for rows, turn, less in zip(parts, ramp(drift, PARTS), ramp(-dim, PARTS), strict=True):
            moved: Any = {
                **values,
                "rabi_frequency": 300.0 * (1.0 + turn),
                "gain": gain * gains[rows, None],
                "background": background,
                "efficiency": efficiency * (1.0 + less),
                "output_background": dark,
            }
            blocks.append(dict(draw_relaxation_light(1.0, moved, times[rows], rng)))
        return _joined(blocks)

    beliefs = LightBeliefs(
        1.0,
        *(Calibrated(value, 0.05 * value) for value in values.values()),
        Calibrated(gain, 0.03 * gain),
        Calibrated(background, 0.05 * background),
        efficiency=Calibrated(efficiency, 0.05 * efficiency),
        output_background=Calibrated(dark, 0.05 * dark),
    )

    def fit(records: Records, excess: float) -> Estimate:
        estimator = RelaxationLight(replace(beliefs, spin=1.0 + excess))
        return fitted(estimator, records)

    def slow(size: float, rng: np.random.Generator) -> Records:
        found = clean(rng)
        return {**found, "light": dead(found["light"], size, 4.0, rng).astype(float)}

    full, drift = 2.0 * gain + background, "drive drifts within the run"
    yield from family("relaxation, light", clean, fit, RATES, full, drift, (0.5, 1.0))
    for name, draw in (
        ("efficiency falls within the run", lambda s, rng: clean(rng, dim=s)),
        ("dead time of the light, at 4 counts", slow),
    ):
        yield Disturbance("relaxation, light", name, SMALL, draw, fit, RATES)


def clouds() -> Iterator[Disturbance]:
    """N = 2000, 8 holds in turn, 480 shots; gain to 3, background and rates to 5 %."""
    atoms, gain, background = 2000.0, 40.0, 200.0
    values = {"collective_decay": 0.1, "rabi_frequency": 200.0, "detuning_difference": 100.0}
    times = np.tile(np.linspace(0.4e-3, 4.8e-3, 8), 6)

    def clean(rng: np.random.Generator, fall: float = 0.0, drift: float = 0.0) -> Records:
        blocks = []
        for less, turn in zip(ramp(-fall, PARTS), ramp(drift, PARTS), strict=True):
            moved = {
                **values,
                "rabi_frequency": 200.0 * (1.0 + turn),
                "gain": gain * (1.0 + less),
                "background": background,
            }
            blocks.append(dict(draw_relaxation_clouds(atoms, moved, times, rng)))
        return _joined(blocks)

    beliefs = CloudBeliefs(
        atoms,
        *(Calibrated(value, 0.05 * value) for value in values.values()),
        Calibrated(gain, 0.03 * gain),
        Calibrated(background, 0.05 * background),
    )

    def fit(records: Records, excess: float) -> Estimate:
        return fitted(RelaxationCumulants(replace(beliefs, atoms=atoms * (1.0 + excess))), records)

    full, drift = atoms * gain + background, "drive drifts within the run"
    yield from family(
        "clouds", clean, fit, RATES, full, drift, clips=(0.02, 0.1, 0.2, 0.3, 0.4, 0.5)
    )


def disturbances() -> Iterator[Disturbance]:
    """Of scans and of relaxation."""
    for method in ("moments", "chain"):
        yield from sweeps(method)
    for one in (ramps, light, clouds):
        yield from one()
