"""Where a run comes from: code, versions, machine."""

from __future__ import annotations

import functools
import getpass
import hashlib
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Any

_PACKAGES = ("cavitylab", "numpy", "scipy", "xarray", "zarr", "qcodes", "pyvisa")
_PACKAGE_DIRECTORY = Path(__file__).resolve().parents[2]
_GIT_SECONDS = 10.0


@functools.cache
def running_code() -> Mapping[str, Any]:
    """Git state of this package, looked up once: later edits are not what is running."""
    return MappingProxyType(git_state())


def git_state(directory: Path | None = None) -> dict[str, Any]:
    """Commit, whether the tree differs from it, and a hash of the difference.

    Describes the repository that *tracks* `directory` (default: this package's own source).
    All None where there is no git, no repository, or one that merely surrounds the files (an
    environment inside somebody's repository).
    """
    directory = directory or _PACKAGE_DIRECTORY
    unknown: dict[str, Any] = {"commit": None, "dirty": None, "diff_sha256": None}
    if not _git(directory, "ls-files", "--", "."):
        return unknown
    commit = _git(directory, "rev-parse", "HEAD")
    changes = _git(directory, "status", "--porcelain", "--untracked-files=normal")
    difference = _git(directory, "diff", "HEAD", "--no-ext-diff", "--binary")
    if commit is None or changes is None or difference is None:
        return unknown
    return {
        "commit": commit.decode().strip(),
        "dirty": bool(changes.strip()),
        "diff_sha256": hashlib.sha256(difference).hexdigest() if difference else None,
    }


@functools.cache
def versions() -> Mapping[str, str]:
    """Versions of Python and of the packages that a result depends on."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return MappingProxyType(found)


def operator() -> str | None:
    """Name of the logged-in user, None where the system knows none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return None


def host() -> dict[str, str]:
    return {"name": platform.node(), "system": f"{platform.system()} {platform.release()}"}


def _git(directory: Path, *arguments: str) -> bytes | None:
    """Output of a git command that changes nothing, None when it fails."""
    command = ["git", "--no-optional-locks", "-C", str(directory), *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=_GIT_SECONDS, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
