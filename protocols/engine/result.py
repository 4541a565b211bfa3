"""What a run leaves behind: the answer, the truth of a rehearsal, the bounds, the place on disk."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...estimators import EllipseBeliefs, Estimate
from ...instruments.errors import CavityLabError
from ..protocol import Bounds, Calibrations, ExperimentProtocol, OnlineEstimator
from ..recording import Run
from .states import State

if TYPE_CHECKING:
    import xarray as xr


class EstimateFailed(CavityLabError):
    """The data are complete and stored, but the fit failed."""


class NoBeliefsError(CavityLabError, ValueError):
    """The run's provenance does not say what was believed before it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The final estimate with the precision that was possible.

    Attributes:
        estimate: From all good shots; None when there is none.
        bounds: Precision bounds at the estimate's values; None where they do not exist (at a fold).
        gain_db: 20 log10 of the standard quantum limit over the estimate's standard deviation.
    """

    estimate: Estimate | None = None
    bounds: Bounds | None = None
    gain_db: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The answer in JSON's types."""
        return {
            "estimate": None if self.estimate is None else self.estimate.to_json(),
            "bounds": None if self.bounds is None else self.bounds.to_json(),
            "gain_db": self.gain_db,
        }


@dataclass(frozen=True, slots=True)
class RunResult:
    """What came of a run.

    Attributes:
        path: The run's directory.
        run_id: Identity of the run.
        shots: Good shots recorded.
        state: DONE or STOPPED; a run that fails raises instead.
        reason: Why it ended before the planned shots; empty for a complete run.
        estimate: Final estimate; None when no block was completed.
        bounds: Precision bounds at the estimate's values.
        gain_db: Gain over the standard quantum limit, in dB.
        truth: Hidden truth of a rehearsal, revealed after the fit; None on hardware.
        unsafe: One sentence for each role that could not be made safe.
    """

    path: Path
    run_id: str
    shots: int
    state: State
    reason: str = ""
    estimate: Estimate | None = None
    bounds: Bounds | None = None
    gain_db: float | None = None
    truth: Mapping[str, float] | None = None
    unsafe: tuple[str, ...] = field(default=())

    @property
    def run(self) -> Run:
        """The stored run, opened for reading."""
        return Run.open(self.path)

    @property
    def records(self) -> xr.Dataset:
        """The records, loaded from disk when they are looked at."""
        return self.run.records


def answer_of(
    protocol: ExperimentProtocol,
    calibrations: Calibrations,
    estimator: OnlineEstimator,
    shots: int,
    level: float,
) -> Answer:
    """The final estimate and its bounds; nothing when no shot was taken.

    Raises:
        EstimateFailed: The fit raised.
    """
    if shots == 0:
        return Answer()
    try:
        estimate = estimator.estimate(level)
    except Exception as error:
        raise EstimateFailed(f"the fit failed: {type(error).__name__}: {error}") from error
    headline = estimate.quantities.get(protocol.quantities[0])
    if headline is None:  # a composition that was stopped before its second part
        return Answer(estimate)
    try:
        bounds = protocol.bounds(calibrations, estimate, shots)
    except ValueError:  # at a fold of the identifiable range there is no bound
        return Answer(estimate)
    if headline.std <= 0:
        return Answer(estimate, bounds)
    gain = 20 * math.log10(bounds.standard_quantum_limit_std / headline.std)
    return Answer(estimate, bounds, gain)


def stored_beliefs(run: Run) -> EllipseBeliefs:
    """What was believed before the first shot of a stored run, for fitting it again.

    Raises:
        NoBeliefsError: The run was not taken by an ellipse protocol.
    """
    stored = run.provenance.get("beliefs")
    if not isinstance(stored, Mapping):
        raise NoBeliefsError(
            f"{run.path} does not say what was believed before it: give the beliefs in a file"
        )
    return EllipseBeliefs(**stored)


def stored_estimator(run: Run) -> OnlineEstimator:
    """A fresh estimator with what was believed before the first shot of a stored run.

    Raises:
        NoBeliefsError: The run does not keep its beliefs, or its protocol cannot read them.
        UnknownProtocolError: Its protocol is none of this package.
    """
    from .. import protocol_by_name
    from ..composition import stored_composition

    name, stored = run.provenance.get("protocol"), run.provenance.get("beliefs")
    composed = stored_composition(stored) if isinstance(stored, Mapping) else None
    if composed is not None:
        return composed
    read = getattr(protocol_by_name(str(name)), "stored_estimator", None)
    if read is None or not isinstance(stored, Mapping):
        raise NoBeliefsError(
            f"{run.path} does not say what was believed before it: give the beliefs in a file"
        )
    estimator: OnlineEstimator = read(stored)
    return estimator


def stored_records(run: Run) -> dict[str, NDArray[np.generic]]:
    """What the estimator of a stored run was fed with: counts, status, set-points of each shot."""
    shots, points = run.load("shot"), run.load("point")
    columns = {str(name): np.asarray(points[name])[shots["point_index"]] for name in points}
    return {**columns, "counts": shots["counts"], "status": shots["status"]}
