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
from .run_time import RunTime

ACKNOWLEDGE_WITHIN = 60.0
"""Longest wait for the disk, in s, before the run is given up."""

BLOCK_STREAM = "block"
"""Name of the table that says which step took which shots: a run is resumed from it."""

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
    block = Stream(
        BLOCK_STREAM,
        [
            Field("block_step", "i4", long_name="number of the step that took the block"),
            Field("block_digest", "u4", long_name="checksum of that step"),
            Field("block_shots", "i4", long_name="shots of the block"),
            Field("block_fired", "i8", long_name="shots fired so far, recorded or not"),
            Field("block_clock", "f8", unit="s", long_name="the laboratory's clock afterwards"),
            Field("block_elapsed", "f8", unit="s", long_name="time since the start afterwards"),
        ],
    )
    return [point, block, shot]


def provenance_of(
    protocol: ExperimentProtocol,
    station: Any,
    run_time: RunTime,
    *,
    seed: int,
    until: str | None,
    level: float,
    tags: tuple[str, ...],
    notes: tuple[str, ...],
    order: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Everything the run is made from; the recorder adds versions, git commit, host, operator."""
    calibrations = station.calibrations
    return {
        "order": None if order is None else dict(order),
        "notes": list(notes),
        "began": {"epoch_ns": run_time.epoch_ns, "clock": run_time.began},
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


@dataclasses.dataclass(frozen=True, slots=True)
class BlockFacts:
    """What is recorded of a block besides its shots.

    Attributes:
        step: Number of the step that asked for it, from 0.
        digest: Checksum of that step.
        fired_shots: Shots that the station has fired in all, this block included.
        fired: What the laboratory's clock showed at the first shot.
        clock: What it shows now.
        period: Time from shot to shot, in s.
        starts: When each shot began, in s after ``fired``, where they are not one period apart.
        point: Scan point.
    """

    step: int
    digest: int
    fired_shots: int
    fired: float
    clock: float
    period: float
    point: int
    starts: NDArray[np.float64] | None = None


class RunRecorder:
    """Puts blocks, points and events on disk and waits until they are durable.

    Args:
        writer: The run's writer.
        protocol: Gives the set-points of each scan point.
        calibrations: Calibrations of the station.
        run_time: Dates everything.
        points: Scan points that are on disk already.
    """

    def __init__(
        self,
        writer: RunWriter,
        protocol: ExperimentProtocol,
        calibrations: Calibrations,
        run_time: RunTime,
        points: int = 0,
    ) -> None:
        self._writer = writer
        self._protocol = protocol
        self._calibrations = calibrations
        self._time = run_time
        self._points = points

    def block(
        self,
        counts: NDArray[np.int32],
        status: NDArray[np.uint8],
        facts: BlockFacts,
        on_disk: int | None = None,
    ) -> None:
        """Append a block and return when it is durable.

        Args:
            counts: Raw counts, shape (shots, detectors).
            status: What became of each shot, shape (shots,).
            facts: The rest.
            on_disk: For a block that the interrupted run had begun to write: how many of its
                shots are on disk, as is its row in the table of blocks.

        Raises:
            RecordingError, TimeoutError: The disk does not take it.
        """
        self._append_points(facts.point)
        if on_disk is None:
            # Queued before its shots: whatever is on disk of them can be told apart.
            self._writer.append_row(
                BLOCK_STREAM,
                block_step=facts.step,
                block_digest=facts.digest,
                block_shots=len(counts),
                block_fired=facts.fired_shots,
                block_clock=facts.clock,
                block_elapsed=self._time.since_began(facts.clock),
            )
        first = on_disk or 0
        fired = self._time.since_began(facts.fired)
        evenly = facts.period * np.arange(len(counts))
        starts = evenly if facts.starts is None else facts.starts
        offsets = np.rint((fired + starts) * 1e9).astype(np.int64)
        ticket = self._writer.append(
            "shot",
            {
                "time": (self._time.epoch_ns + offsets)[first:],
                "status": status[first:],
                "point_index": np.full(len(counts) - first, facts.point, dtype=np.int32),
                "counts": counts[first:],
            },
        )
        ticket.wait(ACKNOWLEDGE_WITHIN)

    def event(self, incident: Incident) -> None:
        """Append an event; it becomes durable together with the next block."""
        self._writer.annotate(
            kind=incident.kind,
            text=incident.text,
            time=self._time.stamp(incident.elapsed),
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
