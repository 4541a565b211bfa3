"""What every belief means, read from the documentation of the constructors."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

ELLIPSE_STDS = {
    "detuning_ratio_std": "relative standard deviation of detuning_ratio.",
    "pulse_area_std": "relative standard deviation of pulse_area.",
    "gain_std": "relative standard deviation of the gain.",
    "background_std": "standard deviation of the background, counts.",
}
_SEED = "of the random numbers that the estimator draws for its own check."
_SECTION = re.compile(r"^(Args|Attributes):$", re.MULTILINE)
_ENTRY = re.compile(r"^ {4}(\w[\w, ]*): (.*)$")


def meanings_of(factory: Callable[..., Any]) -> dict[str, str]:
    """Text behind each name under "Args" or "Attributes" of a class, its bases included."""
    bases = inspect.getmro(factory) if inspect.isclass(factory) else (factory,)
    found: dict[str, str] = {"seed": _SEED}
    for base in reversed(bases):
        found |= _entries(inspect.cleandoc(base.__doc__ or ""))
    return found


def _entries(text: str) -> dict[str, str]:
    parts = _SECTION.split(text)
    found: dict[str, str] = {}
    for body in parts[2::2]:
        names: list[str] = []
        for line in body.splitlines():
            entry = _ENTRY.match(line)
            if entry is not None:
                names = [name.strip() for name in entry.group(1).split(",")]
                found |= dict.fromkeys(names, entry.group(2))
            elif line.startswith("     ") and names:
                found |= dict.fromkeys(names, f"{found[names[0]]} {line.strip()}")
            elif line and not line.startswith(" "):
                break
    return found
