"""What a sweep is: a protocol, a grid of settings, seeds, and the laboratory to rehearse on.

A plan is data. Its tasks are numbered through the grid, the first axis slowest and the seed
fastest, so that a task's number determines its settings and its seed.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from pydantic import ValidationError

from ...instruments.errors import CavityLabError
from ...instruments.shipped import find_file
from ...instruments.station import Station
from .. import PROTOCOLS, protocol_by_name, shipped_rehearsal
from ..engine import check_steps
from ..engine.until import parse_until

if TYPE_CHECKING:
    from ..protocol import ExperimentProtocol

MOST_TASKS = 1_000_000
"""More tasks than this are taken for a slip of the pen: each is a run of its own."""

_SHOWN = 8


class SweepSettingsError(CavityLabError, ValueError):
    """A sweep that cannot be: says every mistake; nothing was started."""


@dataclass(frozen=True, slots=True)
class Task:
    """One run of the sweep.

    Attributes:
        index: Number of the task.
        settings: All settings that are given, the fixed ones included.
        seed: Seed of the protocol and of the laboratory.
    """

    index: int
    settings: Mapping[str, Any]
    seed: int


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """A sweep, before anything ran; make it with `SweepPlan.of`.

    Attributes:
        protocol: Registered name, or ``module:Class`` for a protocol of one's own.
        station: Station file (absolute), or the name of a shipped one.
        laboratory: Laboratory file (absolute), or the name of a shipped one.
        axes: Values of each setting that varies, in order.
        fixed: Settings that are the same in every task.
        seeds: Seeds; every combination of settings runs with each.
        options: Options of the simulated laboratory (``drifts``, ``latency``, ``clock``).
        until: Stop condition of every run, e.g. ``"std(phase) < 1e-3"``.
        level: Confidence level of the intervals.
    """

    protocol: str
    station: str
    laboratory: str
    axes: Mapping[str, tuple[Any, ...]]
    fixed: Mapping[str, Any]
    seeds: tuple[int, ...]
    options: Mapping[str, str] = field(default_factory=dict)
    until: str | None = None
    level: float = 0.95

    @classmethod
    def of(
        cls,
        protocol: str | Callable[..., ExperimentProtocol],
        settings: Mapping[str, Any],
        seeds: int | Iterable[int],
        *,
        station: str | Path | None = None,
        laboratory: str | Path | None = None,
        options: Mapping[str, str] | None = None,
        until: str | None = None,
        level: float = 0.95,
    ) -> Self:
        """A plan from what a person writes.

        Args:
            protocol: Name or class of the protocol.
            settings: A list, tuple, range or array is an axis; anything else is fixed.
            seeds: The seeds, or one seed.
            station: Station file; with None the protocol's shipped rehearsal is taken.
            laboratory: Laboratory file; needed whenever a station is given.
            options: Options of the simulated laboratory.
            until: Stop condition of every run.
            level: Confidence level of the intervals.

        Raises:
            SweepSettingsError: An empty axis, a repeated value or seed, no laboratory, …
            UnknownProtocolError: There is no protocol of that name.
            StationFileError: A file does not exist.
        """
        name = protocol if isinstance(protocol, str) else _name_of(protocol)
        stationed, rehearsed = _files(name, station, laboratory)
        axes = {k: _values(k, v) for k, v in settings.items() if _is_axis(v)}
        chosen = (int(seeds),) if isinstance(seeds, int) else tuple(int(s) for s in seeds)
        if not chosen:
            raise SweepSettingsError("Argument `seeds` must name at least one seed, but is empty")
        if min(chosen) < 0 or len(set(chosen)) < len(chosen):
            raise SweepSettingsError(
                "Argument `seeds` must hold different numbers >= 0: the same settings and seed "
                "give the same run"
            )
        if not 0 < level < 1:
            raise SweepSettingsError(f"Argument `level` must lie between 0 and 1, but is {level!r}")
        plan = cls(
            protocol=name,
            station=stationed,
            laboratory=rehearsed,
            axes=MappingProxyType(axes),
            fixed=MappingProxyType({k: _plain(v) for k, v in settings.items() if k not in axes}),
            seeds=chosen,
            options=MappingProxyType(dict(options or {})),
            until=until,
            level=level,
        )
        if len(plan) > MOST_TASKS:
            raise SweepSettingsError(
                f"a sweep has at most {MOST_TASKS} tasks, but these settings and seeds make "
                f"{len(plan)}"
            )
        return plan

    def __len__(self) -> int:
        return math.prod(self.shape)

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes, and the number of seeds last."""
        return (*(len(values) for values in self.axes.values()), len(self.seeds))

    def combinations(self) -> Iterator[dict[str, Any]]:
        """The settings of every point of the grid, fixed ones included, in the tasks' order."""
        for values in itertools.product(*self.axes.values()):
            yield {**self.fixed, **dict(zip(self.axes, values, strict=True))}

    def tasks(self) -> Iterator[Task]:
        """Every task, in order."""
        numbers = itertools.count()
        for settings in self.combinations():
            for seed in self.seeds:
                yield Task(next(numbers), settings, seed)

    def make(self, settings: Mapping[str, Any]) -> ExperimentProtocol:
        """The protocol with these settings."""
        return protocol_class(self.protocol)(**settings)

    def check(self) -> Mapping[str, str]:
        """Check every combination of settings against the rehearsal station; touches no run.

        Returns:
            sha256 of every file that the station is made of, by name.

        Raises:
            SweepSettingsError: With the combinations that cannot run, and why.
            StationFileError: The station or laboratory file is wrong.
            StationBusy: A station is open in this process.
        """
        faults, protocols = _made(self)
        _refuse(faults, len(self) // len(self.seeds))
        if self.until is not None:
            parse_until(self.until, protocols[0][1].quantities)
        with Station.open(
            self.station,
            rehearse=self.laboratory,
            seed=self.seeds[0],
            options=self.options,
        ) as station:
            for settings, protocol in protocols:
                try:
                    protocol.estimator(station.calibrations)
                    check_steps(protocol, station, self.seeds[0])
                except (CavityLabError, ValueError) as error:
                    faults.append((settings, str(error)))
            _refuse(faults, len(protocols))
            return dict(station.files)

    def to_json(self) -> dict[str, Any]:
        """The plan in JSON's types."""
        return {
            "protocol": self.protocol,
            "station": self.station,
            "laboratory": self.laboratory,
            "axes": {name: list(values) for name, values in self.axes.items()},
            "settings": dict(self.fixed),
            "seeds": list(self.seeds),
            "options": dict(self.options),
            "until": self.until,
            "level": self.level,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """The plan that `to_json` stored; KeyError where something is missing."""
        return cls(
            protocol=stored["protocol"],
            station=stored["station"],
            laboratory=stored["laboratory"],
            axes=MappingProxyType({k: tuple(v) for k, v in stored["axes"].items()}),
            fixed=MappingProxyType(dict(stored["settings"])),
            seeds=tuple(stored["seeds"]),
            options=MappingProxyType(dict(stored["options"])),
            until=stored["until"],
            level=stored["level"],
        )


def protocol_class(name: str) -> Callable[..., ExperimentProtocol]:
    """The class of a registered name or of ``module:Class``.

    Raises:
        UnknownProtocolError: There is no such registered name.
        SweepSettingsError: The module or the class in it cannot be found.
    """
    module, colon, attribute = name.partition(":")
    if not colon:
        return protocol_by_name(name)
    try:
        found: Callable[..., ExperimentProtocol] = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise SweepSettingsError(f"protocol {name}: {error}") from error
    return found


def _name_of(protocol: Callable[..., ExperimentProtocol]) -> str:
    """How the workers, and a later session, find the class again."""
    name = getattr(protocol, "name", None)
    module, attribute = protocol.__module__, getattr(protocol, "__qualname__", "")
    if isinstance(name, str) and PROTOCOLS.get(name) == attribute:
        return name
    if module == "__main__" or not attribute.isidentifier():
        raise SweepSettingsError(
            f"Argument `protocol` must be a class at the top of a module that the workers can "
            f"import, but {attribute or protocol!r} is not: move it into a file of its own"
        )
    return f"{module}:{attribute}"


def _files(name: str, station: str | Path | None, laboratory: str | Path | None) -> tuple[str, str]:
    """Station and laboratory as the workers find them."""
    if station is None:
        if ":" in name:
            raise SweepSettingsError(
                f"protocol {name} has no shipped rehearsal: give `station` and `laboratory`"
            )
        shipped = shipped_rehearsal(name)
        station, laboratory = shipped[0], laboratory or shipped[1]
    if laboratory is None:
        raise SweepSettingsError(
            f"Argument `laboratory` must name a laboratory file, because a sweep rehearses: "
            f"station {station} alone would be hardware"
        )
    return _found(station, ".yaml"), _found(laboratory, ".lab.yaml")


def _found(file: str | Path, ending: str) -> str:
    """A user's file by its absolute path, a shipped one by its name (each computer has its own)."""
    path = find_file(file, ending)
    return str(path.resolve()) if Path(file).exists() else str(file)


def _is_axis(value: Any) -> bool:
    return isinstance(value, Sequence | np.ndarray) and not isinstance(value, str | bytes)


def _values(name: str, values: Any) -> tuple[Any, ...]:
    axis = tuple(_plain(value) for value in values)
    if not axis:
        raise SweepSettingsError(f"setting `{name}` must have at least one value, but has none")
    if len({json.dumps(value) for value in axis}) < len(axis):
        raise SweepSettingsError(f"setting `{name}` must have different values, but is {axis}")
    return axis


def _plain(value: Any) -> Any:
    """The value in JSON's types: what is stored must give the same task when it is read back."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise SweepSettingsError(f"setting value {value!r} cannot be stored: {error}") from error


Faults = list[tuple[Mapping[str, Any], str]]


def _made(plan: SweepPlan) -> tuple[Faults, list[tuple[Mapping[str, Any], ExperimentProtocol]]]:
    faults: Faults = []
    protocols: list[tuple[Mapping[str, Any], ExperimentProtocol]] = []
    for settings in plan.combinations():
        try:
            protocols.append((settings, plan.make(settings)))
        except ValidationError as error:
            lines = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            faults.append((settings, "; ".join(lines)))
        except (CavityLabError, ValueError, TypeError) as error:
            faults.append((settings, str(error)))
    return faults, protocols


def _refuse(faults: Faults, combinations: int) -> None:
    if not faults:
        return
    lines = [f"{settings_text(settings)}: {why}" for settings, why in faults[:_SHOWN]]
    if len(faults) > _SHOWN:
        lines.append(f"… and {len(faults) - _SHOWN} more")
    raise SweepSettingsError(
        f"{len(faults)} of the {combinations} combinations of settings cannot run; nothing was "
        "started:\n  " + "\n  ".join(lines)
    )


def settings_text(settings: Mapping[str, Any]) -> str:
    """Settings as a person reads them: ``shots=60, detuning_hz=1000``."""
    return ", ".join(f"{key}={_short(value)}" for key, value in settings.items()) or "no settings"


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
