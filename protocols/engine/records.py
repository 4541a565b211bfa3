"""What a run writes: shots, scan points and events, each through the durable recorder."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..protocol import Calibrations, ExperimentProtocol
from ..recording import Field, RunWriter, Stream
from .events import Incident

ACKNOWLEDGE_WITHIN = 60.0
"""Longest wait for the disk, in s, before the run is given up."""

ESTIMATES_FILE = "estimates.json"
"""Name of the file of fits in the run's directory; raw data are never rewritten."""


class Status(IntEnum):
    """What became of a shot."""

    OK = 1
    ABORTED = 2
    SATURATED = 3
    UNLOCKED = 4


def streams_of(protocol: ExperimentProtocol) -> list[Stream]:
    """The tables that a run of this protocol fills: scan points, and shots."""
    point = Stream(
        "point",
        [
            Field(column.name, "f8", unit=column.unit, long_name=column.long_name)
            for column in protocol.set_points
        ],
    )
    shot = Stream(
        "shot",
        [
            Field("time", "i8"),
            Field("status", "u1"),
            Field("point_index", "i4"),
            Field(
                "counts",
                "i4",
                dims={"detector": list(protocol.detectors)},
                long_name="raw counts of a gate",
            ),
        ],
    )
    return [point, shot]


def provenance_of(
    protocol: ExperimentProtocol,
    station: Any,
    *,
    seed: int,
    until: str | None,
    level: float,
    tags: tuple[str, ...],
) -> dict[str, Any]:
    """Everything the run is made from; the recorder adds versions, git commit, host, operator."""
    calibrations = station.calibrations
    return {
        "protocol": protocol.name,
        "parameters": protocol.settings_dict(),
        "seeds": {"protocol": seed},
        "tags": list(tags),
        "until": until,
        "level": level,
        "rehearsal": station.rehearsal,
        "station": station.snapshot(),
        "station_files_sha256": station.hash,
        "calibrations": {
            role: {"sha256": calibration.hash, **calibration.to_json()}
            for role, calibration in calibrations.items()
        },
        "beliefs": _plain(protocol.beliefs(calibrations)),
    }


class RunRecorder:
    """Puts blocks, points and events on disk and waits until they are durable.

    Args:
        writer: The run's writer.
        protocol: Gives the set-points of each scan point.
        calibrations: Calibrations of the station.
        epoch_ns: Time of the start of the run, in ns since 1970.
    """

    def __init__(
        self,
        writer: RunWriter,
        protocol: ExperimentProtocol,
        calibrations: Calibrations,
        epoch_ns: int,
    ) -> None:
        self._writer = writer
        self._protocol = protocol
        self._calibrations = calibrations
        self._epoch_ns = epoch_ns
        self._points = 0

    def block(
        self,
        counts: NDArray[np.int32],
        *,
        fired: float,
        period: float,
        point: int,
        status: Status,
    ) -> None:
        """Append a block and return when it is durable.

        Args:
            counts: Raw counts, shape (shots, detectors).
            fired: Time of the first shot, in s since the start of the run.
            period: Time from shot to shot, in s.
            point: Scan point.
            status: What became of these shots.

        Raises:
            RecordingError, TimeoutError: The disk does not take it.
        """
        self._append_points(point)
        shots = len(counts)
        offsets = np.rint((fired + period * np.arange(shots)) * 1e9).astype(np.int64)
        ticket = self._writer.append(
            "shot",
            {
                "time": self._epoch_ns + offsets,
                "status": np.full(shots, status.value, dtype=np.uint8),
                "point_index": np.full(shots, point, dtype=np.int32),
                "counts": counts,
            },
        )
        ticket.wait(ACKNOWLEDGE_WITHIN)

    def event(self, incident: Incident) -> None:
        """Append an event; it becomes durable together with the next block."""
        self._writer.annotate(
            kind=incident.kind,
            text=incident.text,
            time=self._epoch_ns + round(incident.elapsed * 1e9),
            **incident.details,
        )

    def flush(self) -> None:
        """Return when everything appended is durable."""
        self._writer.flush(timeout=ACKNOWLEDGE_WITHIN)

    def _append_points(self, last: int) -> None:
        while self._points <= last:
            values = self._protocol.point(self._points, self._calibrations)
            self._writer.append_row("point", **values)
            self._points += 1


def write_estimates(run_directory: Path, content: Mapping[str, Any]) -> None:
    """Write the run's fits beside its data, whole or not at all."""
    path = run_directory / ESTIMATES_FILE
    draft = path.with_suffix(".part")
    text = json.dumps(content, indent=2, allow_nan=False, default=_plain)
    with draft.open("w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _plain(value: Any) -> Any:
    """Dataclasses, arrays and numpy's numbers as JSON's types."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return value
