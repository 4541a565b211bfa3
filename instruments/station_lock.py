"""One program at a time has the instruments of a station.

A lock belongs to the set of addresses, not to the file: a copy of a station
file, or the same file by another path, leads to the same instruments. The
operating system frees a lock when its process dies, however it dies.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from .errors import CavityLabError

__all__ = ["StationBusy", "station_lock"]


class StationBusy(CavityLabError, RuntimeError):
    """The station, or one of its instruments, is open already."""


def lock_folder() -> Path:
    """Where the locks lie: shared by all users of the computer."""
    return Path(tempfile.gettempdir()) / "cavitylab-locks"


@contextmanager
def station_lock(station: Path, addresses: Sequence[str]) -> Iterator[None]:
    """Hold every address of a station; equal addresses exclude each other on this computer.

    Raises:
        StationBusy: If another program holds one of them.
    """
    folder = lock_folder()
    with suppress(FileExistsError):
        folder.mkdir(parents=True)
        with suppress(OSError):
            folder.chmod(0o777)
    with ExitStack() as held:
        for address in sorted({address.upper() for address in addresses}):
            held.enter_context(_one(folder, address, station))
        yield


@contextmanager
def _one(folder: Path, address: str, station: Path) -> Iterator[None]:
    key = hashlib.sha256(address.encode()).hexdigest()[:24]
    owner = folder / f"{key}.owner"
    lock = FileLock(folder / f"{key}.lock", timeout=0, mode=0o666)
    try:
        lock.acquire()
    except Timeout as error:
        holder = "another program"
        with suppress(OSError):
            holder = owner.read_text(encoding="utf-8")
        raise StationBusy(
            f"Station {station} cannot be opened: {address} is in use by {holder}. Stop that "
            "program first; it makes its instruments safe when it ends."
        ) from error
    except OSError as error:
        raise StationBusy(
            f"Station {station} cannot be opened: the lock of {address} in {folder} cannot be "
            f"taken ({error}). Another user may hold it."
        ) from error
    try:
        with suppress(OSError):
            who = f"{getpass.getuser()}@{socket.gethostname()}, process {os.getpid()}, {station}"
            owner.write_text(who, encoding="utf-8")
        yield
    finally:
        with suppress(OSError):
            owner.unlink()
        lock.release()
