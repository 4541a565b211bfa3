"""RunWriter: a new run, row after row, none of them lost once acknowledged."""

from __future__ import annotations

import sqlite3
import threading
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from . import provenance as origin
from . import strict_json
from .creation import CreatedRun, create_run
from .errors import DamagedRunError, RecordingError, SchemaError, storage_error
from .finalise import finalise
from .frames import Rows, encode
from .journal_thread import DurableCallback, JournalThread
from .layout import read_commit
from .publish_thread import PublishThread
from .resuming import reopened
from .row_queue import Ticket
from .schema import EVENT, TAG, Axis, Stream

EndState = Literal["complete", "stopped", "failed"]
PublisherPlace = Literal["auto", "process", "thread"]


class RunWriter:
    """The only writer of one run; make it with `RunWriter.create`, use it in a `with` block.

    `append` may be called from several threads. Nothing but this object writes to the run.
    """

    def __init__(self, made: CreatedRun, run_id: str, publisher: PublisherPlace) -> None:
        paths, journal, schema = made.paths, made.journal, made.schema
        self._paths, self._run_id, self._schema, self._lock = paths, run_id, schema, made.lock
        self._journal = journal
        self._closed = False
        self._appending = threading.Lock()
        self._journal_thread = JournalThread(
            journal, schema, rows=made.rows, next_seq=made.next_seq
        )
        self._publish_thread = PublishThread(schema, self._journal_thread, paths, publisher)
        self._journal_thread.start()
        self._publish_thread.start()

    @classmethod
    def create(
        cls,
        root: str | Path,
        title: str,
        streams: Iterable[Stream],
        *,
        provenance: Mapping[str, Any] | None = None,
        run_id: str | None = None,
        started: datetime | None = None,
        publisher: PublisherPlace = "auto",
        axes: Sequence[Axis] = (),
    ) -> Self:
        """A new run in `<root>/<date>/<time>_<title>_<run_id>/`, readable at once.

        `provenance` is any dictionary with a strict JSON form: all of it is stored, and its
        small, well-known entries (protocol, parameters, seeds, tags, operator, scan) become
        root attributes. Git commit, versions, host and start time are added. `started` (local
        time, default now) names the directory. Rows are moved to the store by a child process
        (`publisher="process"`, for fast runs), by a thread of this process ("thread", for slow
        ones), or by a thread that hands over to a child once the run turns out to be fast.
        `axes` are the fixed coordinates of traces, such as their sample times.

        Raises RunExistsError, ReadOnlyFolderError, DiskFullError, SchemaError; a directory
        that was begun then holds no run.
        """
        started = (started or datetime.now()).astimezone()
        run_id = run_id or uuid.uuid4().hex[:8]
        made = create_run(Path(root), title, list(streams), provenance or {}, run_id, started, axes)
        return cls._started(made, run_id, publisher)

    @classmethod
    def resume(
        cls,
        path: str | Path,
        streams: Iterable[Stream] = (),
        *,
        publisher: PublisherPlace = "auto",
    ) -> Self:
        """Go on with a run that ended or died: the next row follows the last one stored.

        A dead run is recovered first, so that `appended` counts everything ever acknowledged.
        The streams are those of the run; `streams` may repeat them and add new ones. An event
        of kind "resumed" says how the run had ended and which code goes on with it.

        Raises RunLockedError while somebody writes the run, SchemaError when a stream differs,
        and what `Run.open` raises.
        """
        with reopened(path, streams) as (made, ended):
            pass  # from here on the writer publishes
        about = read_commit(made.paths)["attributes"]["cavitylab"]
        writer = cls._started(made, str(about["run_id"]), publisher)
        writer.annotate(
            kind="resumed",
            previous_state=ended,
            rows=made.rows,
            git=origin.running_code(),
            versions=origin.versions(),
            host=origin.host(),
            operator=origin.operator(),
        )
        return writer

    @classmethod
    def _started(cls, made: CreatedRun, run_id: str, publisher: PublisherPlace) -> Self:
        try:
            return cls(made, run_id, publisher)
        except BaseException:
            made.journal.close()
            made.lock.release()
            raise

    @property
    def path(self) -> Path:
        """The run directory; `data.zarr` in it opens with any zarr library."""
        return self._paths.root

    @property
    def run_id(self) -> str:
        return self._run_id

    @property
    def publisher_pid(self) -> int | None:
        """Process that publishes the run; None while a thread of this one does."""
        return self._publish_thread.process_id

    @property
    def appended(self) -> dict[str, int]:
        """Rows appended so far, by stream."""
        return self._journal_thread.appended

    @property
    def acknowledged(self) -> dict[str, int]:
        """Rows acknowledged so far, by stream."""
        return self._journal_thread.durable

    def append(self, stream: str, columns: Mapping[str, Any]) -> Ticket:
        """Append n rows: an array of n rows for each field of the stream.

        Copies the data and returns at once, unless the queue is full. Raises SchemaError
        (nothing appended), and RecordingError once the recording has failed.
        """
        declared = self._schema.get(stream)
        if declared is None:
            raise SchemaError(f"no stream {stream!r}; this run has {sorted(self._schema)}")
        pieces = encode(declared, columns)
        with self._appending:  # the pieces of one call stay together
            spans: list[tuple[int, int]] = []
            rows: Rows | None = next(pieces)
            while rows is not None:
                following = next(pieces, None)
                more = following is not None
                spans.append(self._journal_thread.submit(stream, rows, more=more))
                rows = following
        return Ticket(spans[0][0], spans[-1][1], self._journal_thread.queues[stream])

    def append_row(self, stream: str, **values: Any) -> Ticket:
        """Append one row, a value for each field; the quick way for rows of numbers."""
        queue = self._journal_thread.queues.get(stream)
        ticket = queue.push(values) if queue is not None else None
        if ticket is not None:
            return ticket
        return self.append(stream, {name: [value] for name, value in values.items()})

    def annotate(self, **content: Any) -> Ticket:
        """Append an event (a note, a guard, an estimate): any strict JSON content.

        `time` (ns since 1970) and `kind` ("note") are added if missing.
        """
        content.setdefault("time", time.time_ns())
        content.setdefault("kind", "note")
        return self.append(EVENT.name, {"json": [strict_json.dumps(content, "event")]})

    def tag(self, *names: str) -> None:
        """Mark the run with words to find it by; they appear in the root attributes."""
        for name in names:
            self.annotate(kind=TAG, tag=name)

    def flush(self, *, publish: bool = False, timeout: float | None = None) -> None:
        """Wait until everything appended is acknowledged; with `publish`, also in the store.

        Raises RecordingError when it cannot be, TimeoutError.
        """
        self._journal_thread.wait_all(timeout)
        if publish:
            self._publish_thread.publish_now(timeout)

    def on_durable(self, callback: DurableCallback) -> None:
        """Call `callback({stream: acknowledged rows})` after every commit, from another thread.

        What it raises is logged and goes no further.
        """
        self._journal_thread.callbacks.append(callback)

    def close(self, state: EndState = "complete") -> None:
        """Acknowledge and publish everything, verify, remove the journal, unlock.

        Idempotent. Every ticket is settled afterwards. Raises RecordingError when rows could
        not be stored; the journal then stays, and opening the run recovers what is in it.
        """
        if self._closed:
            return
        self._closed = True
        try:
            self._journal_thread.stop(state)
            self._publish_thread.stop()
            failure = self._journal_thread.error
            problems = finalise(
                self._paths, self._journal, self._schema, "failed" if failure else state
            )
            if failure is not None:
                raise failure
            if problems:
                raise DamagedRunError(
                    f"{self.path} was written but cannot be read back: {'; '.join(problems)}. "
                    "Check the disk"
                )
        except (OSError, sqlite3.Error) as error:
            raise storage_error(error, "finalising the run", self.path) from error
        finally:
            self._publish_thread.close()
            self._journal.close()
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
            return
        try:
            self.close("stopped" if isinstance(error, KeyboardInterrupt) else "failed")
        except RecordingError as second:
            # The first error is the one that explains; the second must not hide it.
            error.add_note(f"closing the run failed too: {second}")
