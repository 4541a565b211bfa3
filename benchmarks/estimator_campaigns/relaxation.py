"""Relaxing ensembles: rates from populations and light, beside least squares on their mean."""

from __future__ import annotations

import math

import numpy as np

from cavitylab.estimators import (
    Calibrated,
    CloudBeliefs,
    Estimate,
    LightBeliefs,
    RelaxationBeliefs,
    RelaxationCumulants,
    RelaxationLight,
    RelaxationTrace,
    draw_relaxation,
    draw_relaxation_clouds,
    draw_relaxation_light,
    relaxation_bounds,
    relaxation_cumulants_bounds,
)
from cavitylab.models.relaxation_outcomes import relaxing_outcomes
from cavitylab.models.two_ensembles import TwoEnsembles

from .campaign import Campaign, Records

GAIN, BACKGROUND = 100.0, 50.0
GAIN_STD, BACKGROUND_STD = 0.03, 0.05
RATES = ("collective_decay", "rabi_frequency", "detuning_difference")


def _row(spin: float, rabi: float, detuning: float, holds: int, shots: int) -> Campaign:
    nominal = {"collective_decay": 100.0, "rabi_frequency": rabi, "detuning_difference": detuning}
    times = np.repeat(np.linspace(0.3e-3, 6e-3, holds), shots)
    beliefs = RelaxationBeliefs(
        spin,
        *(Calibrated(nominal[name], 0.05 * nominal[name]) for name in RATES),
        gain=Calibrated(GAIN, GAIN_STD * GAIN),
        background=Calibrated(BACKGROUND, BACKGROUND_STD * BACKGROUND),
    )
    detector = {"gain": GAIN, "background": BACKGROUND}

    def draw(rng: np.random.Generator) -> Records:
        off = {
            "gain": GAIN * (1.0 + GAIN_STD * rng.standard_normal()),
            "background": BACKGROUND * (1.0 + BACKGROUND_STD * rng.standard_normal()),
        }
        return draw_relaxation(spin, nominal | off, times, rng)

    def fit(records: Records, level: float = 0.95) -> Estimate:
        estimator = RelaxationTrace(beliefs)
        estimator.update(records)
        return estimator.estimate(level)

    def mean_curve(records: Records) -> float:
        from scipy.optimize import curve_fit

        places, index = np.unique(records["time"], return_inverse=True)
        total = np.asarray(records["counts"]).sum(axis=1)
        means = np.bincount(index, total) / np.bincount(index)
        n = np.arange(round(2 * spin) + 1.0)

        def curve(at: np.ndarray, *logs: float) -> np.ndarray:
            decay, drive, apart = (2 * math.pi * math.exp(log) for log in logs)
            pair = TwoEnsembles(spin, drive, apart, collective_decay=decay)
            tables = relaxing_outcomes(pair, at).probability
            up = np.einsum("tij,ij->t", tables, np.add.outer(n, n))
            return np.asarray(GAIN * up + 2 * BACKGROUND)

        try:
            found, _ = curve_fit(curve, places, means, [math.log(nominal[name]) for name in RATES])
        except RuntimeError:
            return math.nan
        return math.exp(float(found[0]))

    def bound(truth: float) -> float:
        values = nominal | detector | {"collective_decay": truth}
        return relaxation_bounds(beliefs, values, times)["collective_decay"]

    return Campaign(
        name=f"relaxation, decay rate, S={spin:g}",
        range=f"Omega/Gamma={rabi / 100:g}, Delta/Omega={detuning / rabi:.2g}, n={times.size}",
        truth=100.0,
        draw=draw,
        fit=fit,
        bound=bound,
        limit=1.15,
        coverage_limit=0.93,
        peers={"least squares on the mean": mean_curve},
        quantity="collective_decay",
        time_limit=1.0,
        replicates=200,
    )


