"""Every estimator by name, built from `key=value` beliefs: for the console and for scripts.

An estimator is a class that the package exports with `update(records)` and `estimate(level)`.
Its constructor says what must be known beforehand; beliefs in frozen dataclasses are taken
field by field, so that nothing has to be listed a second time.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from .belief_meanings import ELLIPSE_STDS, meanings_of
from .belief_values import (
    BeliefError,
    choices_of,
    converted,
    kind_in_words,
    near_names,
    number_of,
)
from .binomial_beliefs import EllipseAtoms
from .ellipse_beliefs import EllipseBeliefs
from .estimate import Estimate
from .phase_table import PhaseTable, coherent_table
from .pumping_beliefs import Calibrated
from .schedule_beliefs import BiasSetting

_MISSING = object()
ELLIPSE_METHODS = ("auto", "exact_table", "gaussian_ring", "rotor_mixture")
_SEED = 1


class Estimator(Protocol):
    """What every estimator can do."""

    def update(self, records: Mapping[str, ArrayLike]) -> None:
        """Take in a block of records."""
        ...

    def estimate(self, level: float = 0.95) -> Estimate:
        """The answer from everything taken in so far."""
        ...


@dataclass(frozen=True, slots=True)
class Belief:
    """One thing to be known beforehand.

    Attributes:
        key: of `--set` and of files.
        kind: what is to be written, in words.
        default: in words; "" where there is none.
        needed: whether it must be given.
        meaning: what it is, with its unit.
    """

    key: str
    kind: str
    default: str
    needed: bool
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class EstimatorEntry:
    """An estimator by name.

    Attributes:
        name: of the class in lower case with underscores.
        factory: the class.
    """

    name: str
    factory: Callable[..., Any]

    @property
    def summary(self) -> str:
        """First line of its documentation."""
        return (inspect.getdoc(self.factory) or "").partition("\n")[0]

    @property
    def records(self) -> str:
        """What `update` says about the columns, and the settings that a calibration names."""
        text = inspect.getdoc(getattr(self.factory, "update")) or ""  # noqa: B009
        settings = getattr(self.factory, "columns", ())
        if not settings:
            return text
        named = ", ".join(f"{column.name} ({column.unit})" for column in settings)
        return text.replace("the settings", named, 1)

    def reads(self, column: str) -> bool:
        """Whether the documentation of `update` names a column."""
        return (
            column == "status" or re.search(rf"\b{re.escape(column)}\b", self.records) is not None
        )

    def beliefs(self) -> list[Belief]:
        """All keys that `build` takes."""
        return _keys(self.factory)

    def build(self, values: Mapping[str, Any]) -> Estimator:
        """The estimator with these beliefs.

        Args:
            values: key to number, text as on a command line ("20", "20+-0.6", "0.7,1.4",
                "none"), or a ready object.

        Raises:
            BeliefError: naming keys that are missing or not known.
            ValueError: from the estimator itself, on values outside its rules.
        """
        known = [belief.key for belief in self.beliefs()]
        ready = [name for name, kind, _ in _fields(self.factory) if _is_ready(values, name, kind)]
        unknown = sorted(set(values) - set(known) - set(ready))
        needed = {belief.key for belief in self.beliefs() if belief.needed and not ready}
        missing = sorted(needed - set(values))
        if unknown or missing:
            strange = [f"{key}{near_names(key, known)}" for key in unknown]
            raise BeliefError(
                f"{self.name}: missing {', '.join(missing) or 'nothing'}; "
                f"unknown {', '.join(strange) or 'nothing'}; it takes {', '.join(known)}"
            )
        try:
            estimator: Estimator = _construct(self.factory, values)
        except BeliefError as error:
            raise BeliefError(f"{self.name}: {error}") from None
        return estimator


def estimators() -> dict[str, EstimatorEntry]:
    """Every estimator that the package exports, by name."""
    package = importlib.import_module(__package__ or "cavitylab.estimators")
    found = {}
    for name in sorted(package.__all__):
        exported = getattr(package, name)
        if (
            inspect.isclass(exported)
            and hasattr(exported, "update")
            and hasattr(exported, "estimate")
        ):
            entry = EstimatorEntry(snake_case(name), exported)
            found[entry.name] = entry
    return found


def find_estimator(name: str) -> EstimatorEntry:
    """An estimator by its name, that of its class, or a method of the ellipse.

    Raises:
        BeliefError: with the names that are near, and all of them.
    """
    known = estimators()
    wanted = "ellipse_phase" if name in ELLIPSE_METHODS else snake_case(name.replace("-", "_"))
    if wanted not in known:
        near = near_names(wanted, list(known))
        raise BeliefError(f"no estimator {name!r}{near}; there are {', '.join(known)}")
    return known[wanted]


def snake_case(name: str) -> str:
    """EllipsePhase to ellipse_phase."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def ellipse_beliefs(values: Mapping[str, Any]) -> EllipseBeliefs:
    """Beliefs of an ellipse from flat keys; *_std are relative, that of the background in counts.

    Raises:
        BeliefError: on a value that is no number.
    """
    numbers = {key: number_of(key, value) for key, value in values.items()}
    stds = [numbers.pop(key, 0.0) for key in ELLIPSE_STDS]
    return EllipseBeliefs(**numbers, covariance=np.diag(np.square(stds)))


def _fields(factory: Callable[..., Any]) -> list[tuple[str, Any, Any]]:
    """(name, kind, default) of a constructor's parameters."""
    hints = typing.get_type_hints(factory.__init__ if inspect.isclass(factory) else factory)
    fields = []
    for name, parameter in inspect.signature(factory).parameters.items():
        default = _MISSING if parameter.default is parameter.empty else parameter.default
        fields.append((name, hints.get(name, float), default))
    return fields


