"""Rehearsals: the VISA library that leads to a laboratory file, and the truth behind it.

Everything goes through the library's name, so nothing here knows the simulation.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pyvisa

from .clock import VirtualClock
from .errors import CavityLabError, StationFileError

__all__ = ["Rehearsal", "visa_library"]


def visa_library(laboratory: Path, seed: int | None, options: Mapping[str, str]) -> str:
    """Name of a VISA library with a laboratory of its own, fresh for every call.

    Raises:
        StationFileError: If the path cannot stand in such a name.
    """
    path = str(laboratory.resolve())
    for sign in "@?":
        if sign in path:
            raise StationFileError(
                f"Laboratory file {path}: its path must not have a `{sign}`, because it becomes "
                "part of the name of a VISA library: move the file"
            )
    query = {} if seed is None else {"seed": str(seed)}
    query.update({key: str(value) for key, value in options.items()})
    query["session"] = uuid.uuid4().hex
    return f"{path}?{urlencode(query)}@cavitylab"


class Rehearsal:
    """The laboratory behind a VISA library, as far as a station may ask it.

    Args:
        visalib: Name of the library.

    Raises:
        StationFileError: If the laboratory file or an option is wrong.
        CavityLabError: If the library is no simulated laboratory.
    """

    def __init__(self, visalib: str) -> None:
        self.visalib = visalib
        # held, because pyvisa forgets a library that nobody holds
        self._manager = pyvisa.ResourceManager(visalib)
        self._library: Any = self._manager.visalib
        if not hasattr(self._library, "reveal"):
            raise CavityLabError(f"The VISA library {visalib} is no simulated laboratory")

    @property
    def options(self) -> dict[str, str]:
        """What the library's name asks of the laboratory (seed, drifts, shot, time, ...)."""
        _, _, query = self.visalib.rpartition("@")[0].partition("?")
        return {key: value for key, value in parse_qsl(query) if key != "session"}

    @property
    def virtual(self) -> bool:
        """Whether waiting costs no time: the laboratory has a virtual clock."""
        return isinstance(self._library.clock, VirtualClock)

    def reveal(self) -> dict[str, Any]:
        """The hidden truth, averaged over the shots taken so far."""
        return dict(self._library.reveal())

    def apparatus_faults(self) -> tuple[str, ...]:
        """What the simulated physics had no honest answer for, oldest first."""
        return tuple(self._library.apparatus_faults())
