"""Ellipses of independent atoms, several ellipses jointly, and the rotor mixture."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from cavitylab.estimators import (
    CommonPhase,
    EllipseAtoms,
    EllipseContrasts,
    EllipsePhase,
    Estimate,
    JointEllipses,
    ellipse_atoms_bounds,
)

from .campaign import Campaign, Records
from .ellipse import Laboratory, conic_peers, mean_bound

QUARTER = math.pi / 4.0
SMALL = EllipseAtoms((100, 100), contrast_std=0.0, offset_std=0.0)
LARGE = EllipseAtoms((2000, 2000), contrast_std=0.0, offset_std=0.0)
FREE = EllipseAtoms((2000, 2000), (0.9, 0.9), noise=15.0, noise_free=True)


def draw(
    truth: EllipseAtoms,
    phase: float,
    shots: int,
    rng: np.random.Generator,
    *,
    common: CommonPhase | None = None,
    stray: float = 0.0,
) -> np.ndarray:
    """(shots, 2) atom numbers; `stray` of the shots anywhere between none and all."""
    theta = rng.uniform(0.0, 2.0 * math.pi, shots)
    if common is not None:
        theta = rng.normal(common.mean, common.std, shots)
    own = phase + truth.jitter * rng.standard_normal(shots)
    angle = np.column_stack([own + theta, own - theta])
    p = np.array(truth.offsets) + 0.5 * np.array(truth.contrasts) * np.sin(angle)
    atoms = rng.binomial(np.array(truth.atoms), np.clip(p, 0.0, 1.0)).astype(float)
    if truth.noise:
        # Below no atom and above all of them the reading has no meaning: a counter clips it.
        atoms = np.rint(atoms + truth.noise * rng.standard_normal(atoms.shape))
        atoms = np.clip(atoms, 0.0, np.array(truth.atoms))
    lost = rng.random(shots) < stray
    atoms[lost] = rng.integers(0, np.array(truth.atoms) + 1, (int(lost.sum()), 2))
    return atoms


def _fit(make: Callable[[], JointEllipses]) -> Callable[..., Estimate]:
    def fit(records: Records, level: float = 0.95) -> Estimate:
        estimator = make()
        estimator.update(records)
        return estimator.estimate(level)

    return fit


@functools.cache
def _bound(
    truth: EllipseAtoms, phase: float, shots: int, common: CommonPhase | None = None
) -> float:
    return ellipse_atoms_bounds(truth, phase, shots, common_phase=common)


def _single(
    name: str,
    truth: EllipseAtoms,
    phase: float,
    shots: int,
    limit: float,
    coverage: float,
    seconds: float | None = None,
    *,
    stray: float = 0.0,
    peers: bool = True,
) -> Campaign:
    return Campaign(
        name,
        f"phi = {phase:.3g}, n = {shots}",
        phase,
        lambda rng: {"counts": draw(truth, phase, shots, rng, stray=stray)},
        _fit(lambda: EllipseContrasts(truth)),
        lambda _: _bound(truth, phase, shots),
        limit=limit,
        coverage_limit=coverage,
        peers=conic_peers() if peers else {},
        quantity="phase",
        time_limit=seconds,
    )


def _singles() -> list[Campaign]:
    found = []
    for phase, shots in ((0.1, 100), (0.4, 100), (QUARTER, 100), (0.4, 1000)):
        for name, truth in (("N=100", SMALL), ("N=2000", LARGE)):
            found.append(
                _single(f"ellipse, contrast known, {name}", truth, phase, shots, 1.06, 0.95, 0.03)
            )
    free = "ellipse, contrasts, offsets, noise free"
    found += [
        _single(free, FREE, 0.4, 100, 1.12, 0.935, 0.06),
        _single(free, FREE, 0.4, 300, 1.08, 0.945, 0.06),
        _single(free, FREE, QUARTER, 300, 1.08, 0.945, 0.06),
    ]
    for phase in (0.01, 0.05, 0.02):
        found.append(_single("ellipse near a fold, N=100", SMALL, phase, 100, 1.35, 0.94))
        found.append(_single("ellipse near a fold, free, N=2000", FREE, phase, 100, 1.35, 0.94))
    jitter = replace(FREE, jitter=0.02, jitter_free=True)
    stray = "ellipse, 1 % outliers, N=2000"
    found += [
        _single(stray, LARGE, 0.3, 300, 1.15, 0.95, stray=0.01),
        _single("ellipse, 20 mrad jitter, N=2000", jitter, 0.3, 300, 1.15, 0.95),
    ]
    return found


def _biases(shots: int) -> Campaign:
    """Half of the shots with a bias of pi/4: the sign is determined."""
    phase, biases = -0.3, (0.0, QUARTER)

    def records(rng: np.random.Generator) -> Records:
        counts = [draw(SMALL, phase + bias, shots // 2, rng) for bias in biases]
        return {"counts": np.concatenate(counts), "bias_phase": np.repeat(biases, shots // 2)}

    def bound(_: float) -> float:
        parts = [_bound(SMALL, abs(phase + bias), shots // 2) for bias in biases]
        return sum(part**-2.0 for part in parts) ** -0.5

    return Campaign(
        "ellipses jointly, two biases, N=100",
        f"phi = {phase:g}, n = {shots}",
        phase,
        records,
        _fit(lambda: JointEllipses((SMALL,))),
        bound,
        limit=1.08,
        coverage_limit=0.95,
        quantity="phase",
    )


def _in_turn(shots: int) -> Campaign:
    """Squeezed and unsqueezed shots in turn, one phase; every setting has its own nuisances."""
    squeezed, plain = Laboratory(50.0, 0.1, 100.0, 50.0), SMALL
    phase = 0.4

    def records(rng: np.random.Generator) -> Records:
        first = squeezed.draw(phase, shots // 2, rng)["counts"]
        counts = np.concatenate([first, draw(plain, phase, shots // 2, rng)])
        return {"counts": counts, "setting": np.repeat([0, 1], shots // 2)}

    def bound(truth: float) -> float:
        first = mean_bound(squeezed, truth, shots // 2)
        return (first**-2.0 + _bound(plain, truth, shots // 2) ** -2.0) ** -0.5

    return Campaign(
        "ellipses jointly, squeezed and not",
        f"phi = {phase:g}, n = {shots}",
        phase,
        records,
        _fit(lambda: JointEllipses((squeezed.beliefs(), plain))),
        bound,
        limit=1.08,
        coverage_limit=0.95,
        quantity="phase",
    )


def _known_common(shots: int) -> Campaign:
    """The common phase is narrow and known: the sign is determined and the bound is lower."""
    phase, common = -0.4, CommonPhase(0.5, 0.4)
    return Campaign(
        "ellipse, common phase known to 0.4 rad",
        f"phi = {phase:g}, n = {shots}",
        phase,
        lambda rng: {"counts": draw(SMALL, phase, shots, rng, common=common)},
        _fit(lambda: EllipseContrasts(SMALL, common_phase=common)),
        lambda truth: _oriented_bound(truth, shots, common),
        limit=1.08,
        coverage_limit=0.95,
        quantity="phase",
    )


def _oriented_bound(phase: float, shots: int, common: CommonPhase) -> float:
    """phi -> -phi and theta -> pi - theta with ports as they are: p_1 and p_2 change places."""
    mirrored = CommonPhase(math.pi - common.mean, common.std) if phase < 0.0 else common
    return _bound(SMALL, abs(phase), shots, mirrored)


def _rotor(spin: float, ratio: float, phase: float, shots: int) -> Campaign:
    """Counting noise of 2.5 atoms; atom numbers from the exact state."""
    laboratory = Laboratory(spin, ratio, spin / 6.25, 10.0)

    def fit(records: Records, level: float = 0.95) -> Estimate:
        estimator = EllipsePhase(laboratory.beliefs(), "rotor_mixture")
        estimator.update(records)
        return estimator.estimate(level)

    return Campaign(
        f"ellipse, rotor mixture S={spin:g} sigma=2.5",
        f"phi = {phase:.3g}, n = {shots}",
        phase,
        lambda rng: laboratory.draw(phase, shots, rng),
        fit,
        lambda truth: mean_bound(laboratory, truth, shots),
        limit=1.08,
        coverage_limit=0.95,
        quantity="phase",
        replicates=200,
    )


def rows() -> list[Campaign]:
    """Independent atoms over the documented range, joint ellipses, rotor mixture."""
    return [
        *_singles(),
        _biases(200),
        _in_turn(200),
        _known_common(200),
        _rotor(50.0, 0.1, 0.4, 300),
        _rotor(100.0, 0.05, 0.1, 300),
        _rotor(50.0, 0.1, 0.4, 100),
        _rotor(50.0, 0.1, 0.4, 1000),
        _rotor(50.0, 0.1, 0.05, 300),
        _rotor(50.0, 0.1, 1.4, 100),
    ]
