"""Which way the coil turns the detuning: a few pulses on one ensemble alone, before a Ramsey run.

All counts of a Ramsey run are even in the differential phase, and so is every calibration by
pulses on resonance: with the cables of the coil exchanged the signal comes out with the other sign,
whatever the bias phases. A weak pulse whose RF is moved by half the detuning difference tells: it
turns the ensemble that the coil detunes upwards, and hardly the other. No range of the signal has
to be known for it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..estimators.records import good_shots
from ..instruments.timeline import Tone, Window
from .protocol import Calibrations
from .ramsey_ellipse_settings import RamseyEllipseSettings
from .ramsey_ellipse_shots import GATE_GAP, LEAD
from .sequence import PULSE, PulseSequence

COLUMN = "coil_check"
"""Set-point column: 1 in the shots of the check."""

LEAST_SHARE = 0.1
"""Part of an ensemble's atoms by which the two must differ for the check to have an answer: the
pulse makes it 0.68 where it is as weak as it should be, and more than 0.2 up to twice that."""

CLEAR = 5.0
"""Standard errors by which the difference must be away from 0: by chance once in 2e6 checks."""

REVERSED = (
    "the coil turns the detuning the other way round: pulses {shift:+.4g} Hz above resonance "
    "turned {found:.0f} more atoms of ensemble {other} than of ensemble {meant}, and so the signal "
    "comes out with the other sign; where to look: the cables of the gradient coil (or two coils) "
    "exchanged, the sign of the coil's calibration, the gates of the two ensembles exchanged, the "
    "drive's modulator in order -1 instead of +1"
)
UNDECIDED = (
    "the check of the coil's sign has no answer: pulses {shift:+.4g} Hz above resonance turned "
    "both ensembles alike (a difference of {found:.1f} ± {std:.1f} atoms); where to look: whether "
    "the gradient coil carries its current, the light of the drive (its modulator, its RF cable, "
    "and the RF switch: that of the drive and that of the coupling exchanged), the gates of the "
    "two ensembles"
)


def check_sequence(settings: RamseyEllipseSettings, calibrations: Calibrations) -> PulseSequence:
    """A pi pulse on the ensemble that is detuned by +Delta/2, as weak as the drive can.

    Its Rabi frequency is the detuning difference, or the least that the drive is calibrated for:
    the other ensemble, off by Delta, then turns to a third.

    Raises:
        SequenceError: The settings make no sound sequence.
    """
    drive = calibrations["drive"]
    rabi = max(settings.detuning_hz, 1.01 * drive.forward(drive.domain[0]))
    length = 1 / (2 * rabi)
    tone = Tone(LEAD, length, rabi, offset_hz=settings.detuning_hz / 2)
    starts = [LEAD + length + GATE_GAP]
    starts.append(starts[0] + settings.gate + GATE_GAP)
    sequence = PulseSequence(
        drive=(tone,),
        windows=(
            Window(PULSE, LEAD, length),
            *(Window(f"ensemble_{k}", start, settings.gate) for k, start in enumerate(starts, 1)),
        ),
        period=settings.shot_period,
    )
    sequence.check()
    return sequence


class CoilSense:
    """Counts of the check, and what they say.

    Args:
        gain: Counts per atom, as calibrated.
        atoms: Of an ensemble.
    """

    def __init__(self, gain: float, atoms: int) -> None:
        self._gain, self._atoms = gain, atoms
        self._blocks: list[NDArray[np.float64]] = []
        self._shift = 0.0

    def take(self, records: Mapping[str, ArrayLike]) -> dict[str, ArrayLike]:
        """Keep the shots of the check, and give back the records without them."""
        marks = np.asarray(records.get(COLUMN, 0.0), dtype=np.float64)
        ours = np.broadcast_to(marks, len(np.asarray(records["counts"]))) == 1.0
        if not ours.any():
            return dict(records)
        counts = np.asarray(records["counts"], dtype=np.float64)
        good = ours & good_shots(records, len(counts))
        self._blocks.append(counts[good])
        detuning = np.broadcast_to(
            np.asarray(records.get("detuning_difference", 0.0), dtype=np.float64), len(counts)
        )
        self._shift = 0.5 * float(detuning[ours][0])
        return {
            name: values[~ours] if np.ndim(values := np.asarray(column)) else column
            for name, column in records.items()
        }

    @property
    def shots(self) -> int:
        """Good shots of the check."""
        return sum(len(block) for block in self._blocks)

    def flags(self) -> list[str]:
        """What is wrong, with where to look; empty when all is well or nothing was checked."""
        if self.shots < 2:
            return []
        found, std = self._difference()
        meant = 1 if self._shift > 0 else 2
        said = {"shift": self._shift, "found": abs(found), "std": std}
        if abs(found) < max(LEAST_SHARE * self._atoms, CLEAR * std):
            return [UNDECIDED.format(**said)]
        if (found > 0) == (meant == 1):
            return []
        return [REVERSED.format(**said, meant=meant, other=3 - meant)]

    def facts(self) -> dict[str, Any]:
        """For the diagnostics: atoms by which ensemble 1 exceeds ensemble 2."""
        if self.shots < 2:
            return {}
        found, std = self._difference()
        return {"coil_check": {"shots": self.shots, "difference": found, "std": std}}

    def _difference(self) -> tuple[float, float]:
        counts = np.concatenate(self._blocks)
        each = (counts[:, 0] - counts[:, 1]) / self._gain
        # a shot's own noise at least: few shots may happen to agree
        spread = max(float(each.std(ddof=1)), math.sqrt(self._atoms) / 2)
        return float(each.mean()), spread / math.sqrt(len(each))
