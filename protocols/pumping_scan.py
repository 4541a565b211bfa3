"""Pumping scan: the critical pump of collectively pumped superradiance from gated counts.

Each shot pumps all atoms from the ground state into the steady state of collective pumping and
decay, whose number n of excited atoms follows p_n ~ (w/gamma)^n (Shimshi & Shahmoon, Eq. 3), and
counts them within a time in which they stand still. The pump is stepped over a grid around the
critical value w = gamma, in several passes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import cycle, islice
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from .protocol import Calibrations, Steps
from .pumping_base import PumpingSettingsError, ScanBounds, SnapshotProtocol, SnapshotSettings
from .steps import Shots, TakeEstimate

__all__ = ["PumpingScan", "PumpingScanSettings", "PumpingSettingsError", "ScanBounds"]

_ORDER = 0x6F72646572  # "order": keeps this use of the seed apart from others


class PumpingScanSettings(SnapshotSettings):
    """Settings of the pumping scan; rates are ordinary (Hz), not angular."""

    points: int = Field(17, ge=3, le=201, description="pump settings of the grid")
    shots_per_point: int = Field(100, ge=1, le=1_000_000, description="good shots at each of them")
    passes: int = Field(10, ge=1, le=10_000, description="passes over the grid")
    order: Literal["random", "interleaved", "up"] = Field(
        "random",
        description="order within a pass: random, every other point up and the rest down, or up",
    )

    @model_validator(mode="after")
    def _a_shot_for_each_pass(self) -> PumpingScanSettings:
        if self.passes > self.shots_per_point:
            raise ValueError(
                f"passes = {self.passes} is more than shots_per_point = {self.shots_per_point}: "
                "each pass takes at least one shot of every point"
            )
        return self

    @property
    def pumps(self) -> tuple[float, ...]:
        """The grid of pumping rates w/2pi, Hz, as the pump's calibration has them."""
        return self.grid(self.points)

    def visit(self, number: int) -> int:
        """Shots of one point in pass `number`."""
        return (
            self.shots_per_point * (number + 1) // self.passes
            - self.shots_per_point * number // self.passes
        )


class PumpingScan(SnapshotProtocol):
    """The protocol: settings given by keyword, see :class:`PumpingScanSettings`.

    Raises:
        pydantic.ValidationError: A setting is out of bounds, unknown, or contradicts another.
    """

    name: ClassVar[str] = "pumping_scan"
    settings_model = PumpingScanSettings
    tunable: ClassVar[Mapping[str, tuple[float, ...]]] = {"span": (0.1, 0.15, 0.2, 0.25, 0.3, 0.4)}

    @property
    def planned_shots(self) -> int:
        """Good shots that a complete run takes."""
        return int(self.settings.points * self.settings.shots_per_point)

    def point(self, index: int, calibrations: Calibrations) -> Mapping[str, float]:
        """The pump of scan point ``index``."""
        del calibrations
        return {"pump": self.settings.pumps[index]}

    def order(self, number: int, seed: int) -> tuple[int, ...]:
        """Points in the order in which pass ``number`` visits them."""
        points = self.settings.points
        if self.settings.order == "random":
            shuffled = np.random.default_rng([_ORDER, seed, number]).permutation(points)
            return tuple(int(point) for point in shuffled)
        if self.settings.order == "interleaved":
            return (*range(0, points, 2), *reversed(range(1, points, 2)))
        return tuple(range(points))

    def steps(self, calibrations: Calibrations, seed: int) -> Steps:
        """Passes over the grid, with the running estimate after each."""
        del calibrations
        sequences = [self.sequence(pump) for pump in self.settings.pumps]
        for number in range(self.settings.passes):
            shots = self.settings.visit(number)
            for point in self.order(number, seed):
                yield Shots(sequences[point], shots, point=point)
            yield TakeEstimate()

    def visits(self, shots: int) -> Iterable[float]:
        """The pump of each of so many shots."""
        return islice(cycle(self.settings.pumps), shots)
