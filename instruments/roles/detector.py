"""Photon counts of each ensemble: gated readings of one counter, sorted into ensembles.

The gates of the ensembles follow one another on the counter's one gate input,
so each shot gives one reading per ensemble, in the order of time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..calibration import Calibration
from ..drivers.keysight_53220a import Keysight53220A
from ..errors import InstrumentError, LimitError
from ..timeline import Window
from .base import Health, ReadingsMismatch, Role, RoleSettings

__all__ = ["Detector", "DetectorProgram", "DetectorSettings"]

LARGEST_READING = 2.0**53
"""Counts above this are no counts: the counter writes 9.91E37 for "no data"."""
MOST_READINGS = 1_000_000
"""The counter's memory; older readings are overwritten beyond."""
SMALLEST_GAP = 1e-6
"""Seconds that the gate line must be low between two gates."""


class DetectorSettings(RoleSettings):
    """Station file entries of a `Detector`.

    Attributes:
        calibration: File of kind ``counts``.
        detectors: Names of the gates in the order of the columns of the counts.
        channel: Input of the counter with the photon pulses.
        gate_polarity: POS: the counter counts while the gate line is high.
        threshold: Level in V at which a pulse counts.
        counts_between: Smallest and largest sum of the raw counts of a good shot: fewer
            mean that atoms were missing, more that light was there which no atoms give.
            The engine marks other shots and repeats them.
    """

    calibration: str
    detectors: Annotated[list[str], Field(min_length=1)] = ["ensemble_1", "ensemble_2"]
    channel: Literal[1, 2] = 1
    gate_polarity: Literal["POS", "NEG"] = "POS"
    threshold: Annotated[float, Field(ge=-5.125, le=5.125)] = 1.0
    counts_between: Annotated[list[int], Field(min_length=2, max_length=2)] | None = None

    def problems(self, calibration: Calibration | None) -> Mapping[str, str]:
        """Two limits, the smaller first."""
        limits = self.counts_between
        if limits is not None and not 0 <= limits[0] < limits[1]:
            return {"counts_between": f"must be two counts, the smaller first, but is {limits}"}
        return {}


@dataclass(frozen=True, slots=True)
class DetectorProgram:
    """Settings of the counter for one block.

    Attributes:
        shots: Shots in the block.
        columns: For each gate in the order of time, its column in the counts.
    """

    shots: int
    columns: tuple[int, ...]

    @property
    def readings(self) -> int:
        """Readings of the whole block."""
        return self.shots * len(self.columns)


class Detector(Role):
    """Counts per shot and ensemble.

    Station file: `source` (the counter), `calibration`, and optionally
    `detectors`, `channel`, `gate_polarity`, `threshold` [V].
    """

    settings_model: ClassVar[type[RoleSettings]] = DetectorSettings
    safe_order: ClassVar[int] = 60
    calibration_kinds: ClassVar[tuple[str, ...]] = ("counts",)
    calibration_units: ClassVar[tuple[str, str] | None] = ("atoms", "counts")
    sources = MappingProxyType({"Keysight53220A": ()})

    def __init__(self, name: str, **settings: Any) -> None:
        super().__init__(name, **settings)
        self._counter = cast(Keysight53220A, self.source)
        self._configured = 0
        self._program: DetectorProgram | None = None
        self._armed = False

    @property
    def detectors(self) -> tuple[str, ...]:
        """Names of the columns of the counts."""
        return tuple(self.settings.detectors)

    def compile(self, windows: Sequence[Window], shots: int) -> DetectorProgram:
        """Settings for `shots` repetitions of the gates `windows`; asks and sends nothing.

        Raises:
            LimitError: If the gates are not one for each detector, overlap, or
                give more readings than the counter's memory holds.
        """
        ordered = sorted(windows, key=lambda window: window.start)
        names = [window.name for window in ordered]
        if sorted(names) != sorted(self.detectors):
            raise LimitError(
                f"{self.name}: the gates must be one each of {', '.join(self.detectors)}, but are "
                f"{', '.join(names) or 'none'}"
            )
        for gate, following in zip(ordered, ordered[1:], strict=False):
            if following.start - gate.stop < SMALLEST_GAP:
                raise LimitError(
                    f"{self.name}: the gate {gate.name!r} lasts until {gate.stop:.9g} s and "
                    f"{following.name!r} begins at {following.start:.9g} s: one counter tells "
                    f"them apart only with at least {SMALLEST_GAP * 1e6:g} us in between"
                )
        if shots < 1 or shots * len(names) > MOST_READINGS:
            raise LimitError(
                f"{self.name}: a block of {shots} shots with {len(names)} readings each does not "
                f"fit the counter's memory of {MOST_READINGS} readings: take between 1 and "
                f"{MOST_READINGS // len(names)} shots"
            )
        return DetectorProgram(shots, tuple(self.detectors.index(name) for name in names))

    def upload(self, program: DetectorProgram) -> None:
        """Configure the counter, unless it already is so."""
        self._settings_were_lost()
        self._program = program
        if self._configured == program.readings:
            return
        self._configured = 0
        self._counter.configure_gated_totalize(
            program.readings,
            channel=self.settings.channel,
            gate_polarity=self.settings.gate_polarity,
            threshold_V=self.settings.threshold,
        )
        self._configured = program.readings

    def arm(self) -> None:
        """Count from the next gate on.

        Raises:
            LimitError: If no program was uploaded.
        """
        if self._settings_were_lost() or self._program is None:
            raise LimitError(f"{self.name}: upload a program before arming")
        self._armed = True
        self._counter.initiate()

    def read(self) -> NDArray[np.int64]:
        """Counts of the finished block, shape (shots, detectors), columns as `detectors`.

        Raises:
            ReadingsMismatch: If there are more or fewer readings than gates, or
                a reading is no count; the counter is then stopped.
        """
        program = self._program
        if program is None or not self._armed:
            raise LimitError(f"{self.name}: arm before reading")
        available = int(self._counter.available())
        if available != program.readings:
            self._stop()
            raise ReadingsMismatch(
                f"{self.name}: {available} readings instead of {program.readings} "
                f"({program.shots} shots with {len(program.columns)} gates): a gate was lost or "
                "there was one too many. The block cannot be sorted into shots: repeat it."
            )
        try:
            readings = self._counter.take(available)
        except InstrumentError as error:
            self._stop()
            raise ReadingsMismatch(f"{self.name}: a reading is no count: {error}") from error
        self._armed = False
        if readings.shape != (program.readings,) or not _are_counts(readings):
            raise ReadingsMismatch(
                f"{self.name}: {readings.size} readings arrived, and not all of them are counts: "
                "repeat the block."
            )
        counts = np.empty((program.shots, len(program.columns)), dtype=np.int64)
        counts[:, list(program.columns)] = readings.reshape(program.shots, -1).astype(np.int64)
        return counts

    def forget(self) -> None:
        """Configure the counter again next time, whatever it is."""
        self._configured = 0
        self._program = None

    def _stop(self) -> None:
        self._armed = False
        self._counter.abort()

    def _make_safe(self) -> str:
        if not self._armed:
            return "counter idle"
        self._stop()
        return "counting stopped"

    def _examine(self) -> Health:
        identity = self._counter.get_idn()
        return Health(True, f"{identity['model']} answers")


def _are_counts(readings: NDArray[np.float64]) -> bool:
    inside = (readings >= 0) & (readings < LARGEST_READING)
    return bool(np.all(inside) and np.all(readings == np.floor(readings)))
