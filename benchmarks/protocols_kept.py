"""Outcomes of a campaign in a file, kept one by one: a stop loses nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any


class Kept:
    """What a campaign has so far, by name: its settings, one row a laboratory, the verdict.

    Args:
        path: The file; None keeps nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._all: dict[str, dict[str, Any]] = {}
        if path is not None and path.exists():
            self._all = json.loads(path.read_text(encoding="utf-8"))

    def rows(self, name: str, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
        """What there is of a name.

        Raises:
            SystemExit: It was taken with other settings.
        """
        found = self._all.get(name)
        if found is None:
            return []
        if found["settings"] != dict(settings):
            raise SystemExit(
                f"{self._path} holds {name} with other settings, {found['settings']}: another file"
            )
        return list(found["rows"])

    def add(self, name: str, settings: Mapping[str, Any], row: Any) -> None:
        """Keep one laboratory."""
        part = self._all.setdefault(name, {"settings": dict(settings), "rows": []})
        part["rows"].append(asdict(row))
        self._write()

    def judged(self, name: str, lines: Sequence[Sequence[Any]]) -> None:
        """Keep the verdict on all laboratories of a name."""
        if name in self._all:
            self._all[name]["verdict"] = list(lines)
            self._write()

    def _write(self) -> None:
        if self._path is None:
            return
        beside = self._path.with_name(self._path.name + ".new")
        beside.write_text(json.dumps(self._all, indent=1, ensure_ascii=False), encoding="utf-8")
        os.replace(beside, self._path)  # a kill leaves the old file or the new one
