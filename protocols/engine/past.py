"""What an interrupted run has already done, read from its store, for its generator to be replayed.

Every block leaves a row in the ``block`` table, queued before its shots: which step asked for it,
how many shots it has, how many the station had fired by then, and what the laboratory's clock
showed. A run killed anywhere so leaves complete blocks, and at most one at the end of which some
shots, or all, are missing.
"""

from __future__ import annotations

import json
import zlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...instruments.errors import CavityLabError
from ..recording import Run
from ..steps import Shots
from .records import BLOCK_STREAM

LEAD = 120.0
"""How long before the point of interruption a resumed rehearsal's clock starts, in s: time to
bring the laboratory back to where it was."""


class ResumeError(CavityLabError, ValueError):
    """A run cannot be resumed like this; says every difference that stands in the way."""


@dataclass(frozen=True, slots=True)
class StoredBlock:
    """One block as it was recorded.

    Attributes:
        step: Number of the protocol's step that asked for it, from 0.
        digest: Of that step, see `digest_of`.
        planned: Shots that were taken.
        fired: Shots that the station had fired in all when it was recorded.
        clock: What the laboratory's clock showed when it was recorded, in s.
        elapsed: Time since the run began, in s.
        counts: Raw counts on disk, shape (n, detectors), n <= planned.
        status: What became of these shots, shape (n,).
    """

    step: int
    digest: int
    planned: int
    fired: int
    clock: float
    elapsed: float
    counts: NDArray[np.int32]
    status: NDArray[np.uint8]

    @property
    def complete(self) -> bool:
        """Whether all of its shots are on disk."""
        return len(self.status) == self.planned

    def check(self, number: int, step: Shots) -> None:
        """Make sure that this step of the replayed protocol is the one that asked for the block.

        Raises:
            ResumeError: It is another one.
        """
        if (number, digest_of(step)) != (self.step, self.digest):
            raise ResumeError(
                f"the protocol does not ask for the same again: step {number} ({step.shots} shots, "
                f"point {step.point}) is not what step {self.step} of the stored run was. The "
                "code has changed since, or an estimate comes out differently on this computer"
            )


@dataclass(frozen=True, slots=True)
class Past:
    """The past of a run; empty for a new one.

    Attributes:
        blocks: Complete blocks, in order.
        tail: The last block, if some of its shots are missing.
        points: Scan points on disk.
        provenance: What the run was made from.
    """

    blocks: tuple[StoredBlock, ...] = ()
    tail: StoredBlock | None = None
    points: int = 0
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def last(self) -> StoredBlock | None:
        """The last complete block."""
        return self.blocks[-1] if self.blocks else None

    def covers(self, number: int) -> bool:
        """Whether step `number` lies in the past."""
        return self.last is not None and number <= self.last.step

    def queue(self) -> deque[StoredBlock]:
        """The complete blocks, to be taken one by one."""
        return deque(self.blocks)

    def laboratory_options(self) -> dict[str, str]:
        """With what seed and options a rehearsal's laboratory must be opened to go on."""
        options = dict(self.provenance["station"].get("options", {}))
        if self.last is None or options.get("clock", "virtual") != "virtual":
            return options
        options["shot"] = str(self.last.fired)
        # Not before the laboratory's beginning: coming back takes less than coming there did.
        options["time"] = repr(max(0.0, self.last.clock - LEAD))
        return options


def read_past(path: str | Path) -> Past:
    """The past of a stored run; one whose process died is recovered first.

    Raises:
        ResumeError: It is complete, being written, damaged, or keeps no table of blocks.
        RecordingError: It cannot be read.
    """
    run = Run.open(path)
    if run.state == "complete":
        raise ResumeError(f"{run.path} is complete: there is nothing to resume")
    if run.is_live:
        raise ResumeError(f"{run.path} is being written by another process: end that first")
    if run.gaps:
        raise ResumeError(
            f"{run.path} is damaged (see: cavitylab runs verify), so that the estimates of the "
            "first part cannot be computed again: start a new run"
        )
    if BLOCK_STREAM not in run.rows:
        raise ResumeError(
            f"{run.path} keeps no table of blocks, from which a run is resumed: it was recorded "
            "by an older version or not by the engine"
        )
    stored = _blocks(run.load(BLOCK_STREAM), run.load("shot"))
    tail = stored.pop() if stored and not stored[-1].complete else None
    if not all(block.complete for block in stored):
        raise ResumeError(f"{run.path}: shots of a block in its middle are missing")
    return Past(tuple(stored), tail, run.rows["point"], run.provenance)


def resume_options(path: str | Path) -> dict[str, str]:
    """Options with which to open the station of an interrupted rehearsal, so that it goes on with
    the same random numbers and drifts: ``Station.open(…, options=resume_options(path))``.

    The seed is among them.
    """
    return read_past(path).laboratory_options()


def digest_of(step: Shots) -> int:
    """Checksum of everything that a step asks for."""
    text = json.dumps(step.to_dict(), sort_keys=True, default=lambda number: number.item())
    return zlib.crc32(text.encode())


def _blocks(table: Mapping[str, Any], shots: Mapping[str, Any]) -> list[StoredBlock]:
    """The rows of the two tables put together."""
    found: list[StoredBlock] = []
    first = 0
    for row, planned in enumerate(table["block_shots"].tolist()):
        span = slice(first, first + planned)
        first += planned
        found.append(
            StoredBlock(
                step=int(table["block_step"][row]),
                digest=int(table["block_digest"][row]),
                planned=planned,
                fired=int(table["block_fired"][row]),
                clock=float(table["block_clock"][row]),
                elapsed=float(table["block_elapsed"][row]),
                counts=shots["counts"][span],
                status=shots["status"][span],
            )
        )
    return found
