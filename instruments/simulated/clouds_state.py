"""Two large ensembles, step by step: means and covariance of their atom numbers.

The cumulant equations in connected moments, as `models.cumulant_populations`, from any state that
they have led to; a drive of any phase turns the frame about z. The same course with twice the
atoms, and with endlessly many, at the same N Gamma, says how far the closure can be trusted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...models.cumulant_polynomials import EVERY, RATES, SHARED, equations
from ...models.cumulant_populations import follow
from ...models.cumulants import MOMENTS
from .lines import ApparatusFault
from .relaxing_state import Step

Array = NDArray[np.float64]

_MEAN_ERROR = 0.25  # of the closure, over the standard deviation at the end
_VARIANCE_ERROR = 0.5  # over the variance at the end
_MOST_LOOKS = 400
_LONGEST = 2000.0  # N Gamma t: beyond it nothing was compared, and solving takes seconds
_PAIRS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))


@dataclass(frozen=True, slots=True, eq=False)
class CloudNumbers:
    """Atoms up in each ensemble: mean (2,) and covariance (2, 2)."""

    mean: Array
    covariance: Array


def cloud_numbers(atoms: int, steps: tuple[Step, ...], falling: float = 0.0) -> CloudNumbers:
    """Atom numbers after the steps, from all atoms down.

    Args:
        atoms: In each ensemble.
        steps: What acts on them.
        falling: Rate at which every atom falls by itself meanwhile, 1/s.

    Raises:
        ApparatusFault: If the cumulant equations do not hold so far.
    """
    emitted = sum(atoms * step.decay * step.duration for step in steps)
    if emitted > _LONGEST:
        raise ApparatusFault(
            f"N Gamma t is {emitted:.4g} in the cavity, and the cumulant equations of large "
            f"ensembles are followed up to {_LONGEST:g}: shorten the preparation, or weaken the "
            f"coupling to what {atoms} atoms ask for (has the protocol been told their number?)"
        )
    courses = [_course(atoms, steps, falling, part) for part in (1.0, 0.5, 0.0)]
    (mean, spread), (twice, narrow), (endless, _) = courses
    with np.errstate(invalid="ignore"):
        wrong = np.abs(mean - 2.0 * twice + endless).max(axis=0)
        variance = np.diagonal(spread, axis1=1, axis2=2)
        off = np.abs(variance - np.diagonal(narrow, axis1=1, axis2=2)).max(axis=0)
        last = np.maximum(variance[-1], 1.0)
        sound = (wrong < _MEAN_ERROR * np.sqrt(last)).all() and (off < _VARIANCE_ERROR * last).all()
    firm = bool(np.isfinite(spread[-1]).all() and np.linalg.eigvalsh(spread[-1])[0] > -1e-6 * atoms)
    if not (sound and firm):
        length = sum(step.duration for step in steps if step.decay)
        raise ApparatusFault(
            f"{atoms} atoms in each ensemble are too few for the cumulant equations after "
            f"{length * 1e3:.4g} ms in the cavity: the closure is wrong by more than a quarter of "
            "the atom number's standard deviation; shorten the preparation, or raise "
            "atoms_per_ensemble in the laboratory file"
        )
    return CloudNumbers(np.clip(mean[-1], 0.0, atoms), spread[-1])


def _course(
    atoms: int, steps: tuple[Step, ...], falling: float, part: float
) -> tuple[Array, Array]:
    """Means (T, 2) and covariances (T, 2, 2) on the way, 1/N times `part` and N Gamma kept."""
    state = np.zeros(len(EVERY))
    for name in ("z1", "z2"):
        state[EVERY.index(name)] = -1.0
    kept = [state[:, None]]
    for step in steps:
        if step.written:
            state = _turned(state, step.written, -step.written)
        if step.duration:
            rates = np.zeros(len(RATES))
            rates[:3] = part / atoms, step.rabi, 0.5 * step.detuning
            rates[3:5] = atoms * step.decay, falling
            rates[5] = -step.exchange / step.decay if step.decay else 0.0
            looks = math.ceil(2.0 * math.hypot(step.rabi, step.detuning) * step.duration)
            times = np.linspace(0.0, step.duration, min(max(looks, 1), _MOST_LOOKS) + 1)[1:]
            state = _turned(state, -step.phase, -step.phase)
            found = follow(equations(True), rates, np.zeros((0, len(RATES))), times, state)[0]
            kept.append(found)  # a turn about z leaves numbers as they are
            state = _turned(found[:, -1], step.phase, step.phase)
    rows = np.concatenate(kept, axis=1)
    z1, z2, zz1, zz2, across = (
        rows[EVERY.index(name)] for name in ("z1", "z2", "zz1", "zz2", "Czz")
    )
    mean = 0.5 * atoms * (1.0 + np.stack([z1, z2], axis=1))
    covariance = np.empty((len(z1), 2, 2))
    for a, (z, k) in enumerate(((z1, zz1), (z2, zz2))):
        covariance[:, a, a] = 0.25 * atoms * (1.0 - z * z + (1.0 - part / atoms) * k)
    covariance[:, 0, 1] = covariance[:, 1, 0] = 0.25 * atoms * across
    return mean, covariance


def _turned(state: Array, first: float, second: float) -> Array:
    """Ensemble 1 turned by `first` about z, ensemble 2 by `second`."""
    if not (first or second):
        return state
    turns = []
    for angle in (first, second):
        c, s = math.cos(angle), math.sin(angle)
        turns.append(np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]))
    found = state.copy()
    for a, turn in enumerate(turns):
        mean = slice(3 * a, 3 * a + 3)
        found[mean] = turn @ state[mean]
        start = 6 + 6 * a
        table = np.empty((3, 3))
        for (p, q), value in zip(_PAIRS, state[start : start + 6], strict=True):
            table[p, q] = table[q, p] = value
        table = turn @ table @ turn.T
        found[start : start + 6] = [table[p, q] for p, q in _PAIRS]
        shared = slice(len(MOMENTS) + 3 * a, len(MOMENTS) + 3 * a + len(SHARED) // 2)
        found[shared] = turn @ state[shared]
    across = slice(18, 27)
    found[across] = (turns[0] @ state[across].reshape(3, 3) @ turns[1].T).ravel()
    return found
