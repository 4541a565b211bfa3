"""What contradicts a dissipative preparation's calibrations and wires, and where to look."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from ..estimators import (
    Calibrated,
    CloudBeliefs,
    Estimate,
    RelaxationBeliefs,
    SqueezingBeliefs,
)

Array = NDArray[np.float64]

FAR = 4.5
"""Standard deviations, of calibration and counts together, beyond which a number contradicts its
calibration: six numbers do so by chance in one of 2.5e4 runs."""

_FEWEST = 20
_SCALES = np.arange(0.2, 1.8, 0.005)

_DRIVE = (
    "the modulator of the drive (saturated or misaligned, its RF cable exchanged with that of the "
    "coupling), and the drive's calibration"
)
_DETECTOR = (
    "the detector: probe light, threshold of the counter, gate length, and whether the gates of "
    "the ensembles are wired to their probes"
)
WHERE: Mapping[str, str] = MappingProxyType(
    {
        "collective_decay": "the modulator of the coupling (saturated or misaligned, its RF cable "
        "exchanged with that of the drive), and the coupling's calibration",
        "rabi_frequency": _DRIVE,
        "detuning_difference": "the gradient coil: its supply and compliance, a coil of the pair "
        "that is not connected, the calibration's slope",
        "gain": _DETECTOR,
        "background": _DETECTOR,
    }
)

REVERSED = (
    "the spins point the other way than detuning and pulse say; where to look: the coil's "
    "polarity (cables of the gradient coil, or two coils, exchanged), which gate lights which "
    "ensemble, the sign of the analysis pulse's phase"
)


def contradictions(found: Estimate, beliefs: RelaxationBeliefs | CloudBeliefs) -> list[str]:
    """Rates, gain and background that are far from their calibrations.

    The counts alone give the rates: distances count both errors. Gain and background carry their
    calibrations already.
    """
    if found.goodness_of_fit is None:
        return []
    told = []
    for name, where in WHERE.items():
        if any(flag.startswith(f"{name} is not determined") for flag in found.flags):
            told.append(f"{name.replace('_', ' ')}: where to look: {where}")
            continue
        known: Calibrated = getattr(beliefs, name)
        own = found[name].std if name not in ("gain", "background") else 0.0
        std = math.hypot(known.std, own)
        pull = (found[name].value - known.value) / std if std > 0.0 else 0.0
        if abs(pull) > FAR:
            told.append(
                f"{name.replace('_', ' ')} is {abs(pull):.1f} standard deviations "
                f"{'above' if pull > 0 else 'below'} its calibration; where to look: {where}"
            )
    return told


def points_back(table: Array, length: int) -> bool:
    """Whether <S1x - S2x> has the sign of a negative detuning (Chu Eq. 11), by three errors.

    A quarter turn about y brings S1x - S2x, negative for Delta > 0, to S2z - S1z.

    Args:
        table: (shots, 6) hold, analysis, angle, phase and both counts of turned states.
        length: Value of `analysis` for the spin length.
    """
    shots = table[table[:, 1] == length]
    difference = shots[:, 4] - shots[:, 5]
    if difference.size < _FEWEST:
        return False
    error = float(difference.std(ddof=1)) / math.sqrt(difference.size)
    return float(difference.mean()) < -3.0 * error


def wrong_pulse(
    table: Array, turned: int, beliefs: SqueezingBeliefs, relative_std: float
) -> str | None:
    """What to say where the analysis pulses turn by other angles than meant.

    The dark state has <Jx> = <Jy> = 0, so that a pulse of s times its angle a leaves
    <Jz> cos(s a): the means of the tomography measure s. It contradicts s = 1 when the best s
    describes them better, by the square of `FAR`, than any that the drive's calibration allows.

    Args:
        table: As for `points_back`.
        turned: Value of `analysis` for states turned about the spins' axis.
        beliefs: Atoms, gain and background with their errors.
        relative_std: Of the pulse's Rabi frequency by the drive's calibration.
    """
    rows = table[table[:, 1] == turned]
    angles, place = np.unique(rows[:, 2].round(9), return_inverse=True)
    if len(angles) < 4:
        return None
    total = (rows[:, 4:].sum(axis=1) - 2.0 * beliefs.background) / beliefs.gain
    total -= 0.5 * beliefs.atoms
    shots = np.bincount(place)
    if shots.min() < _FEWEST:
        return None
    means = np.bincount(place, total) / shots
    errors = np.sqrt(np.maximum(np.bincount(place, total**2) / shots - means**2, 0.05) / shots)
    offset = math.hypot(
        0.5 * beliefs.atoms * beliefs.gain_std, 2.0 * beliefs.background_std / beliefs.gain
    )
    misfit = np.array([_misfit(np.cos(s * angles), means, errors, offset) for s in _SCALES])
    allowed = misfit + ((_SCALES - 1.0) / max(relative_std, 1e-3)) ** 2
    if float(allowed.min() - misfit.min()) <= FAR**2:
        return None
    return (
        f"the analysis pulses turn by {_SCALES[np.argmin(misfit)]:.2f} times the angles that were "
        f"meant; where to look: {_DRIVE} at the power of the pulse, and the time for which its RF "
        "switch opens"
    )


def _misfit(turned: Array, means: Array, errors: Array, offset: float) -> float:
    """Least chi-square of means = A turned + c, c known to be 0 within `offset`."""
    design = np.column_stack([turned, np.ones_like(turned)]) / errors[:, None]
    design = np.vstack([design, [0.0, 1.0 / max(offset, 1e-6)]])
    wanted = np.append(means / errors, 0.0)
    best = np.linalg.lstsq(design, wanted, rcond=None)[0]
    return float(np.sum((wanted - design @ best) ** 2))
