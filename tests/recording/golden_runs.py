"""Make the golden runs of the present format: python tests/recording/golden_runs.py

One finished run and one as `kill -9` leaves it, a few kilobytes each, with every kind of array.
They are made once for each version of the format on disk and never again: later versions must
go on reading them.
"""

from __future__ import annotations

import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from cavitylab.protocols.recording import Axis, Field, RunWriter, Stream
from cavitylab.protocols.recording.layout import FORMAT

GOLDEN = Path(__file__).with_name("golden")
STREAMS = (
    Stream("point", [Field("detuning", "f8", unit="Hz", long_name="detuning")]),
    Stream(
        "shot",
        [
            Field("time", "i8"),
            Field("status", "u1"),
            Field("point_index", "i4"),
            Field("counts", "i4", dims={"detector": ["north", "south"]}),
            Field("trace", "i2", dims={"sample": 4}, unit="V", attributes={"scale_factor": 0.001}),
        ],
    ),
)
AXIS = Axis("sample_time", "sample", np.arange(4) * 1e-6, unit="s")
ORIGINS = {
    "protocol": "golden", "parameters": {"shots": 12}, "seeds": {"run": 7}, "tags": ["golden"],
    "git": {"commit": None, "dirty": None, "diff_sha256": None}, "versions": {},
    "host": {"name": "none", "system": "none"}, "operator": None,
    "scan": {"planned": 3, "grid_shape": {"detuning": 3}},
}  # fmt: skip


def shots(first: int, end: int) -> dict[str, np.ndarray]:
    k = np.arange(first, end)
    return {
        "time": 1_700_000_000_000_000_000 + 1000 * k,
        "status": 1 + k % 4,
        "point_index": k // 4,
        "counts": np.stack([k, 7 * k], axis=1),
        "trace": (10 * k[:, None] + np.arange(4)).astype("i2"),
    }


def main() -> None:
    target = GOLDEN / f"format-{FORMAT}"
    if target.exists():
        raise SystemExit(f"{target} is there already: golden runs are never made again")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("finished", "dead"):
            writer = RunWriter.create(
                folder, name, STREAMS, provenance=ORIGINS, run_id=name, publisher="thread",
                started=datetime(2026, 11, 21, 12, tzinfo=UTC), axes=[AXIS],
            )  # fmt: skip
            for detuning in (1.0, 2.0, 3.0):
                writer.append_row("point", detuning=detuning)
            writer.append("shot", shots(0, 8))
            writer.annotate(note="Γ/2π", time=5)
            writer.flush(publish=True)
            writer.append("shot", shots(8, 12))
            writer.flush()
            if name == "dead":
                ignored = shutil.ignore_patterns("*.lock")
                shutil.copytree(writer.path, target / name, ignore=ignored)
            writer.close()
            if name == "finished":
                shutil.copytree(writer.path, target / name)


if __name__ == "__main__":
    main()
