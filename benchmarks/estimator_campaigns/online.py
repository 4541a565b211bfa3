"""Adaptive bias phase, adaptive pumping and drift, beside fixed settings and a forgetting mean."""

from __future__ import annotations

import functools
import math

import numpy as np

from cavitylab.estimators import (
    AdaptivePhase,
    AdaptivePumping,
    DriftFilter,
    EllipseBeliefs,
    Estimate,
    PhaseTable,
    coherent_table,
    drift_bounds,
    state_table,
)
from cavitylab.models.ellipse import EllipseReadout, sample
from cavitylab.models.pumped_superradiance import PumpedEnsemble, populations, pumped_steady_state
from cavitylab.models.two_ensembles import TwoEnsembles, steady_state

from .campaign import Campaign, Records
from .posteriors import posteriors

SHOTS = 100
GAIN, GAIN_SPREAD, BACKGROUND = 20.0, 0.03, 50.0
DIFFUSION, READING_STD, READINGS = 1e-3, 0.1, 300


class PhaseShots:
    """Single shots at any phase: independent atoms, or the prepared state counted with noise."""

    def __init__(self, ratio: float | None) -> None:
        self.ratio = ratio
        self.beliefs = EllipseBeliefs(
            50.0, ratio or 1.0, math.pi / 2.0, 50.0, 0.0, np.zeros((4, 4))
        )

    @functools.cached_property
    def table(self) -> PhaseTable:
        return coherent_table(100) if self.ratio is None else state_table(self.beliefs)

    @functools.cached_property
    def state(self) -> tuple[EllipseReadout, np.ndarray]:
        weights = steady_state(TwoEnsembles(50.0, 1.0, self.beliefs.detuning_ratio)).weights
        return EllipseReadout(50.0, weights.size - 1), weights

    def shot(self, phase: float, rng: np.random.Generator) -> np.ndarray:
        if self.ratio is None:
            common = rng.uniform(0.0, 2.0 * math.pi)
            angle = phase + np.array([common, -common])
            return rng.binomial(100, 0.5 * (1.0 + np.sin(angle)))[None, :]
        atoms = sample(self.distribution(round(phase, 9)), 1, rng)
        return rng.poisson(50.0 * atoms)

    @functools.cache  # noqa: B019  (the two instances live as long as the process)
    def distribution(self, phase: float) -> np.ndarray:
        readout, weights = self.state
        return readout.distribution(weights, phase, math.pi / 2.0)


def _phase_row(name: str, shots: PhaseShots, signal: float, rule: str, limit: float | None):
    """The records are the generator: an adaptive run draws as it goes."""

    def run(rng: np.random.Generator, chosen: str) -> AdaptivePhase:
        estimator = AdaptivePhase(shots.table, rule=chosen if chosen != "random" else rule)
        for _ in range(SHOTS):
            biases = estimator.biases
            bias = float(rng.choice(biases)) if chosen == "random" else estimator.ask()
            estimator.tell({"counts": shots.shot(signal + bias, rng), "bias_phase": [bias]})
        return estimator

    def fit(records: Records) -> Estimate:
        return run(np.random.default_rng(records["seed"]), rule).estimate()

    def fixed(chosen: str):
        return lambda records: (
            run(np.random.default_rng([records["seed"], 1]), chosen).estimate()["signal"].value
        )

    return Campaign(
        name=name,
        range=f"signal {signal:g}, n = {SHOTS}",
        truth=signal,
        draw=lambda rng: {"seed": int(rng.integers(2**60))},
        fit=fit,
        bound=lambda _: 1.0 / math.sqrt(SHOTS * float(shots.table.information.max())),
        limit=limit,
        coverage_limit=0.94 if limit else None,
        peers={"random biases": fixed("random"), "greedy Fisher": fixed("greedy_fisher")},
        replicates=200,
    )


def _pumping_row(atoms: int) -> Campaign:
    critical = 1.03

    def run(seed: object, adaptive: bool) -> Estimate:
        rng = np.random.default_rng(seed)
        gain = GAIN * math.exp(GAIN_SPREAD * rng.standard_normal())
        estimator = AdaptivePumping(atoms, (0.7, 1.4), GAIN, GAIN_SPREAD * GAIN, BACKGROUND)
        scan = np.linspace(0.7, 1.4, SHOTS)
        for k in range(SHOTS):
            knob = estimator.ask() if adaptive else float(scan[k])
            chances = populations(PumpedEnsemble(atoms, knob / critical))
            excited = rng.choice(atoms + 1, p=chances)
            counts = [[rng.poisson(gain * excited + BACKGROUND)]]
            estimator.tell({"counts": counts, "pump": [knob]})
        return estimator.estimate()

    variance = pumped_steady_state(PumpedEnsemble(atoms, 1.0)).variance
    return Campaign(
        name=f"adaptive pumping, N={atoms}",
        range=f"n = {SHOTS}, gain +-3 %",
        truth=critical,
        draw=lambda rng: {"seed": int(rng.integers(2**60))},
        fit=lambda records: run(records["seed"], adaptive=True),
        bound=lambda truth: truth / math.sqrt(variance * SHOTS),
        limit=1.2,
        coverage_limit=0.94,
        peers={
            "uniform scan": lambda records: (
                run([records["seed"], 1], adaptive=False)["critical_pump"].value
            )
        },
        beats={"uniform scan": 2.0},
        replicates=200,
    )


def _drift_row(known: bool) -> Campaign:
    """The truth of the leading quantity is 0: every walk is shifted to end there."""

    def draw(rng: np.random.Generator) -> Records:
        walk = np.cumsum(math.sqrt(DIFFUSION) * rng.standard_normal(READINGS))
        value = walk - walk[-1] + READING_STD * rng.standard_normal(READINGS)
        return {
            "time": np.arange(READINGS) * 1.0,
            "value": value,
            "std": np.full(READINGS, READING_STD),
        }

    def fit(records: Records, level: float = 0.95) -> Estimate:
        drift = DriftFilter(DIFFUSION if known else (1e-5, 1e-1), (0.0, 10.0))
        drift.update(records)
        return drift.estimate(level)

    def forgetting(records: Records) -> float:
        weights = 0.5 ** (np.arange(READINGS)[::-1] / 20.0)
        return float(weights @ records["value"] / weights.sum())

    return Campaign(
        name=f"drift, diffusion {'known' if known else 'estimated'}",
        range=f"n = {READINGS}, q = {DIFFUSION:g}, std {READING_STD:g}",
        truth=0.0,
        draw=draw,
        fit=fit,
        bound=lambda _: drift_bounds(DIFFUSION, 1.0, READING_STD).std,
        limit=1.1,
        coverage_limit=0.945,
        peers={"forgetting, half-life 20": forgetting},
        quantity="value",
    )


def rows() -> list[Campaign]:
    """Adaptive phase of coherent and squeezed states, adaptive pumping, drift, posteriors."""
    coherent, squeezed = PhaseShots(None), PhaseShots(0.2)
    found = []
    for name, shots in (("coherent N=100", coherent), ("squeezed S=50 sigma=1", squeezed)):
        for signal in (-0.3, 1.1):
            found.append(_phase_row(f"adaptive phase, {name}", shots, signal, "information", 1.2))
        safe = _phase_row(f"adaptive phase, {name}, safe Fisher", shots, -0.3, "safe_fisher", None)
        found.append(safe)
    found += [_pumping_row(100), _drift_row(True), _drift_row(False), *posteriors()]
    return found
