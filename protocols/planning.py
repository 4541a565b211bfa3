"""Planning: what a protocol would do and how well it would measure, before anything is touched.

The steps are walked on a station on paper: every set-point that can be reached is checked against
the limits of station file and calibrations, every sequence is compiled, and a virtual clock goes
on by what each step takes. Adaptive protocols are walked as if no estimate ever came; what else
they may reach they say themselves.

A protocol takes part by its settings, steps and bounds. It may also have

* ``expected(calibrations)``: values of its quantities as they are supposed before the first shot,
  by name: the precision is predicted there;
* ``possible(calibrations)``: where the values may be instead, as pairs of a weight and the values:
  the precision is predicted as the root mean square over them;
* ``units``: the unit of each quantity by name;
* ``efficiency``: standard deviation of its estimator over the Cramér-Rao bound (1 if not given);
* ``reachable(calibrations)``: further steps (`Set`, `Shots`) that it may come to;
* ``tunable``: settings with the values to try for the best operating point;
* ``remarks(calibrations)``: what the precision rests on, in words.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import ValidationError

from ..estimators import Estimate, Quantity
from ..instruments.errors import CalibrationError, CavityLabError
from ..instruments.shipped import find_file
from ..instruments.station_file import StationFile, load_station_file
from . import protocol_by_name, shipped_rehearsal
from .engine.run_time import BETWEEN_STEPS
from .planning_result import OperatingPoint, Plan, Prediction, Reach
from .planning_station import PaperStation
from .protocol import ExperimentProtocol
from .sequence import SequenceError, compile_sequence
from .steps import Set, Shots, Step, Wait

__all__ = [
    "OperatingPoint",
    "Plan",
    "Prediction",
    "Reach",
    "best_point",
    "make_plan",
    "plan_by_name",
    "predict",
    "supposed",
]

_AMPLITUDE = "amplitude"


def plan_by_name(
    name: str,
    settings: Mapping[str, Any] | None = None,
    station: str | None = None,
    *,
    seed: int = 1,
    best: bool = False,
) -> Plan:
    """The plan of a protocol on a station file, by their names.

    Args:
        name: Of the protocol.
        settings: What differs from its defaults.
        station: Station file or shipped name; None takes the protocol's shipped one.
        seed: Of the protocol's random numbers.
        best: Whether to look for the best operating point as well.

    Raises:
        UnknownProtocolError, StationFileError, pydantic.ValidationError: As for a run.
    """
    protocol = protocol_by_name(name)(**(settings or {}))
    path = find_file(station or shipped_rehearsal(name)[0], ".yaml")
    return make_plan(protocol, load_station_file(path), seed=seed, best=best)


def make_plan(
    protocol: ExperimentProtocol, file: StationFile, *, seed: int = 1, best: bool = False
) -> Plan:
    """Walk the steps of a protocol on paper; opens no station and writes nothing.

    Raises:
        CavityLabError: The protocol cannot say what it would do, e.g. for want of a calibration.
    """
    walk = _Walk(PaperStation(file))
    for step in protocol.steps(file.calibrations, seed):
        walk.perform(step)
    duration, blocks = walk.station.clock.now(), walk.blocks
    sequences = len({sequence for sequence, _ in walk.compiled})
    reachable = getattr(protocol, "reachable", None)
    for step in reachable(file.calibrations) if reachable else ():
        walk.look(step)
    prediction: Prediction | None = None
    remarks: tuple[str, ...] = ()
    try:
        prediction = predict(protocol, file)
        say = getattr(protocol, "remarks", None)
        remarks = tuple(say(file.calibrations)) if say else ()
    except (CalibrationError, ValueError) as error:
        walk.refuse(f"no precision can be predicted: {error}")
    return Plan(
        protocol=protocol.name,
        settings=protocol.settings_dict(),
        station=str(file.path),
        reaches=walk.reaches(),
        problems=tuple(walk.problems()),
        shots=protocol.planned_shots,
        blocks=blocks,
        sequences=sequences,
        duration=duration,
        prediction=prediction,
        best=best_point(protocol, file) if best and prediction is not None else None,
        remarks=remarks,
    )


def supposed(values: Mapping[str, float], shots: int) -> Estimate:
    """An estimate that has these values and no errors: where bounds are to be computed."""
    return Estimate(
        estimator="supposed",
        shots=shots,
        quantities={
            name: Quantity(float(value), 0.0, (float(value), float(value)), 0.95, "")
            for name, value in values.items()
        },
        names=(),
        covariance=np.zeros((0, 0)),
        goodness_of_fit=None,
        diagnostics={},
        assumptions=("the values are supposed, not measured",),
        identifiable=(-math.inf, math.inf),
    )


def predict(protocol: ExperimentProtocol, file: StationFile) -> Prediction | None:
    """The precision of a complete run; None where the protocol does not say what it expects."""
    expected = getattr(protocol, "expected", None)
    if expected is None:
        return None
    values = expected(file.calibrations)
    shots, name = protocol.planned_shots, protocol.quantities[0]
    possible = getattr(protocol, "possible", None)
    cases = possible(file.calibrations) if possible else [(1.0, values)]
    weights = [weight for weight, _ in cases]
    every = [protocol.bounds(file.calibrations, supposed(case, shots), shots) for _, case in cases]
    least = _root_mean_square(weights, [one.cramer_rao_std for one in every])
    limit = _root_mean_square(weights, [one.standard_quantum_limit_std for one in every])
    return Prediction(
        quantity=name,
        unit=str(getattr(protocol, "units", {}).get(name, "")),
        supposed=float(values[name]),
        std=float(getattr(protocol, "efficiency", 1.0)) * least,
        cramer_rao_std=least,
        standard_quantum_limit_std=limit,
    )


def _root_mean_square(weights: Sequence[float], values: Sequence[float]) -> float:
    """Of values that may be, each with its weight."""
    if len(values) == 1:
        return values[0]
    return math.sqrt(float(np.average(np.square(values), weights=weights)))


def best_point(protocol: ExperimentProtocol, file: StationFile) -> OperatingPoint | None:
    """The best of the protocol's tunable settings, one after the other, shots kept.

    A value that the settings refuse, or that the station cannot do, is left out.
    """
    tunable: Mapping[str, tuple[float, ...]] = getattr(protocol, "tunable", {})
    start = predict(protocol, file)
    if not tunable or start is None:
        return None
    stated = protocol.settings_dict()
    chosen = {name: float(stated[name]) for name in tunable}
    best, tried = start.std, 1
    for name, values in tunable.items():
        for value in values:
            other = {**chosen, name: value}
            std = _possible_std(protocol, {**stated, **other}, file)
            tried += std is not None
            if std is not None and std < best:
                best, chosen = std, other
    return OperatingPoint(chosen, best, tried)


def _possible_std(
    protocol: ExperimentProtocol, settings: Mapping[str, Any], file: StationFile
) -> float | None:
    """Predicted standard deviation with these settings; None where they cannot be."""
    try:
        other: ExperimentProtocol = type(protocol)(**settings)  # settings by keyword, as by name
        walk = _Walk(PaperStation(file))
        for step in other.steps(file.calibrations, 1):
            walk.look(step)
            if isinstance(step, Shots):
                break
        if list(walk.problems()):
            return None
        found = predict(other, file)
    except (ValidationError, CavityLabError, ValueError):
        return None
    return None if found is None else found.std


class _Walk:
    """Goes through steps on paper and collects what they set and what cannot be."""

    def __init__(self, station: PaperStation) -> None:
        self.station = station
        self.blocks = 0
        self.compiled: set[tuple[Any, int]] = set()
        self._used: dict[tuple[str, str], tuple[float, float]] = {}
        self._refused: dict[str, None] = {}

    def perform(self, step: Step) -> None:
        """Check a step and let the clock go on by what it takes."""
        self.look(step)
        clock = self.station.clock
        try:
            if isinstance(step, Set):
                clock.wait(BETWEEN_STEPS)
                self.station.set(step.role, step.parameter, step.value)
            elif isinstance(step, Wait):
                clock.wait(step.seconds)
            elif isinstance(step, Shots):
                self.blocks += 1
                clock.wait(BETWEEN_STEPS)
                self.station.take(step.sequence.tones, step.duration)
        except (CavityLabError, KeyError):
            pass  # the station cannot do it: `look` has said so, and it takes no time

    def look(self, step: Step) -> None:
        """Check a step."""
        if isinstance(step, Set):
            self._set(step)
        elif isinstance(step, Shots) and (step.sequence, step.shots) not in self.compiled:
            self._compile(step)

    def reaches(self) -> tuple[Reach, ...]:
        """Every parameter that was set, with its limits."""
        return tuple(
            Reach(role, parameter, self.station.unit(role, parameter), *ends, limits)
            for (role, parameter), ends in self._used.items()
            for limits in [self.station.limits(role, parameter)]
        )

    def problems(self) -> Iterator[str]:
        """What the station cannot do."""
        for one in self.reaches():
            if not one.ok and one.limits is not None:
                worst = one.lowest if one.lowest < one.limits[0] else one.highest
                yield (
                    f"{one.role}.{one.parameter} would be set to {worst:g} {one.unit}, outside "
                    f"[{one.limits[0]:.6g}, {one.limits[1]:.6g}] {one.unit}, which calibration and "
                    "station file allow: change the protocol's setting, or calibrate further"
                )
        yield from self._refused

    def _set(self, step: Set) -> None:
        if step.role not in self.station.roles:
            known = ", ".join(sorted(self.station.roles))
            self.refuse(
                f"the station has no role {step.role!r} (it has {known}): add it to the station "
                "file"
            )
        elif step.parameter not in self.station.roles[step.role].parameters:
            self.refuse(f"role {step.role!r} has no parameter {step.parameter!r}")
        else:
            self._use(step.role, step.parameter, step.value)

    def _compile(self, step: Shots) -> None:
        self.compiled.add((step.sequence, step.shots))
        for role, tones in step.sequence.tones.items():
            if role in self.station.roles:
                for tone in tones:
                    self._use(role, _AMPLITUDE, tone.amplitude_hz)
        try:
            compile_sequence(step.sequence, self.station.roles, step.shots)
        except (SequenceError, CavityLabError) as error:
            self.refuse(str(error))

    def _use(self, role: str, parameter: str, value: float) -> None:
        low, high = self._used.get((role, parameter), (value, value))
        self._used[role, parameter] = min(low, value), max(high, value)

    def refuse(self, problem: str) -> None:
        """Keep a problem, once."""
        self._refused[problem] = None
