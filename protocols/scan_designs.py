"""Which values the settings of a scanned protocol take: a grid, at random, in refining levels."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np

Values: TypeAlias = dict[str, float]
"""One value of each setting that varies."""

Goal: TypeAlias = Literal["least_std", "least", "greatest"]
"""What makes a part of a scan the best: the smallest std, the smallest or the largest value."""


class Design(Protocol):
    """Values for the parts of a scan, level by level."""

    @property
    def settings(self) -> tuple[str, ...]:
        """Names of the settings that vary."""
        ...

    @property
    def levels(self) -> int:
        """How often the scan looks at what it has found."""
        ...

    @property
    def most(self) -> int:
        """Largest number of parts."""
        ...

    def level(self, number: int, best: Values | None) -> list[Values]:
        """Values of a level, given the best so far; None where nothing is known yet."""
        ...

    def to_json(self) -> dict[str, Any]:
        """The design in JSON's types."""
        ...


@dataclass(frozen=True, slots=True)
class Grid:
    """Every combination of the listed values.

    Args:
        values: Values of each setting.

    Raises:
        ValueError: No setting, or one without values.
    """

    values: Mapping[str, Sequence[float]]

    def __post_init__(self) -> None:
        if not self.values or not all(len(listed) for listed in self.values.values()):
            raise ValueError("a grid needs at least one setting, and values of each")

    @property
    def settings(self) -> tuple[str, ...]:
        """Names of the settings that vary."""
        return tuple(self.values)

    @property
    def levels(self) -> int:
        """All at once."""
        return 1

    @property
    def most(self) -> int:
        """Number of combinations."""
        return math.prod(len(listed) for listed in self.values.values())

    def level(self, number: int, best: Values | None) -> list[Values]:
        """All combinations, the last setting fastest."""
        del number, best
        return [
            dict(zip(self.values, one, strict=True))
            for one in itertools.product(*self.values.values())
        ]

    def to_json(self) -> dict[str, Any]:
        """The listed values."""
        return {"grid": {name: list(listed) for name, listed in self.values.items()}}


@dataclass(frozen=True, slots=True)
class Random:
    """Values drawn evenly from ranges, the same for the same seed.

    Args:
        ranges: (lowest, highest) of each setting.
        draws: How many.
        seed: Of the draws.

    Raises:
        ValueError: No setting, a range that does not rise, or no draw.
    """

    ranges: Mapping[str, tuple[float, float]]
    draws: int
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.ranges or self.draws < 1:
            raise ValueError("random values need at least one setting and one draw")
        for name, (low, high) in self.ranges.items():
            _check_range(name, low, high)

    @property
    def settings(self) -> tuple[str, ...]:
        """Names of the settings that vary."""
        return tuple(self.ranges)

    @property
    def levels(self) -> int:
        """All at once."""
        return 1

    @property
    def most(self) -> int:
        """The draws."""
        return self.draws

    def level(self, number: int, best: Values | None) -> list[Values]:
        """The draws, in order."""
        del number, best
        rng = np.random.default_rng([0x7363616E, self.seed])  # "scan"
        return [
            {name: float(rng.uniform(*ends)) for name, ends in self.ranges.items()}
            for _ in range(self.draws)
        ]

    def to_json(self) -> dict[str, Any]:
        """Ranges, number and seed of the draws."""
        ranges = {name: list(ends) for name, ends in self.ranges.items()}
        return {"random": ranges, "draws": self.draws, "seed": self.seed}


@dataclass(frozen=True, slots=True)
class Refined:
    """One setting in levels: evenly over the range, then ever closer about the best so far.

    Args:
        setting: Its name.
        low, high: The range.
        points: Values of a level, 3 or more; those measured before are not measured again.
        levels: How many levels.

    Raises:
        ValueError: On values outside these rules.
    """

    setting: str
    low: float
    high: float
    points: int = 5
    levels: int = 3

    def __post_init__(self) -> None:
        _check_range(self.setting, self.low, self.high)
        if self.points < 3 or self.levels < 1:
            raise ValueError(
                f"refining takes at least 3 points and 1 level, but got {self.points} and "
                f"{self.levels}"
            )

    @property
    def settings(self) -> tuple[str, ...]:
        """The one setting."""
        return (self.setting,)

    @property
    def most(self) -> int:
        """If no level met a value of an earlier one."""
        return self.points * self.levels

    def level(self, number: int, best: Values | None) -> list[Values]:
        """Evenly spaced values: the whole range, then an old spacing to each side of the best.

        (Half of one where there are only 3 or 4 points.)
        """
        reach = 0.5 * (self.high - self.low)
        middle = self.low + reach
        if number:
            reach *= min(0.5, 2.0 / (self.points - 1)) ** number
            middle = middle if best is None else best[self.setting]
        low, high = max(self.low, middle - reach), min(self.high, middle + reach)
        # Rounded to a millionth of the range: so a value met again is known as the same.
        grain = 1e-6 * (self.high - self.low)
        values = self.low + grain * np.round(
            (np.linspace(low, high, self.points) - self.low) / grain
        )
        return [{self.setting: float(value)} for value in values]

    def to_json(self) -> dict[str, Any]:
        """The range and the levels."""
        ends = {self.setting: [self.low, self.high]}
        return {"refined": ends, "points": self.points, "levels": self.levels}


def _check_range(name: str, low: float, high: float) -> None:
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"the range of {name} must rise, but is [{low!r}, {high!r}]")
