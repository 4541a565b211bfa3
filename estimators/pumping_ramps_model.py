"""Populations along stairs of the pump, and the likelihood of counts after them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln

from ..models.pumped_superradiance_modes import mode_ramp, modes_needed, stationary_modes
from ..models.pumped_superradiance_records import quadrature
from ..models.pumped_superradiance_stepping import elements
from .pumping_beliefs import Calibrated, check_atoms
from .records import RecordError, good_shots, read_column, read_counts

Array = NDArray[np.float64]

_STEP = 2e-5  # relative, of the differences by u_c and gamma
_ERROR = 1e-9  # of the populations, far below what the differences need
_FLOOR = 1e-9
_MOST_STAIRS = 5000
_POINTS = 4  # of the curve through which the half level is found


@dataclass(frozen=True, slots=True, order=True)
class Stairs:
    """Where on a ramp a shot was counted: direction (1 up, -1 down), stairs climbed."""

    direction: int
    climbed: int


@dataclass(frozen=True, slots=True)
class RampBeliefs:
    """What is known before the first shot.

    Args:
        atoms: N.
        up, down: Pump before the ramp (first) and on each of its stairs, in the knob's unit.
        stair: Time of a stair.
        decay: gamma, believed, per unit of time: where its search begins.
        critical_pump: u_c, believed: where its search begins.
        gain: Counts per excited atom.
        background: Counts of a gate.

    Raises:
        ValueError: on values outside these rules.
    """

    atoms: int
    up: tuple[float, ...]
    down: tuple[float, ...]
    stair: float
    decay: float
    critical_pump: float
    gain: Calibrated
    background: Calibrated

    def __post_init__(self) -> None:
        check_atoms(self.atoms, 0.0)
        for name in ("stair", "decay", "critical_pump"):
            if not getattr(self, name) > 0.0:
                raise ValueError(
                    f"Argument `{name}` must be above zero, but is {getattr(self, name)!r}."
                )
        for ramp in (self.up, self.down):
            if not 2 <= len(ramp) <= _MOST_STAIRS or min(ramp) < 0.0:
                raise ValueError(
                    f"A ramp must have 2 to {_MOST_STAIRS} pumps, none of them negative, but has "
                    f"{len(ramp)}."
                )

    def ramp(self, direction: int) -> tuple[float, ...]:
        """The pumps of one direction."""
        return self.up if direction > 0 else self.down


def read_ramps(
    records: Mapping[str, ArrayLike], beliefs: RampBeliefs
) -> tuple[list[tuple[Stairs, int]], int]:
    """Place and count of each good shot, and how many were left out.

    Raises:
        RecordError: on columns that cannot be used.
    """
    counts, rejected = read_counts(records, 1)
    total = len(counts) + rejected
    good = good_shots(records, total)
    direction = read_column(records, "direction", (total,), good, lowest=-1.0)
    climbed = read_column(records, "stairs", (total,), good, lowest=1.0)
    found = []
    for way, stairs, count in zip(direction, climbed, counts[:, 0], strict=True):
        if way not in (-1.0, 1.0):
            raise RecordError(f"Column `direction` must be 1 or -1, but has {way!r}.")
        most = len(beliefs.ramp(int(way))) - 1
        if stairs != round(stairs) or stairs > most:
            raise RecordError(
                f"Column `stairs` must be a whole number up to {most}, but has {stairs!r}."
            )
        found.append((Stairs(int(way), int(stairs)), int(count)))
    return found, rejected


class RampLikelihood:
    """Log-probabilities of distinct (place, count) pairs.

    Args:
        beliefs: N and the ramps.
        seen: How often each count was seen at each place.
    """

    def __init__(self, beliefs: RampBeliefs, seen: Mapping[Stairs, Mapping[int, int]]) -> None:
        self.beliefs = beliefs
        self.places = tuple(sorted(seen))
        self._pair_place = np.array(
            [index for index, place in enumerate(self.places) for _ in seen[place]], dtype=np.intp
        )
        pairs = [
            (count, seen[place][count]) for place in self.places for count in sorted(seen[place])
        ]
        self._counts = np.array([count for count, _ in pairs], dtype=np.float64)
        self._repeats = np.array([repeat for _, repeat in pairs], dtype=np.float64)
        self._log_factorials = gammaln(self._counts + 1.0)
        self._kept: dict[tuple[float, float], Array] = {}
        reach = (
            1.3
            * 0.5
            * beliefs.atoms
            * max(abs(pump / beliefs.critical_pump - 1.0) for pump in (*beliefs.up, *beliefs.down))
        )
        self._last = modes_needed(beliefs.atoms, reach)
        nodes, self._basis = quadrature(1.0 / beliefs.atoms, self._last)
        self._numbers = 0.5 * beliefs.atoms * (1.0 + nodes)

    @property
    def ramp_pumps(self) -> Array:
        """(places,) the pump of the linear ramp that the stairs stand for, when it is counted.

        A stair stands for half of its height to both sides; its end is half a stair on.
        """
        return np.array([self._ramp_pump(place.direction, place.climbed) for place in self.places])

    def numbers(self, critical: float, decay: float) -> Array:
        """(places,) expected number of excited atoms."""
        found: Array = self._weights(critical, decay) @ self._numbers
        return found

    def half_excited(self, direction: int, critical: float, decay: float) -> float | None:
        """The linear ramp's pump when half of the atoms are excited, of the stairs as played.

        The expected numbers after each stair are interpolated; None where they do not pass N/2.
        """
        last = max((p.climbed for p in self.places if p.direction == direction), default=0)
        stairs = range(1, last + 1)
        found = self._climb(direction, stairs, critical, decay) @ self._numbers
        off = found - 0.5 * self.beliefs.atoms
        passed = np.flatnonzero(off[1:] * off[:-1] <= 0.0)
        if not passed.size:
            return None
        first = max(0, min(int(passed[0]) - 1, off.size - _POINTS))
        near = slice(first, first + _POINTS)
        pumps = [self._ramp_pump(direction, stair) for stair in stairs[near]]
        return float(np.polyfit(off[near], pumps, len(pumps) - 1)[-1])

    def _ramp_pump(self, direction: int, climbed: int) -> float:
        pumps = self.beliefs.ramp(direction)
        return 1.5 * pumps[climbed] - 0.5 * pumps[climbed - 1]

    def pairs_places(self) -> list[Stairs]:
        """The place of each pair."""
        return [self.places[index] for index in self._pair_place]

    def means(self) -> tuple[Array, Array]:
        """Mean counts at each place, and the shots taken there."""
        size = len(self.places)
        shots: Array = np.bincount(self._pair_place, self._repeats, minlength=size).astype(
            np.float64
        )
        total = np.bincount(self._pair_place, self._repeats * self._counts, minlength=size)
        return total / shots, shots

    def spreads(self) -> Array:
        """(places,) variance of the counts of one shot, never below that of their mean."""
        mean, shots = self.means()
        off = (self._counts - mean[self._pair_place]) ** 2 * self._repeats
        total = np.bincount(self._pair_place, off, minlength=len(self.places))
        found: Array = np.maximum(total / np.maximum(shots - 1.0, 1.0), mean)
        return found

    def evaluate(
        self, critical: float, decay: float, gain: float, background: float
    ) -> tuple[Array, Array, Array]:
        """Logs (pairs,), scores (pairs, 4) by ln u_c, ln gamma, ln g and b, and repeats."""
        weights, by_critical, by_decay = self._with_slopes(critical, decay)
        mean = gain * self._numbers + max(background, _FLOOR)
        exponents = self._counts[:, None] * np.log(mean) - mean - self._log_factorials[:, None]
        kernel = np.exp(exponents)
        at = self._pair_place
        chance = np.maximum((kernel * weights[at]).sum(axis=1), 1e-300)
        pull = (self._counts[:, None] / mean - 1.0) * kernel * weights[at]
        scores = np.column_stack(
            [
                (kernel * by_critical[at]).sum(axis=1),
                (kernel * by_decay[at]).sum(axis=1),
                (pull * (gain * self._numbers)).sum(axis=1),
                pull.sum(axis=1),
            ]
        )
        return np.log(chance), scores / chance[:, None], self._repeats

    def moments(
        self, critical: float, decay: float, gain: float, background: float
    ) -> tuple[Array, Array, Array]:
        """Mean and variance of the counts at each place; slopes of the mean (places, 4)."""
        weights, by_critical, by_decay = self._with_slopes(critical, decay)
        n = self._numbers
        number = weights @ n
        mean = gain * number + background
        variance = mean + gain**2 * (weights @ n**2 - number**2)
        slopes = np.column_stack(
            [gain * (by_critical @ n), gain * (by_decay @ n), gain * number, np.ones_like(number)]
        )
        return mean, variance, slopes

    def _with_slopes(self, critical: float, decay: float) -> tuple[Array, Array, Array]:
        """Weights of the nodes at each place, and their slopes by ln u_c and ln gamma."""
        middle = self._weights(critical, decay)
        up = math.exp(_STEP)
        return (
            middle,
            (self._weights(critical * up, decay) - middle) / _STEP,
            (self._weights(critical, decay * up) - middle) / _STEP,
        )

    def _weights(self, critical: float, decay: float) -> Array:
        """(places, nodes)."""
        key = critical, decay
        if key not in self._kept:
            if len(self._kept) > 8:
                self._kept.pop(next(iter(self._kept)))
            stairs: dict[int, list[int]] = {}
            for place in self.places:
                stairs.setdefault(place.direction, []).append(place.climbed)
            found = [
                self._climb(direction, wanted, critical, decay)
                for direction, wanted in stairs.items()
            ]
            self._kept[key] = np.concatenate(found)
        return self._kept[key]

    def _climb(self, direction: int, wanted: Sequence[int], critical: float, decay: float) -> Array:
        """(wanted, nodes) weights after so many stairs of one direction, in order."""
        pumps: Sequence[float] = self.beliefs.ramp(direction)[: wanted[-1] + 1]
        s = 0.5 * self.beliefs.atoms * (np.array(pumps) / critical - 1.0)
        ramp = mode_ramp(1.0 / self.beliefs.atoms, self._last)
        state = stationary_modes(1.0 / self.beliefs.atoms, float(s[0]), self._last)
        length = decay * self.beliefs.stair
        found, places = np.empty((len(wanted), self._last + 1)), iter(enumerate(wanted))
        row, stop = next(places)
        for stair, height in enumerate(s[1:].tolist(), start=1):
            for one in elements(ramp, state, height, 0.0, length, tolerance=_ERROR, first=length):
                state = one.end[:, 0]
            if stair == stop:
                found[row] = self._basis[0] * (self._basis.T @ state)
                row, stop = next(places, (row, 0))
        return found
