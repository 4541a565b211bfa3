"""The end of a run, whether its writer closed it or died: publish, verify, remove the journal.

May be killed anywhere and started again: every step leaves a state from which the same steps
lead to the same end.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from .errors import DamagedRunError, RunLockedError, storage_error
from .journal import Journal
from .journal_log import check_log
from .layout import (
    FINAL_STATES,
    DurableFiles,
    RunPaths,
    publisher_lock,
    read_commit,
    try_writer_lock,
)
from .publisher import Publisher, no_frames
from .schema import Stream
from .verification import check_store

_LOCK_PATIENCE = 0.5
_RECOVERY_PATIENCE = 60.0
_PUBLISHER_PATIENCE = 30.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Recovery:
    """What opening a dead run did. Empty when there was nothing to do."""

    live: bool = False
    repaired: tuple[str, ...] = field(default=())


def finalise(
    paths: RunPaths,
    journal: Journal,
    schema: dict[str, Stream],
    state: str,
    *,
    loss: str | None = None,
) -> list[str]:
    """Publish what the journal holds with the final `state`, verify, remove the journal.

    `loss` says what is known to be missing from the journal. Closes `journal`. Returns what is
    wrong with the store; unless that is nothing, the journal is kept beside it as
    `journal.damaged.sqlite`. Raises OSError, sqlite3.Error when the disk refuses.
    """
    damage = journal.damage()
    source = journal.frames_after if damage is None else journal.salvage_after
    publisher = Publisher.open(paths, source, schema)
    if damage is not None:
        publisher.note_gap(None, 0, None, f"journal file damaged: {damage}")
    if loss is not None:
        publisher.note_gap(None, 0, None, f"{loss}: rows acknowledged last may be lost")
    publisher.publish_all(state)
    problems = check_store(paths)
    journal.close()
    _remove_journal(paths, keep=bool(damage or loss or problems))
    return problems


def recover(paths: RunPaths) -> Recovery:
    """Finish a run whose writer died; does nothing to a finished or a live one.

    Raises RunNotFoundError, DamagedRunError, FormatVersionError, and StorageError kinds when
    the folder cannot be written.
    """
    if is_finished(paths):
        return Recovery()
    given_up = time.monotonic() + _RECOVERY_PATIENCE
    while True:
        with try_writer_lock(paths, _LOCK_PATIENCE) as free:
            if free:
                return _recover_if_needed(paths)
            if not paths.recovering.exists() or time.monotonic() > given_up:
                return Recovery(live=not is_finished(paths))


def _recover_if_needed(paths: RunPaths) -> Recovery:
    if is_finished(paths):
        return Recovery()
    try:
        with publishing_alone(paths):
            return recover_alone(paths)
    except (OSError, sqlite3.Error) as error:
        raise storage_error(error, "recovering a run", paths.root) from error


@contextlib.contextmanager
def publishing_alone(paths: RunPaths) -> Iterator[None]:
    """Hold the publishers' lock of a run whose writer's lock one holds.

    Raises RunLockedError when a dead writer's publisher process does not go away.
    """
    with publisher_lock(paths, _PUBLISHER_PATIENCE) as free:
        if not free:
            raise RunLockedError(
                f"the publisher process of the dead run {paths.root} still lives and holds "
                f"{paths.publisher_lock.name}; end it, then open the run again"
            )
        yield


def recover_alone(paths: RunPaths) -> Recovery:
    """The same, for somebody who holds both locks and knows that there is work to do.

    Raises OSError, sqlite3.Error when the disk refuses.
    """
    before = read_commit(paths)["attributes"]["cavitylab_commit"]
    swept = DurableFiles(paths.staging).clear_staging()
    paths.staging.mkdir(exist_ok=True)
    paths.recovering.touch()
    problems: list[str] = []
    done: list[str] = []
    if not paths.journal.exists():
        _recover_without_journal(paths, "the journal was missing")
    else:
        log = check_log(paths.journal)
        done = [text for text in (log.repaired, log.doubt) if text is not None]
        try:
            with contextlib.closing(Journal.open(paths.journal, read_only=False)) as journal:
                schema, end = journal.schema(), journal.end_state
                # A run that ended before (killed while being resumed) has ended that way.
                last = str(before["state"]) if before["state"] in FINAL_STATES else "interrupted"
                problems = finalise(paths, journal, schema, end or last, loss=log.loss)
        except DamagedRunError as error:
            _recover_without_journal(paths, str(error))
            _remove_journal(paths, keep=True)
    if problems:
        _log.error("%s is damaged: %s", paths.root, "; ".join(problems))
    return Recovery(repaired=(*_changes(paths, before, swept), *done))


def _changes(paths: RunPaths, before: dict[str, object], swept: list[str]) -> list[str]:
    after = read_commit(paths)["attributes"]["cavitylab_commit"]
    had = before["rows"]
    done = [
        f"{count - had.get(name, 0)} rows of {name} published from the journal"
        for name, count in after["rows"].items()
        if isinstance(had, dict) and count > had.get(name, 0)
    ]
    if after["state"] != before["state"]:
        done.append(f"state {before['state']} became {after['state']}")
    if swept:
        done.append(f"{len(swept)} temporary files removed")
    return done


def is_finished(paths: RunPaths) -> bool:
    """Whether the run has ended and everything of it is in the store."""
    state = read_commit(paths)["attributes"]["cavitylab_commit"]["state"]
    return state in FINAL_STATES and not paths.journal.exists()


def _recover_without_journal(paths: RunPaths, why: str) -> None:
    """A run that never ended and has no journal: what is published is all there is."""
    publisher = Publisher.open(paths, no_frames, {})
    publisher.note_gap(None, 0, None, f"{why}: rows acknowledged last may be lost")
    publisher.publish_all("interrupted")


def _remove_journal(paths: RunPaths, *, keep: bool) -> None:
    """Remove the journal's files (a damaged one is set aside instead) and the staging folder."""
    files = DurableFiles(paths.staging)
    for suffix in ("-shm", "-wal", ""):  # the main file last: while it is there, recovery repeats
        path = paths.root / (paths.journal.name + suffix)
        if keep and suffix != "-shm" and path.exists():
            files.rename(path, paths.root / (paths.damaged_journal.name + suffix))
        files.remove(path)
    files.clear_staging()
    with contextlib.suppress(OSError):
        paths.staging.rmdir()
    files.sync_directory(paths.root)
