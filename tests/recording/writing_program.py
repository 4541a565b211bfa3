"""Write known rows until killed; tell the pipe the path, then every acknowledged count.

Given: pipe, root (or path of a run to resume), seed, largest_block, pause (s between blocks).
Closes the run at stop_at rows, if given.
With publisher ("process" or "thread") the first message is (path, publisher's process id).
"""

import time
from typing import Any

import numpy as np

from cavitylab.protocols.recording import Field, RunWriter, Stream

pipe: Any = globals()["pipe"]
settings = globals()
rng = np.random.default_rng(settings["seed"])
streams = [
    Stream("point", [Field("detuning", "f8", unit="Hz")]),
    Stream(
        "shot",
        [
            Field("time", "i8"),
            Field("status", "u1"),
            Field("point_index", "i4"),
            Field("counts", "i4", dims={"detector": ["north", "south"]}),
        ],
    ),
]
where = settings.get("publisher", "thread")
if settings.get("path"):
    writer = RunWriter.resume(settings["path"], publisher=where)
else:
    writer = RunWriter.create(settings["root"], "killed", streams, publisher=where)
path = str(writer.path)
row = writer.appended["shot"]
pipe.send((path, writer.publisher_pid) if "publisher" in settings else path)
writer.on_durable(lambda rows: pipe.send(rows["shot"]))
while row < settings.get("stop_at", 1 << 62):
    k = np.arange(row, row + rng.integers(1, settings["largest_block"] + 1))
    rows = {
        "time": 1_700_000_000_000_000_000 + 1000 * k,
        "status": 1 + k % 4,
        "point_index": k // 100,
        "counts": np.stack([k, 7 * k % 1_000_003], axis=1),
    }
    if len(k) == 1:
        writer.append_row("shot", **{name: column[0] for name, column in rows.items()})
    else:
        writer.append("shot", rows)
    row += len(k)
    if rng.random() < 0.1:
        writer.annotate(note=f"row {row}")
    time.sleep(rng.exponential(settings["pause"]))
writer.close()
