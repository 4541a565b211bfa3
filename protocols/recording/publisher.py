"""Publishing: from the journal to the zarr store that everybody reads.

The only writer of `data.zarr`, and the whole of recovery: a dead run is published by exactly
this code. The order makes it safe to be killed anywhere: chunks are flushed, renamed into place
and their directories flushed before the root metadata, which alone says how many rows there
are, is replaced. Later publishes replace a chunk only by one with the same committed rows.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from .encoding import ChunkEncoder, GrowingArray, Metadata, chunk_key, root_metadata, to_bytes
from .errors import DamagedRunError
from .frames import Columns, Frame, decode, missing_rows
from .layout import DurableFiles, RunPaths, read_commit
from .schema import EVENT, MISSING, TAG, Stream

BATCH_BYTES = 64 << 20
"""Most payload bytes taken from the journal for one publish: bounds the memory."""


FrameSource = Callable[[int, int], list[Frame]]
"""Journal frames after a number, in order, of about so many bytes; empty when there are none."""


def no_frames(seq: int, limit_bytes: int) -> list[Frame]:
    """The source of a run whose journal is gone."""
    return []


class Publisher:
    """Takes frames from the journal in order and commits them to the store."""

    def __init__(
        self,
        paths: RunPaths,
        source: FrameSource,
        schema: dict[str, Stream],
        document: Metadata,
        files: DurableFiles,
    ) -> None:
        self._paths, self._source, self._schema, self._files = paths, source, schema, files
        self._metadata: dict[str, Metadata] = document["consolidated_metadata"]["metadata"]
        self._attributes: Metadata = document["attributes"]
        commit = self._attributes["cavitylab_commit"]
        self.seq = int(commit["journal_seq"])
        self.rows: dict[str, int] = {**dict.fromkeys(schema, 0), **commit["rows"]}
        self.gaps: list[dict[str, Any]] = list(commit["gaps"])
        self.seconds = 0.0
        # An earlier publisher may have died before it renewed the arrays' own metadata.
        self._stale = set(self._metadata)
        self._encoder = ChunkEncoder(self._metadata)
        self._arrays = {
            name: GrowingArray(name, document, document["fill_value"])
            for name, document in self._metadata.items()
        }

    @classmethod
    def open(
        cls,
        paths: RunPaths,
        source: FrameSource,
        schema: dict[str, Stream],
        files: DurableFiles | None = None,
    ) -> Publisher:
        """Go on from what is committed on disk."""
        files = files or DurableFiles(paths.staging)
        publisher = cls(paths, source, schema, read_commit(paths), files)
        publisher._restore_tails()
        return publisher

    def publish(self, state: str | None = None) -> bool:
        """Commit the next batch of frames; False when there was none.

        `state` None keeps the state; given, it is committed even without new frames. Raises
        OSError or sqlite3.Error: the publisher must then be opened anew, for it holds rows
        that the disk does not.
        """
        started = time.perf_counter()
        frames = self._source(self.seq, BATCH_BYTES)
        if not frames and state is None:
            return False
        for frame in frames:
            self._take(frame)
        self._write_chunks()
        self._commit(state or self.state)
        self.seconds = time.perf_counter() - started
        return bool(frames)

    def publish_through(
        self, seq: int, published: Callable[[int], None] = lambda seq: None
    ) -> None:
        """Commit batches up to frame `seq` at least, and tell after each."""
        started = time.perf_counter()
        while self.seq < seq and self.publish():
            published(self.seq)
        self.seconds = time.perf_counter() - started

    @property
    def state(self) -> str:
        """State of the run as committed last."""
        return str(self._attributes["cavitylab_commit"]["state"])

    def publish_all(self, state: str) -> None:
        """Commit everything in the journal, the last batch with `state`."""
        while self.publish():
            pass
        self.publish(state)

    def note_gap(self, stream: str | None, first: int, end: int | None, reason: str) -> None:
        """Remember rows that are lost (`end` None: how many is unknown)."""
        gap = {"stream": stream, "first": first, "end": end, "reason": reason}
        if gap not in self.gaps:  # a repeated recovery finds the same damage again
            self.gaps.append(gap)

    def create_array_files(self, names: Iterable[str] | None = None) -> None:
        """Write new arrays' own metadata (default: all), before the commit that names them."""
        new = list(self._metadata if names is None else names)
        for name in new:
            self._files.make_directory(self._paths.data / name)
        self._put(
            {self._paths.data / name / "zarr.json": to_bytes(self._metadata[name]) for name in new}
        )
        self._files.sync_directory(self._paths.data)

    def write_constant(self, name: str, values: np.ndarray[Any, Any]) -> None:
        """Fill a one-chunk array that never grows, before the first commit."""
        self._arrays[name].append(values)

    # --- rows -----------------------------------------------------------------------------

    def _take(self, frame: Frame) -> None:
        self.seq = frame.seq
        stream = self._schema.get(frame.stream)
        columns = self._columns(stream, frame)
        if stream is None or columns is None:
            self._take_damaged(stream, frame)
            return
        have = self.rows[stream.name]
        if frame.row0 > have:
            self._fill(stream, frame.row0 - have, "frames missing from the journal")
            have = frame.row0
        skip = have - frame.row0
        if skip < frame.count:
            self._append(stream, {name: column[skip:] for name, column in columns.items()})

    @staticmethod
    def _columns(stream: Stream | None, frame: Frame) -> Columns | None:
        if stream is None or not frame.intact:
            return None
        try:
            return decode(stream, frame)
        except (DamagedRunError, UnicodeDecodeError):
            return None

    def _take_damaged(self, stream: Stream | None, frame: Frame) -> None:
        """Fill in for a frame whose checksum fails, as far as its place can be believed."""
        reason = f"checksum of journal frame {frame.seq} failed"
        if stream is None:
            self.note_gap(None, 0, None, reason)
            return
        have = self.rows[stream.name]
        fits = frame.plausible(stream)
        if fits and frame.row0 <= have < frame.row0 + frame.count:
            self._fill(stream, frame.row0 + frame.count - have, reason)
        else:
            # The next sound frame of the stream shows how many rows are gone.
            self.note_gap(stream.name, have, None, reason)

    def _fill(self, stream: Stream, count: int, reason: str) -> None:
        first = self.rows[stream.name]
        self.note_gap(stream.name, first, first + count, reason)
        self._append(stream, missing_rows(stream, count))

    def _append(self, stream: Stream, columns: Columns) -> None:
        count = 0
        for one in stream.fields:
            column = columns[one.name]
            count = len(column)
            if not one.is_text:
                self._arrays[one.name].append(column)
                continue
            if stream.name == EVENT.name:
                self._note_tags(column)
            texts = [text.encode() for text in column]
            data = self._arrays[stream.text_bytes(one)]
            ends = data.length + np.cumsum([len(text) for text in texts], dtype=np.int64)
            data.append(np.frombuffer(b"".join(texts), np.uint8))
            self._arrays[stream.text_ends].append(ends)
        self.rows[stream.name] += count

    def _note_tags(self, texts: list[str]) -> None:
        """Events that tag the run: their words go to the root attributes with the event."""
        about = self._attributes["cavitylab"]
        for text in texts:
            if f'"kind":"{TAG}"' not in text:
                continue
            event = json.loads(text)
            if event.get("kind") == TAG and isinstance(event.get("tag"), str):
                tags = list(about.get("tags") or ())
                about["tags"] = tags if event["tag"] in tags else [*tags, event["tag"]]

    # --- disk -----------------------------------------------------------------------------

    def _write_chunks(self) -> None:
        """Stage every changed chunk, rename all, flush the directories touched."""
        chunks: dict[Path, bytes] = {}
        for name, array in self._arrays.items():
            for index, chunk in array.changed():
                target = self._paths.data / name / chunk_key(index, chunk.ndim)
                chunks[target] = self._encoder.encode(name, chunk)
        self._put(chunks)

    def _commit(self, state: str) -> None:
        """Replace the root metadata: from here on the new rows exist. Then the arrays' own."""
        for name, array in self._arrays.items():
            if self._metadata[name]["shape"][0] != array.length:
                self._metadata[name]["shape"][0] = array.length
                self._stale.add(name)
        self._attributes["cavitylab_commit"] = {
            "state": state,
            "rows": dict(self.rows),
            "journal_seq": self.seq,
            "gaps": self.gaps,
            "published_at": datetime.now(UTC).isoformat(),
        }
        self._replace(self._paths.commit, root_metadata(self._attributes, self._metadata))
        own = {name: to_bytes(self._metadata[name]) for name in sorted(self._stale)}
        self._put({self._paths.data / name / "zarr.json": data for name, data in own.items()})
        self._stale.clear()

    def _put(self, files: dict[Path, bytes]) -> None:
        """Flush the contents, then rename, then flush the directories touched."""
        staged = self._files.stage_all(files.values())
        for source, target in zip(staged, files, strict=True):
            self._files.rename(source, target)
        self._files.sync_directories(sorted({target.parent for target in files}))

    def _replace(self, target: Path, data: bytes) -> None:
        self._files.rename(self._files.stage(data), target)
        self._files.sync_directory(target.parent)

    def _restore_tails(self) -> None:
        """Read back the unfinished chunks. One that cannot be read is given up, not the run."""
        group = zarr.open_group(self._paths.data, mode="r", use_consolidated=True)
        lost: list[tuple[str, int, int, Exception]] = []
        for name, array in self._arrays.items():
            start, end = array.tail_start, array.length
            if start == end:
                continue
            key = chunk_key(start // array.chunk_rows, 1 + len(array.row_shape))
            try:
                if not (self._paths.data / name / key).is_file():
                    raise FileNotFoundError("the file is missing")
                stored = group[name]
                array.restore(np.asarray(stored[start:end]))  # type: ignore[index]
            except Exception as error:  # codecs raise whatever they like on damaged bytes
                lost.append((name, start, end, error))
        for loss in lost:
            self._lose_tail(*loss)

    def _lose_tail(self, name: str, start: int, end: int, error: Exception) -> None:
        dimension = self._metadata[name]["dimension_names"][0]
        reason = f"chunk at row {start} of array {name!r} unreadable: {error}"
        self.note_gap(dimension, start, end, reason)
        status = self._arrays.get("status")
        if status is not None and self._metadata["status"]["dimension_names"][0] == dimension:
            status.overwrite(start, MISSING)
