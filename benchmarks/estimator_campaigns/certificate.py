"""Rows of the distribution-free test of squeezing: its level under the null, and its power.

The interval of `SqueezingCertificate` ends at its upper limit, so that the coverage of a row at
xi^2 = 1 is one less the share of false certificates. In the rows with squeezing a run without a
certificate (upper limit at 1 or above) counts as failed: `failures` is one less the power.
"""

from __future__ import annotations

import math

import numpy as np

from cavitylab.estimators import (
    Estimate,
    SqueezingBeliefs,
    SqueezingCertificate,
    WinelandFromShots,
    squeezing_bounds,
)

from .campaign import Campaign, Records

GAIN, BACKGROUND, LENGTH = 100.0, 50.0, 1.8  # the spin length in units of S
SHARE = 0.9  # of the variance, in the rare shots


def _draw(spin: float, xi2: float, shots: int, rare: float, rng: np.random.Generator) -> Records:
    """As many shots of the spin length as of the squeezed sum; `rare` of these are far out."""
    length = LENGTH * spin
    variance = xi2 * length**2 / (4.0 * spin)
    sums = math.sqrt(variance) * rng.standard_normal(shots)
    if rare:
        far = math.sqrt(SHARE * variance / rare) * rng.choice([-1.0, 1.0], shots)
        near = math.sqrt((1.0 - SHARE) / (1.0 - rare)) * sums
        sums = np.where(rng.random(shots) < rare, far, near)
    both = np.concatenate([sums, 0.5 * rng.standard_normal(shots)])
    apart = np.repeat([0.0, length], shots)
    atoms = spin + 0.5 * np.column_stack([both + apart, both - apart])
    counts = rng.poisson(GAIN * np.clip(atoms, 0.0, 2.0 * spin) + BACKGROUND)
    return {"counts": counts, "setting": np.repeat([0, 1], shots)}


def _bound(spin: float, shots: int) -> float:
    """Of Gaussian data at xi^2 = 1, for scale: nothing here is judged by it."""
    detection = 2.0 * (spin * GAIN + BACKGROUND) / GAIN**2
    length_std = math.sqrt((0.25 + detection) / shots)
    return squeezing_bounds(1.0, 4.0 * spin, LENGTH * spin, detection, shots, length_std=length_std)


def _beliefs(spin: float) -> SqueezingBeliefs:
    return SqueezingBeliefs(spin, 2, GAIN, BACKGROUND)


def _null(spin: float, shots: int, rare: float) -> Campaign:
    def fit(records: Records, level: float = 0.95) -> Estimate:
        test = SqueezingCertificate(_beliefs(spin))
        test.update(records)
        return test.estimate(level)

    kind = f"{rare:.0%} of the shots far out" if rare else "Gaussian"
    return Campaign(
        "squeezing certificate, no squeezing",
        f"S={spin:g}, {shots} shots, {kind}",
        1.0,
        lambda rng: _draw(spin, 1.0, shots, rare, rng),
        fit,
        lambda _: _bound(spin, shots),
        coverage_limit=0.95,
        quantity="xi2",
        replicates=1000,
    )


def _power(spin: float, xi2: float, pairs_per_atom: float) -> Campaign:
    shots = round(2.0 * pairs_per_atom * 4.0 * spin)

    def fit(records: Records, level: float = 0.95) -> Estimate:
        test = SqueezingCertificate(_beliefs(spin))
        test.update(records)
        found = test.estimate(level)
        if level >= 0.95 and found["xi2"].interval[1] >= 1.0:
            raise ArithmeticError("squeezing is not certified")
        return found

    return Campaign(
        "squeezing certificate, power",
        f"S={spin:g}, xi2={xi2:g}, {pairs_per_atom:g} N_tot pairs",
        xi2,
        lambda rng: _draw(spin, xi2, shots, 0.0, rng),
        fit,
        lambda _: _bound(spin, shots) * xi2,
        coverage_limit=0.95,
        quantity="xi2",
        replicates=400,
    )


def _gaussian_interval(spin: float, shots: int, rare: float) -> Campaign:
    """What an interval from the sample's own moments says of the same shots: shown."""

    def fit(records: Records, level: float = 0.95) -> Estimate:
        estimator = WinelandFromShots(_beliefs(spin))
        estimator.update(records)
        return estimator.estimate(level)

    return Campaign(
        "xi^2 from shots where the certificate is meant",
        f"S={spin:g}, n={shots}, {rare:.0%} of the shots far out",
        1.0,
        lambda rng: _draw(spin, 1.0, shots, rare, rng),
        fit,
        lambda _: _bound(spin, shots),
        quantity="xi2",
    )


def certificates() -> list[Campaign]:
    """No squeezing, Gaussian and by rare shots; the shots that a certificate takes."""
    return [
        _null(5.0, 1200, 0.0),
        _null(5.0, 100, 0.05),
        _null(50.0, 6800, 0.01),
        _power(5.0, 0.1, 30.0),
        _power(50.0, 0.1, 17.0),
        _power(50.0, 0.5, 32.0),
        _gaussian_interval(5.0, 100, 0.05),
        _gaussian_interval(50.0, 100, 0.01),
    ]
