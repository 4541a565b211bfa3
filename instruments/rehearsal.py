"""Rehearsals: the VISA library that leads to a laboratory file, and the truth behind it.

Everything goes through the library's name, so nothing here knows the simulation.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pyvisa

from .errors import CavityLabError, StationFileError

__all__ = ["apparatus_faults", "reveal", "visa_library"]


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


def reveal(visalib: str) -> dict[str, Any]:
    """The hidden truth of the laboratory behind `visalib`.

    Raises:
        CavityLabError: If the library has nothing to reveal.
    """
    library = pyvisa.ResourceManager(visalib).visalib
    answer = getattr(library, "reveal", None)
    if answer is None:
        raise CavityLabError(f"The VISA library {visalib} has no laboratory to reveal")
    return dict(answer())


def apparatus_faults(visalib: str) -> tuple[str, ...]:
    """Why the laboratory behind `visalib` left readings out: what its physics has no answer for."""
    library = pyvisa.ResourceManager(visalib).visalib
    answer = getattr(library, "apparatus_faults", None)
    return () if answer is None else tuple(answer())
