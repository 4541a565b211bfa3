"""What the engine expects of a protocol, of an estimator and of a scan point."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..estimators import Estimate
from ..instruments.calibration import Calibration
from .steps import Step

Calibrations: TypeAlias = Mapping[str, Calibration]
"""Calibrations by the name of their role."""

Steps: TypeAlias = Generator[Step, Estimate | None, None]
"""Steps of a run; after a TakeEstimate the engine sends the running estimate."""


@dataclass(frozen=True, slots=True)
class SetPoint:
    """One quantity that is the same for all shots of a scan point: a column of the point table."""

    name: str
    unit: str
    long_name: str


class OnlineEstimator(Protocol):
    """Takes records block by block; the same object serves online and offline."""

    def update(self, records: Mapping[str, NDArray[np.generic]]) -> None:
        """Take in a block: ``counts``, ``status``, and the set-points of each shot by name."""
        ...

    def estimate(self, level: float = 0.95) -> Estimate:
        """The estimate from everything taken in so far."""
        ...


class Bounds(Protocol):
    """Best precision that the shots allow, as standard deviations."""

    @property
    def cramer_rao_std(self) -> float:
        """Bound with the nuisances free within their calibrations."""
        ...

    @property
    def standard_quantum_limit_std(self) -> float:
        """Bound for the same number of independent atoms."""
        ...

    def to_json(self) -> dict[str, float]:
        """The bounds in JSON's types."""
        ...


class ExperimentProtocol(Protocol):
    """A protocol: settings, the steps they mean, and the estimator of what they measure.

    It may also have ``guards(calibrations)``, further guards of its runs;
    ``truth(revealed, calibrations)``, what a rehearsal's revealed truth says of its quantities
    beyond those that are revealed under their own names; the static method
    ``stored_estimator(beliefs)``, an estimator with the beliefs that a run keeps; and ``report``,
    how its runs are told.
    """

    @property
    def name(self) -> str:
        """Name in the registry."""
        ...

    @property
    def settings(self) -> Any:
        """The validated settings."""
        ...

    @property
    def quantities(self) -> tuple[str, ...]:
        """Names of the quantities that its estimates hold; the first is the headline."""
        ...

    @property
    def detectors(self) -> tuple[str, ...]:
        """Names of the detectors, in the order of the columns of ``counts``."""
        ...

    @property
    def set_points(self) -> tuple[SetPoint, ...]:
        """Columns of the point table."""
        ...

    @property
    def planned_shots(self) -> int:
        """Good shots that a complete run takes."""
        ...

    def settings_dict(self) -> dict[str, Any]:
        """The settings, JSON-able."""
        ...

    def point(self, index: int, calibrations: Calibrations) -> Mapping[str, float]:
        """Values of the set-points of scan point ``index``."""
        ...

    def steps(self, calibrations: Calibrations, seed: int) -> Steps:
        """The steps of a run; the same arguments give the same steps."""
        ...

    def beliefs(self, calibrations: Calibrations) -> Any:
        """What the calibrations say before the first shot: a dataclass, kept with the run."""
        ...

    def estimator(self, calibrations: Calibrations) -> OnlineEstimator:
        """A fresh estimator that believes these calibrations within their uncertainties."""
        ...

    def bounds(self, calibrations: Calibrations, estimate: Estimate, shots: int) -> Bounds:
        """Precision bounds for so many shots, at the values of the estimate."""
        ...
