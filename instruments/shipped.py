"""Station and laboratory files by path, or by the name of one that travels with the package."""

from __future__ import annotations

import difflib
from importlib import resources
from pathlib import Path

from .errors import StationFileError

__all__ = ["find_file", "shipped_folder", "shipped_names"]


def shipped_folder() -> Path:
    """The folder of station and laboratory files that travel with the package."""
    return Path(str(resources.files(f"{__name__.split('.')[0]}.station_configs")))


def shipped_names(ending: str) -> list[str]:
    """Names of the shipped files with `ending` (``".yaml"``: station files, ``".lab.yaml"``)."""
    names = [path.name for path in shipped_folder().glob(f"*{ending}")]
    return sorted(
        name.removesuffix(ending) for name in names if "." not in name.removesuffix(ending)
    )


def find_file(name: str | Path, ending: str) -> Path:
    """The file called `name`: a path, or the name of a shipped one, with or without `ending`.

    Raises:
        StationFileError: If there is neither.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return path.resolve()
    bare = str(name).removesuffix(ending)
    shipped = shipped_names(ending)
    if bare in shipped:
        return shipped_folder() / f"{bare}{ending}"
    near = difflib.get_close_matches(bare, shipped, n=1)
    hint = f" (did you mean `{near[0]}`?)" if near else ""
    raise StationFileError(
        f"There is no file {path.absolute()} and no shipped one called `{name}`{hint}; shipped: "
        f"{', '.join(shipped) or 'none'}"
    )
