"""Prepared ellipses, combined phases, gradients and squeezing matrices of disturbed runs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from disturbed_records import (
    BACKGROUND,
    GAIN,
    PARTS,
    Disturbance,
    Records,
    family,
    fitted,
    ramp,
    read_out,
)

from cavitylab.estimators import (
    CombinedPhase,
    CombinedPhaseBeliefs,
    EllipseBeliefs,
    EllipsePhase,
    Estimate,
    FourEnsembleBeliefs,
    GradientCurvature,
    SqueezingMatrix,
    SqueezingMatrixBeliefs,
)
from cavitylab.models.ellipse import EllipseReadout, sample
from cavitylab.models.two_ensembles import TwoEnsembles, steady_state


def ellipse() -> Iterator[Disturbance]:
    """S = 20, Delta/Omega = .3, phi = .4, 300 shots; 2.5, 1.5, 3, 5 % nuisances."""
    spin, ratio, area, phase, shots = 20.0, 0.3, math.pi / 2.0, 0.4, 300
    weights = steady_state(TwoEnsembles(spin, 1.0, ratio)).weights
    readout = EllipseReadout(spin, weights.size - 1)

    def clean(rng: np.random.Generator, fall: float = 0.0, drift: float = 0.0) -> Records:
        laws = (readout.distribution(weights, phase + d, area) for d in ramp(drift, PARTS))
        atoms = [sample(law, shots // PARTS, rng) for law in laws]
        return {"counts": read_out(np.concatenate(atoms), fall, rng)}

    def fit(records: Records, excess: float) -> Estimate:
        known = np.diag([0.025, 0.015, 0.03, 0.05 * BACKGROUND]) ** 2
        believed = round(2.0 * spin * (1.0 + excess)) / 2.0
        beliefs = EllipseBeliefs(believed, ratio, area, GAIN, BACKGROUND, known)
        return fitted(EllipsePhase(beliefs), records)

    full, excess = GAIN * 2.0 * spin + BACKGROUND, (0.025, 0.05, 0.1, 0.2)
    drift = "phase drifts within the run, rad"
    yield from family("ellipse, prepared", clean, fit, ("phase",), full, drift, excess)


def combined() -> Iterator[Disturbance]:
    """n = (1, -2, 1), phases of .2, slopes -45 known to 1 %, 200 shots of S = 50."""
    direction, phases, slope, spin = (
        np.array([1.0, -2.0, 1.0]),
        np.array([1, -1, 1]) * 0.2,
        -45.0,
        50,
    )

    def clean(rng: np.random.Generator, fall: float = 0.0, drift: float = 0.0) -> Records:
        moved = phases + ramp(drift, 200)[:, None] * direction / 6.0
        atoms = spin + slope * np.sin(moved) + rng.normal(0.0, 3.0, (200, 3))
        return {"counts": read_out(np.clip(atoms, 0.0, 2.0 * spin), fall, rng)}

    def fit(records: Records, excess: float) -> Estimate:
        beliefs = CombinedPhaseBeliefs(
            direction=(1, -2, 1),
            spins=(spin * (1.0 + excess),) * 3,
            slopes=(slope * (1.0 + excess),) * 3,
            slope_stds=(0.45,) * 3,
            gain=GAIN,
            background=BACKGROUND,
        )
        return fitted(CombinedPhase(beliefs), records)

    full = GAIN * 2.0 * spin + BACKGROUND
    drift = "n.phi drifts within the run, rad"
    clips = (0.1, 0.2, 0.3, 0.4, 0.45, 0.5)
    yield from family("n.phi", clean, fit, ("combined_phase",), full, drift, clips=clips)


def gradient() -> Iterator[Disturbance]:
    """g = .11, k = -.2, contrast .94, 200 shots of 200 atoms."""
    bias = np.array([0.0, 0.5, 0.5, 0.0]) * math.pi
    along, bend = np.array([1.5, 0.5, -0.5, -1.5]), np.array([1.0, -1.0, -1.0, 1.0])

    def clean(rng: np.random.Generator, fall: float = 0.0, drift: float = 0.0) -> Records:
        slopes = 0.11 + ramp(drift, 200)[:, None]
        angle = rng.uniform(0, math.tau, (200, 1)) + bias + slopes * along - 0.2 * bend
        contrast = 0.94 * (1.0 + ramp(-fall, 200))[:, None]
        atoms = rng.binomial(200, np.clip(0.5 + 0.5 * contrast * np.sin(angle), 0.0, 1.0))
        return {"counts": read_out(atoms, 0.0, rng)}

    def fit(records: Records, excess: float) -> Estimate:
        beliefs = FourEnsembleBeliefs(200 * (1.0 + excess), gain=GAIN, background=BACKGROUND)
        return fitted(GradientCurvature(beliefs, np.random.default_rng(2)), records)

    full = GAIN * 200 + BACKGROUND
    names = ("gradient", "curvature")
    drift = "gradient drifts within the run, rad"
    for case in family("gradient", clean, fit, names, full, drift):
        contrast = case.name.startswith("gain")
        yield replace(case, name="contrast falls within the run") if contrast else case


def matrix() -> Iterator[Disturbance]:
    """Eight ensembles of 100 atoms, one direction with a fifth of the variance, 400 shots."""
    turn = np.full((8, 8), 1.0 / 8.0)  # the projector on the mean of all

    def clean(rng: np.random.Generator, fall: float = 0.0, drift: float = 0.0) -> Records:
        noise = 5.0 * rng.standard_normal((400, 8))
        noise -= (1.0 - math.sqrt(0.2)) * noise @ turn
        moved = noise + 10.0 * ramp(drift, 400)[:, None]
        return {"counts": read_out(np.clip(50.0 + moved, 0.0, 100.0), fall, rng)}

    def fit(records: Records, excess: float) -> Estimate:
        beliefs = SqueezingMatrixBeliefs(
            (100.0 * (1.0 + excess),) * 8, (50.0,) * 8, gain=GAIN, background=BACKGROUND
        )
        return fitted(SqueezingMatrix(beliefs), records)

    drift, clips = "means drift within the run, of 10 atoms", (0.2, 0.3, 0.35, 0.4, 0.45, 0.5)
    full = GAIN * 100 + BACKGROUND
    name = ("smallest_eigenvalue",)
    yield from family("squeezing matrix", clean, fit, name, full, drift, clips=clips)


def disturbances() -> Iterator[Disturbance]:
    """Of phases and of many ensembles."""
    for one in (ellipse, combined, gradient, matrix):
        yield from one()