def _parts(kind: Any) -> Callable[..., Any] | None:
    """What is built from keys of its own, for a parameter of this kind."""
    if kind is PhaseTable:
        return coherent_table
    if kind is Calibrated or not (inspect.isclass(kind) and dataclasses.is_dataclass(kind)):
        return None
    return kind


def _keys(factory: Callable[..., Any]) -> list[Belief]:
    keys, meanings = [], meanings_of(factory)
    for name, kind, default in _fields(factory):
        inner = _parts(kind)
        if kind is EllipseBeliefs:
            keys.extend(_ellipse_keys())
        elif inner is not None:
            keys.extend(_keys(inner))
        elif np.random.Generator in choices_of(kind):
            keys.append(Belief("seed", "whole number", str(_SEED), False, meanings["seed"]))
        else:
            said, needed = meanings.get(name, ""), default is _MISSING
            keys.append(Belief(name, kind_in_words(kind), _text(default), needed, said))
    return keys


def _ellipse_keys() -> list[Belief]:
    names = [field.name for field in dataclasses.fields(EllipseBeliefs)]
    meanings = meanings_of(EllipseBeliefs)
    biases = ("bias_phase", "bias_std")
    plain = [name for name in names if name not in ("covariance", *biases)]
    return [
        *(Belief(name, "number", "", True, meanings[name]) for name in plain),
        *(Belief(name, "number", "", True, meaning) for name, meaning in ELLIPSE_STDS.items()),
        *(Belief(name, "number", "0.0", False, meanings[name]) for name in biases),
    ]


def _construct(factory: Callable[..., Any], values: Mapping[str, Any]) -> Any:
    arguments: dict[str, Any] = {}
    for name, kind, default in _fields(factory):
        inner = _parts(kind)
        if _is_ready(values, name, kind):
            arguments[name] = _replaced(values[name], values)
        elif kind is EllipseBeliefs:
            wanted = {belief.key for belief in _ellipse_keys()}
            arguments[name] = ellipse_beliefs({k: v for k, v in values.items() if k in wanted})
        elif inner is not None:
            arguments[name] = _construct(inner, values)
        elif np.random.Generator in choices_of(kind):
            seed = converted("seed", values.get("seed", _SEED), int)
            arguments[name] = np.random.default_rng(seed)
        elif name in values:
            arguments[name] = _value(name, values[name], kind)
        elif default is _MISSING:
            raise BeliefError(f"missing {name}")
    return factory(**arguments)


def _is_ready(values: Mapping[str, Any], name: str, kind: Any) -> bool:
    """Whether a parameter that is built from keys of its own is given as a finished object."""
    return (_parts(kind) is not None) and isinstance(values.get(name), kind)


def _replaced(ready: Any, values: Mapping[str, Any]) -> Any:
    """A finished belief with single fields overruled."""
    names = {field.name for field in dataclasses.fields(ready)}
    stds = sorted(set(values) & set(ELLIPSE_STDS))
    if isinstance(ready, EllipseBeliefs) and stds:
        raise BeliefError(
            f"{', '.join(stds)}: the beliefs of the run hold a whole covariance; give all beliefs "
            "in a file to change it"
        )
    changes = {key: values[key] for key in values if key in names}
    hints = typing.get_type_hints(type(ready))
    return dataclasses.replace(
        ready, **{key: _value(key, value, hints[key]) for key, value in changes.items()}
    )


def _value(key: str, value: Any, kind: Any) -> Any:
    """A belief as the kind that is wanted; settings of several ellipses from mappings."""
    if isinstance(value, tuple | list) and any(isinstance(part, Mapping) for part in value):
        if kind == Sequence[BiasSetting]:
            return tuple(_bias_setting(key, part) for part in value)
        return tuple(_setting(key, part) for part in value)
    return converted(key, value, kind)


def _bias_setting(key: str, value: Any) -> BiasSetting:
    """One setting of a schedule, from a mapping in a file of beliefs."""
    _refuse_keys(key, value, _keys(BiasSetting))
    setting: BiasSetting = _construct(BiasSetting, value)
    return setting


def _setting(key: str, value: Any) -> EllipseBeliefs | EllipseAtoms:
    """One setting of several ellipses, from a mapping in a file of beliefs."""
    kind: Any = EllipseAtoms if isinstance(value, Mapping) and "atoms" in value else EllipseBeliefs
    _refuse_keys(key, value, _ellipse_keys() if kind is EllipseBeliefs else _keys(EllipseAtoms))
    if kind is EllipseBeliefs:
        return ellipse_beliefs(value)
    plain = {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}
    atoms: EllipseAtoms = _construct(EllipseAtoms, plain)
    return atoms


def _refuse_keys(key: str, value: Any, known: Sequence[Belief]) -> None:
    """Refuse a setting that lacks what is needed, or has what nobody knows."""
    if not isinstance(value, Mapping):
        raise BeliefError(f"{key}: every setting must hold `key: value` lines, not {value!r}")
    needed = {belief.key for belief in known if belief.needed}
    unknown = sorted(set(value) - {belief.key for belief in known})
    missing = sorted(needed - set(value))
    if unknown or missing:
        raise BeliefError(
            f"{key}: missing {', '.join(missing) or 'nothing'}; unknown "
            f"{', '.join(unknown) or 'nothing'}"
        )


def _text(default: Any) -> str:
    if default is _MISSING:
        return ""
    if isinstance(default, tuple):
        return ",".join(f"{part:.6g}" if isinstance(part, float) else str(part) for part in default)
    return str(default).lower() if default is None or isinstance(default, bool) else str(default)