def _light_row(spin: float, rabi: float, detuning: float, holds: int, shots: int) -> Campaign:
    nominal = {"collective_decay": 100.0, "rabi_frequency": rabi, "detuning_difference": detuning}
    detector = {
        "gain": (GAIN, GAIN_STD),
        "background": (BACKGROUND, BACKGROUND_STD),
        "efficiency": (0.3, 0.05),
        "output_background": (100.0, 0.05),
    }
    times = np.repeat(np.linspace(0.3e-3, 6e-3, holds), shots)
    beliefs = LightBeliefs(
        spin,
        *(Calibrated(nominal[name], 0.05 * nominal[name]) for name in RATES),
        **{name: Calibrated(value, std * value) for name, (value, std) in detector.items()},
    )

    def draw(rng: np.random.Generator) -> Records:
        off = {n: v * (1.0 + std * rng.standard_normal()) for n, (v, std) in detector.items()}
        return draw_relaxation_light(spin, nominal | off, times, rng)

    def fit(records: Records, level: float = 0.95) -> Estimate:
        estimator = RelaxationLight(beliefs)
        estimator.update(records)
        return estimator.estimate(level)

    def bound(truth: float) -> float:
        values = nominal | {n: v for n, (v, _) in detector.items()} | {"collective_decay": truth}
        return relaxation_bounds(beliefs, values, times)["collective_decay"]

    return Campaign(
        name=f"relaxation with light, decay rate, S={spin:g}",
        range=f"Omega/Gamma={rabi / 100:g}, Delta/Omega={detuning / rabi:.2g}, n={times.size}",
        truth=100.0,
        draw=draw,
        fit=fit,
        bound=bound,
        limit=1.15,
        coverage_limit=0.93,
        peers={},
        quantity="collective_decay",
        time_limit=1.0,
        replicates=200,
    )


def _clouds_row(atoms: float, holds: int, shots: int, exact: bool) -> Campaign:
    """Large ensembles, Omega = 2 S Gamma to the first swing's end; exact shots of few atoms.

    Of few atoms only the coverage is judged: what the closure may be wrong by is in the estimator's
    error, and not in the bound, which takes its equations for exact.
    """
    rabi = 1e5 if exact else 200.0
    nominal = {
        "collective_decay": rabi / atoms,
        "rabi_frequency": rabi,
        "detuning_difference": 0.5 * rabi,
    }
    truth = nominal["collective_decay"]
    detector = {"gain": GAIN, "background": BACKGROUND}
    times = np.repeat(np.linspace(0.4, 5.0, holds) / (2.0 * math.pi * rabi), shots)
    beliefs = CloudBeliefs(
        atoms,
        *(Calibrated(nominal[name], 0.05 * nominal[name]) for name in RATES),
        gain=Calibrated(GAIN, GAIN_STD * GAIN),
        background=Calibrated(BACKGROUND, BACKGROUND_STD * BACKGROUND),
    )

    def draw(rng: np.random.Generator) -> Records:
        values = nominal | {
            "gain": GAIN * (1.0 + GAIN_STD * rng.standard_normal()),
            "background": BACKGROUND * (1.0 + BACKGROUND_STD * rng.standard_normal()),
        }
        if exact:
            return draw_relaxation(0.5 * atoms, values, times, rng)
        return draw_relaxation_clouds(atoms, values, times, rng)

    def fit(records: Records, level: float = 0.95) -> Estimate:
        estimator = RelaxationCumulants(beliefs)
        estimator.update(records)
        return estimator.estimate(level)

    def bound(value: float) -> float:
        values = nominal | detector | {"collective_decay": value}
        return relaxation_cumulants_bounds(beliefs, values, times)["collective_decay"]

    return Campaign(
        name=f"relaxation by cumulants, decay rate, N={atoms:g}{' (exact shots)' * exact}",
        range=f"Omega=2SGamma, Delta/Omega=0.5, Omega t to 5, n={times.size}",
        truth=truth,
        draw=draw,
        fit=fit,
        bound=bound,
        limit=None if exact else 1.15,
        coverage_limit=0.93,
        peers={},
        quantity="collective_decay",
        time_limit=1.0,
        replicates=200,
    )


def rows() -> list[Campaign]:
    """Two, four and six atoms in each ensemble; two and four with the light of the cavity.

    Four with 3600 shots: about 11 500 photons behind the cavity.
    """
    return [
        _row(1.0, 250.0, 250.0, 10, 100),
        _row(3.0, 600.0, 400.0, 12, 150),
        _light_row(1.0, 600.0, 400.0, 12, 100),
        _clouds_row(12.0, 10, 100, exact=True),
        _clouds_row(2000.0, 10, 100, exact=False),
        _clouds_row(1e6, 10, 100, exact=False),
        _row(2.0, 600.0, 400.0, 12, 100),
        _light_row(2.0, 600.0, 400.0, 12, 300),
    ]
