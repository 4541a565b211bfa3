"""What two ensembles feel in one shot, in pieces in which nothing changes, and what is counted.

Light reaches the atoms where the laser is good, the modulator's RF switch is open and RF is on
the wire.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from .beams import TWO_PI, diffracted, edges_of, good_light, in_time, tone_at
from .lines import TIME_GRID, RFTone, Timeline, either, value_at
from .truth import TwoEnsembleTruth

FELT_LINES = (
    "drive.rf",
    "drive.switch",
    "coupling.rf",
    "coupling.switch",
    "gradient.current",
    "counter.gate",
)


@dataclass(frozen=True, slots=True)
class Piece:
    """A time in which nothing changes that the atoms feel; strengths are angular rates.

    `shift` is the drive's frequency above resonance, angular; 0 where it is near enough.
    """

    start: float
    stop: float
    rabi: float
    drive_tone: RFTone | None
    decay: float
    detuning: float
    shift: float = 0.0

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Gate:
    """One opening of the counter's gate and how long each ensemble was lit during it."""

    start: float
    stop: float
    lit: tuple[float, float]

    @property
    def ensemble(self) -> int | None:
        """1 or 2 when exactly that ensemble is lit, else None."""
        first, second = (seconds > 0.0 for seconds in self.lit)
        return None if first == second else (1 if first else 2)


def read_gates(timeline: Timeline) -> tuple[Gate, ...]:
    """Openings of `counter.gate` in the order of time."""
    light = good_light(timeline)
    gates = []
    for window in either([timeline.get("counter.gate", ())]):
        lit = [
            sum(
                max(0.0, min(a.stop, b.stop, window.stop) - max(a.start, b.start, window.start))
                for a in either([timeline.get(f"probe.{ensemble}", ())])
                for b in light
            )
            for ensemble in (1, 2)
        ]
        gates.append(Gate(window.start, window.stop, (lit[0], lit[1])))
    return tuple(gates)


def cut_pieces(
    timeline: Timeline,
    truth: TwoEnsembleTruth,
    drive_scale: float,
    current_scale: float,
    reach: float = 0.0,
) -> list[Piece]:
    """All that the atoms feel, in pieces; equal neighbours are one piece.

    `reach` in Hz is how far off resonance the drive may be.
    """
    light = good_light(timeline)
    pieces: list[Piece] = []
    for start, stop in pairwise(
        edges_of([light, *(timeline.get(name, ()) for name in FELT_LINES)])
    ):
        middle = 0.5 * (start + stop)
        lit = bool(value_at(light, middle, False))
        drive = tone_at(timeline, "drive", middle, lit, truth.drive, reach)
        coupling = tone_at(timeline, "coupling", middle, lit, truth.coupling)
        current = float(value_at(timeline.get("gradient.current", ()), middle, 0.0))
        piece = Piece(
            start=start,
            stop=stop,
            rabi=TWO_PI * drive_scale * diffracted(drive, truth.drive),
            drive_tone=drive,
            decay=TWO_PI * diffracted(coupling, truth.coupling, power=2),
            detuning=TWO_PI * (truth.slope * current * current_scale + truth.offset),
            shift=_shift(drive, truth),
        )
        if pieces and replace(pieces[-1], start=start, stop=stop) == piece:
            pieces[-1] = replace(pieces[-1], stop=stop)
        else:
            pieces.append(piece)
    return pieces


def _shift(drive: RFTone | None, truth: TwoEnsembleTruth) -> float:
    off = 0.0 if drive is None else drive.frequency - truth.drive.centre_frequency
    return TWO_PI * off if abs(off) > truth.drive.bandwidth else 0.0


def runs_of(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """Groups of pieces that follow each other without a gap."""
    runs: list[list[Piece]] = []
    for piece in pieces:
        if runs and piece.start - runs[-1][-1].stop < TIME_GRID:
            runs[-1].append(piece)
        else:
            runs.append([piece])
    return runs


def span_of(first: Piece, last: Piece | None = None) -> str:
    """Times of one piece, or from the first to the last, in words."""
    return f"{in_time(first.start)} to {in_time((last or first).stop)}"
