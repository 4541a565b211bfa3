"""Power cuts, rebuilt: every file operation of a publisher is recorded, and the disk is put
together again as a cut after any of them may leave it.

What counts as safe: file contents after their own flush, and names after the flush of their
directory. Everything else may be lost or not, at random, each on its own. SQLite's side (the
journal's acknowledged frames) is taken as whole: it has its own tests.
"""

from __future__ import annotations

import contextlib
import shutil
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from cavitylab.protocols.recording import RecordingError, Run
from cavitylab.protocols.recording.creation import create_run
from cavitylab.protocols.recording.frames import encode, pack
from cavitylab.protocols.recording.journal import Journal
from cavitylab.protocols.recording.layout import DurableFiles, RunPaths
from cavitylab.protocols.recording.publisher import Publisher

Operation = tuple[str, Path, Path | None, bytes | None]


class RecordedFiles(DurableFiles):
    """Does everything for real, and keeps a list of what it did."""

    def __init__(self, staging: Path) -> None:
        super().__init__(staging)
        self.operations: list[Operation] = []

    def stage(self, data: bytes) -> Path:
        path = super().stage(data)
        self.operations.append(("stage", path, None, data))
        return path

    def rename(self, source: Path, target: Path) -> None:
        super().rename(source, target)
        self.operations.append(("rename", source, target, None))

    def sync_directory(self, path: Path) -> None:
        super().sync_directory(path)
        self.operations.append(("sync", path, None, None))


class Disk:
    """What is certainly on the disk, and what may be, as operations go by."""

    def __init__(self, staged_is_safe: bool = True) -> None:
        self._staged: dict[Path, bytes] = {}
        self._safe: dict[Path, bytes] = {}
        self._maybe: list[tuple[Path, bytes]] = []
        self._staged_is_safe = staged_is_safe

    def apply(self, operation: Operation) -> None:
        kind, path, target, data = operation
        if kind == "stage" and data is not None:
            self._staged[path] = data
        elif kind == "rename" and target is not None:
            self._maybe.append((target, self._staged.pop(path)))
        elif kind == "sync":
            for name, content in self._maybe:
                if name.parent == path:
                    self._safe[name] = content
            self._maybe = [item for item in self._maybe if item[0].parent != path]

    def after_cut(self, rng: np.random.Generator) -> dict[Path, bytes]:
        """Files as a power cut may leave them."""
        files = dict(self._safe)
        for name, content in self._maybe:
            if rng.random() < 0.5:
                files[name] = content
        if not self._staged_is_safe:
            for name, content in files.items():
                if rng.random() < 0.2:
                    files[name] = content[: int(rng.integers(0, len(content)))]
        return files


def _recorded_publishes(tmp_path: Path, known, publisher_class: type[Publisher]):
    """A run published in twelve steps; its operations and the journal as it was at the end."""
    made = create_run(tmp_path, "cut", known.streams, {}, "0", datetime.now())
    files = RecordedFiles(made.paths.staging)
    publisher = publisher_class.open(made.paths, made.journal.frames_after, made.schema, files)
    first_files = {p: p.read_bytes() for p in made.paths.data.rglob("*") if p.is_file()}
    row = 0
    for seq, count in enumerate([1, 3, 50, 1000, 7, 64000, 500, 70000, 2, 1, 90, 11]):
        rows = list(encode(made.schema["shot"], known.shots(row, row + count)))
        made.journal.write([pack(made.schema["shot"], row, rows, seq)])
        publisher.publish()
        files.operations.append(("published", Path(), None, str(publisher.seq).encode()))
        row += count
    made.journal.close()
    made.lock.release()
    return made.paths, first_files, files.operations, row


def _cut_and_recover(paths: RunPaths, files: dict[Path, bytes], known, rows: int, seq: int) -> None:
    """Put the disk together, check what readers see, recover, check that all is there.

    The journal has lost the frames up to `seq`: those that the writer was allowed to delete.
    """
    shutil.rmtree(paths.data)
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    whole_journal = paths.journal.read_bytes()
    with contextlib.closing(Journal.open(paths.journal, read_only=False)) as journal:
        journal.delete_all_through(seq)
    try:
        assert known.check(Run.open(paths.root, recover_dead=False).records) <= rows
        run = Run.open(paths.root)
        assert known.check_run(run) == rows
        assert run.verify().ok, run.verify().problems
    finally:
        paths.staging.mkdir(exist_ok=True)
        paths.journal.write_bytes(whole_journal)
        paths.damaged_journal.unlink(missing_ok=True)


def _campaign(tmp_path, known, publisher_class, cuts: int, staged_is_safe: bool = True) -> None:
    paths, first_files, operations, rows = _recorded_publishes(tmp_path, known, publisher_class)
    rng = np.random.default_rng(5)
    for cut in sorted(rng.integers(0, len(operations) + 1, cuts)):
        disk = Disk(staged_is_safe)
        disk._safe.update(first_files)
        seq = -1
        for operation in operations[:cut]:
            disk.apply(operation)
            if operation[0] == "published":
                seq = int(operation[3] or b"-1")
        _cut_and_recover(paths, disk.after_cut(rng), known, rows, seq)


class NoDirectoryFlush(Publisher):
    """A wrong publisher: chunks' directories are not flushed before the commit."""

    def _write_chunks(self) -> None:
        files, self._files = self._files, _WithoutSync(self._files)
        super()._write_chunks()
        self._files = files


class _WithoutSync:
    def __init__(self, files: DurableFiles) -> None:
        self.stage, self.rename = files.stage, files.rename

    def sync_directory(self, path: Path) -> None:
        """Forgotten."""


class NoRootFlush(Publisher):
    """A wrong publisher: the directory of the root metadata is not flushed after the commit."""

    def _replace(self, target: Path, data: bytes) -> None:
        self._files.rename(self._files.stage(data), target)


class RootFirst(Publisher):
    """A wrong publisher: the root metadata comes before the chunks it promises."""

    def _write_chunks(self) -> None:
        """Left for after the commit."""

    def _commit(self, state: str) -> None:
        super()._commit(state)
        super()._write_chunks()


def test_no_power_cut_loses_or_garbles_a_row(tmp_path, known):
    """Cut anywhere, the store opens, shows only right rows, and recovers them all."""
    _campaign(tmp_path, known, Publisher, cuts=15)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_power_cut_of_a_thousand_loses_or_garbles_a_row(tmp_path, known):
    """The same with a thousand cuts."""
    _campaign(tmp_path, known, Publisher, cuts=1000)


@pytest.mark.parametrize(
    ("wrong", "staged_is_safe"),
    [(NoDirectoryFlush, True), (NoRootFlush, True), (RootFirst, True), (Publisher, False)],
    ids=["no directory flush", "no root flush", "root first", "no file flush"],
)
def test_the_campaign_finds_a_careless_publisher(tmp_path, known, wrong, staged_is_safe):
    """Leave out one flush or swap the order, and the same campaign fails."""
    # Whichever check meets the loss first: wrong rows, too few, or an unreadable file.
    with pytest.raises((AssertionError, RecordingError, ValueError, OSError, RuntimeError)):
        _campaign(tmp_path, known, wrong, cuts=200, staged_is_safe=staged_is_safe)
