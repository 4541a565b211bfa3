"""A small sweep on the shipped rehearsal: few atoms, so that a task takes little time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cavitylab.protocols.sweeps import Sweep, SweepPlan
from cavitylab.protocols.sweeps.task import TaskOrder

SMALL: dict[str, Any] = {
    "atoms_per_ensemble": 20,
    "preparation_rabi_hz": 2.5e3,
    "bias_phase": 0.4,
    "block": 20,
    "coil_check": 0,
}
"""Settings that do not vary: fits in milliseconds, and a phase that so few shots can find."""


@pytest.fixture(scope="session")
def small() -> dict[str, Any]:
    """The settings that do not vary."""
    return SMALL


@pytest.fixture
def plan() -> Callable[..., SweepPlan]:
    """A plan of the small sweep; settings and seeds by keyword."""

    def make(seeds: Any = (3,), **settings: Any) -> SweepPlan:
        return SweepPlan.of("ramsey_ellipse", {**SMALL, **settings}, seeds)

    return partial(make, shots=40)


@pytest.fixture
def created(tmp_path: Path, plan: Callable[..., SweepPlan]) -> Sweep:
    """A sweep of two seeds and two numbers of shots, of which nothing has run."""
    return Sweep.create(tmp_path / "data", plan(seeds=[3, 4], shots=[20, 40]))


@pytest.fixture
def order() -> Callable[..., TaskOrder]:
    """What a worker is told of a task."""

    def make(sweep: Sweep, number: int, **changes: Any) -> TaskOrder:
        orders = {one.task: one for one in sweep._orders()}
        return replace(orders[number], **changes)

    return make
