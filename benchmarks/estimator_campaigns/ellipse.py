"""Ellipse phase: exact table and Gaussian ring, beside conic fits."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cavitylab.estimators import (
    EllipseBeliefs,
    EllipsePhase,
    Estimate,
    ellipse_bounds,
    fit_conic,
    fit_geometric,
)
from cavitylab.estimators.gaussian_ring import RingLikelihood
from cavitylab.models.ellipse import EllipseReadout, sample
from cavitylab.models.two_ensembles import TwoEnsembles, steady_state

from .campaign import Campaign, Records

Array = NDArray[np.float64]

SPREAD = (0.025, 0.015, 0.03)  # relative: Delta/Omega, pulse area, gain
BACKGROUND_STD = 0.05  # of the background
_PULSES = 7  # pulse areas over which a bound is averaged


@dataclass(frozen=True, slots=True)
class Laboratory:
    """A pair of ensembles, its readout and the accuracy of its calibrations."""

    spin: float
    ratio: float
    gain: float
    background: float
    known: bool = False

    @property
    def spread(self) -> Array:
        if self.known:
            return np.zeros(4)
        return np.array([*SPREAD, BACKGROUND_STD * self.background])

    def beliefs(self) -> EllipseBeliefs:
        return EllipseBeliefs(
            self.spin,
            self.ratio,
            math.pi / 2.0,
            self.gain,
            self.background,
            np.diag(self.spread**2),
        )

    def draw(self, phase: float, shots: int, rng: np.random.Generator) -> Records:
        """Counts with nuisances off their calibrations, atom numbers from the exact state."""
        off = self.spread * rng.standard_normal(4)
        ratio, area, gain = np.array([self.ratio, math.pi / 2.0, self.gain]) * np.exp(off[:3])
        weights = steady_state(TwoEnsembles(self.spin, 1.0, float(ratio))).weights
        readout = _readout(self.spin, weights.size - 1)
        atoms = sample(readout.distribution(weights, phase, float(area)), shots, rng)
        return {"counts": rng.poisson(gain * atoms + max(self.background + off[3], 0.0))}


@dataclass(frozen=True, slots=True)
class RingLaboratory(Laboratory):
    """Too large for the exact state: atom numbers drawn from the ring's own Gaussians."""

    def draw(self, phase: float, shots: int, rng: np.random.Generator) -> Records:
        off = self.spread * rng.standard_normal(4)
        beliefs = self.beliefs()
        theta = rng.uniform(0.0, 2.0 * math.pi, shots)
        m1, m2, v1, v12, v2 = RingLikelihood(beliefs).moments(phase, beliefs.centre + off, theta)
        first, second = rng.standard_normal((2, shots))
        one = m1 + np.sqrt(v1) * first
        two = m2 + v12 / np.sqrt(v1) * first + np.sqrt(v2 - v12**2 / v1) * second
        return {"counts": np.maximum(np.rint(np.column_stack([one, two])), 0.0)}


@functools.lru_cache(maxsize=8)
def _readout(spin: float, reach: int) -> EllipseReadout:
    return EllipseReadout(spin, reach)


@functools.cache
def mean_bound(laboratory: Laboratory, phase: float, shots: int) -> float:
    """Root mean square of the Cramer-Rao bounds of the laboratories that `draw` makes.

    A pulse that is off pi/2 turns S_z into the counts, which fluctuates by tens of atoms, and
    blurs the fringes: the bound at the believed pulse is lower than that of nearly every
    laboratory. S = 50, Delta/Omega = .1, phi = 1.4: by 6 % in the mean without counting noise
    (23 % for a pulse two standard deviations off), 3 % with an atom of it, 2 % with 2.5; 1 % and
    less at phi <= .4. The other nuisances change it by .1 %.
    """
    believed = laboratory.beliefs()
    if laboratory.known:
        return ellipse_bounds(believed, phase, shots).cramer_rao_std
    nodes, weights = np.polynomial.hermite_e.hermegauss(_PULSES)
    areas = believed.pulse_area * np.exp(SPREAD[1] * nodes)
    variances = [
        ellipse_bounds(replace(believed, pulse_area=float(area)), phase, shots).cramer_rao_std ** 2
        for area in areas
    ]
    return math.sqrt(float(np.average(variances, weights=weights)))


def _fit(laboratory: Laboratory) -> Callable[..., Estimate]:
    def fit(records: Records, level: float = 0.95) -> Estimate:
        estimator = EllipsePhase(laboratory.beliefs())
        estimator.update(records)
        return estimator.estimate(level)

    return fit


def _folded(phase: float) -> float:
    wrapped = abs(phase) % math.pi
    return min(wrapped, math.pi - wrapped)


