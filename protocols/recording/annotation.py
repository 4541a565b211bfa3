"""Notes and tags on a run that has ended: its rows stay as they are, events are added."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from . import provenance as origin
from . import strict_json
from .errors import SchemaError
from .finalise import finalise
from .frames import encode, pack
from .resuming import reopened
from .schema import EVENT, TAG


def annotate_run(path: str | Path, *, note: str | None = None, tags: Iterable[str] = ()) -> None:
    """Add a note and tags to an ended run (a dead one is recovered first); durable on return.

    The run keeps the state in which it ended. Raises RunLockedError for a live run, SchemaError
    when there is nothing to add, and what `Run.open` raises.
    """
    events: list[dict[str, Any]] = [{"kind": TAG, "tag": tag} for tag in tags]
    if note is not None:
        events.append({"kind": "note", "note": note})
    if not events or any(event.get("tag") == "" for event in events):
        raise SchemaError("an annotation needs a note or a tag that is not empty")
    common = {"time": time.time_ns(), "operator": origin.operator(), "afterwards": True}
    texts = [strict_json.dumps({**event, **common}) for event in events]
    with reopened(path, live=False) as (made, ended):
        with contextlib.closing(made.journal) as journal:
            journal.mark_end(ended)
            rows = list(encode(EVENT, {"json": texts}))
            journal.write([pack(EVENT, made.rows[EVENT.name], rows, made.next_seq)])
            finalise(made.paths, journal, made.schema, ended)
    made.lock.release()