def conic_peers() -> Mapping[str, Callable[[Records], float] | None]:
    """Our own direct conic and geometric fit; scikit-image and lsq-ellipse where installed."""

    def conic(records: Records) -> float:
        found = fit_conic(*np.asarray(records["counts"], dtype=float).T)
        return found.phase if found.usable else math.nan

    def geometric(records: Records) -> float:
        found = fit_geometric(*np.asarray(records["counts"], dtype=float).T)
        return found.phase if found.usable else math.nan

    peers: dict[str, Callable[[Records], float] | None] = {
        "direct conic": conic,
        "geometric": geometric,
    }
    try:
        from skimage.measure import EllipseModel
    except ImportError:
        peers["scikit-image EllipseModel"] = None
    else:

        def scikit(records: Records) -> float:
            counts = np.asarray(records["counts"], dtype=float)
            model = EllipseModel.from_estimate(counts)
            if not model:
                return math.nan
            (_, _), (a, b) = model.center, model.axis_lengths
            return phase_of_axes(a, b, model.theta)

        peers["scikit-image EllipseModel"] = scikit
    try:
        from ellipse import LsqEllipse
    except ImportError:
        peers["lsq-ellipse"] = None
    else:

        def lsq(records: Records) -> float:
            counts = np.asarray(records["counts"], dtype=float)
            _, a, b, turn = LsqEllipse().fit(counts).as_parameters()
            return phase_of_axes(a, b, turn)

        peers["lsq-ellipse"] = lsq
    return peers


def phase_of_axes(a: float, b: float, turn: float) -> float:
    """Phase of an ellipse with half axes a, b, the first at the angle `turn` to port 1.

    cos 2phi is minus the correlation of its points: with x = sin(phi + theta) and
    y = sin(phi - theta), <x y> = -cos(2 phi)/2.
    """
    xx = (a * math.cos(turn)) ** 2 + (b * math.sin(turn)) ** 2
    yy = (a * math.sin(turn)) ** 2 + (b * math.cos(turn)) ** 2
    xy = (a * a - b * b) * math.sin(turn) * math.cos(turn)
    return 0.5 * math.acos(min(1.0, max(-1.0, -xy / math.sqrt(xx * yy))))


def _row(
    name: str,
    laboratory: Laboratory,
    phase: float,
    shots: int,
    limit: float | None,
    coverage: float | None,
    seconds: float | None = None,
) -> Campaign:
    return Campaign(
        name=name,
        range=f"phi = {phase:g}, n = {shots}",
        truth=phase,
        draw=lambda rng: laboratory.draw(phase, shots, rng),
        fit=_fit(laboratory),
        bound=lambda truth: mean_bound(laboratory, truth, shots),
        limit=limit,
        coverage_limit=coverage,
        peers=conic_peers(),
        quantity="phase",
        time_limit=seconds,
    )


def rows() -> list[Campaign]:
    """Exact table at S = 50 with counting noise of 0, 0.1 and 1 atom; ring at S = 1000."""
    resolved = Laboratory(50.0, 0.1, 5000.0, 500.0)  # sigma = 0.1 atom: every atom is told apart
    noisy = Laboratory(50.0, 0.1, 50.0, 0.0)  # sigma = 1 atom
    noisy_known = Laboratory(50.0, 0.1, 50.0, 0.0, known=True)
    ring = RingLaboratory(1000.0, 0.2, 20.0, 100.0)
    found = []
    for phase in (0.05, 0.4, math.pi / 4.0, 1.4):
        found.append(_row("ellipse, exact table S=50 sigma=1", noisy, phase, 300, 1.08, 0.95, 0.2))
        found.append(
            _row("ellipse, exact table S=50 sigma=0.1", resolved, phase, 300, 1.08, 0.95, 0.2)
        )
    known = "ellipse, exact table S=50 sigma=1, known"
    found.append(_row(known, noisy_known, 0.4, 1000, 1.08, 0.95, 0.02))
    for phase in (0.1, 0.4, math.pi / 4.0):
        found.append(_row("ellipse, Gaussian ring S=1000", ring, phase, 300, 1.08, 0.95))
    for phase in (0.01, 0.05):
        found.append(_row("ellipse near a fold, ring S=1000", ring, phase, 300, 1.35, 0.94))
    return found + _few_shots(noisy, ring)


def _few_shots(noisy: Laboratory, ring: Laboratory) -> list[Campaign]:
    """The same from 100 shots, and every atom told apart without doubt."""
    certain = Laboratory(50.0, 0.1, 1e5, 0.0)  # sigma = 0.02 atom: one beside the next at 45 sigma
    table = "ellipse, exact table S=50 sigma="
    found = []
    for phase in (0.05, 0.4, 1.4):
        found.append(_row(f"{table}0", certain, phase, 100, 1.08, 0.95, 0.2))
        found.append(_row(f"{table}1", noisy, phase, 100, 1.08, 0.95, 0.2))
    found.append(_row(f"{table}0", certain, 0.4, 300, 1.08, 0.95, 0.2))
    for phase in (0.1, 0.4, math.pi / 4.0):
        found.append(_row("ellipse, Gaussian ring S=1000", ring, phase, 100, 1.08, 0.95))
    found.append(_row("ellipse near a fold, ring S=1000", ring, 0.02, 100, 1.35, 0.94))
    return found
