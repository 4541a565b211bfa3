"""Every estimator by name, built from `key=value` beliefs: for the console and for scripts.

An estimator is a class that the package exports with `update(records)` and `estimate(level)`.
Its constructor says what must be known beforehand; beliefs in frozen dataclasses are taken
field by field, so that nothing has to be listed a second time.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import math
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from .binomial_beliefs import CommonPhase, EllipseAtoms
from .ellipse_beliefs import EllipseBeliefs
from .estimate import Estimate
from .phase_table import PhaseTable, coherent_table
from .pumping_beliefs import Calibrated

_MISSING = object()
_ELLIPSE_STDS = ("detuning_ratio_std", "pulse_area_std", "gain_std", "background_std")
_METHODS = ("auto", "exact_table", "gaussian_ring", "rotor_mixture")
_SEED = 1


class Estimator(Protocol):
    """What every estimator can do."""

    def update(self, records: Mapping[str, ArrayLike]) -> None:
        """Take in a block of records."""
        ...

    def estimate(self, level: float = 0.95) -> Estimate:
        """The answer from everything taken in so far."""
        ...


class BeliefError(ValueError):
    """A belief that is missing, not known, or not of the kind that is wanted."""


@dataclass(frozen=True, slots=True)
class Belief:
    """One thing to be known beforehand: key, kind in words, default, whether it must be given."""

    key: str
    kind: str
    default: str
    needed: bool


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
        """What `update` says about the columns."""
        return inspect.getdoc(getattr(self.factory, "update")) or ""  # noqa: B009

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
            raise BeliefError(
                f"{self.name}: missing {', '.join(missing) or 'nothing'}; "
                f"unknown {', '.join(unknown) or 'nothing'}; it takes {', '.join(known)}"
            )
        estimator: Estimator = _construct(self.factory, values)
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
    """An estimator by its name, or by a method of the ellipse.

    Raises:
        BeliefError: listing the names.
    """
    known = estimators()
    wanted = "ellipse_phase" if name in _METHODS else name
    if wanted not in known:
        raise BeliefError(f"no estimator {name!r}; there are {', '.join(known)}")
    return known[wanted]


def snake_case(name: str) -> str:
    """EllipsePhase to ellipse_phase."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def ellipse_beliefs(values: Mapping[str, Any]) -> EllipseBeliefs:
    """Beliefs of an ellipse from flat keys; *_std are relative, that of the background in counts.

    Raises:
        BeliefError: on a value that is no number.
    """
    numbers = {key: _number(key, value) for key, value in values.items()}
    stds = [numbers.pop(key, 0.0) for key in _ELLIPSE_STDS]
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
    keys = []
    for name, kind, default in _fields(factory):
        inner = _parts(kind)
        if kind is EllipseBeliefs:
            keys.extend(_ellipse_keys())
        elif inner is not None:
            keys.extend(_keys(inner))
        elif np.random.Generator in _choices(kind):
            keys.append(Belief("seed", "whole number", str(_SEED), False))
        else:
            keys.append(Belief(name, _kind_in_words(kind), _text(default), default is _MISSING))
    return keys


def _ellipse_keys() -> list[Belief]:
    names = [field.name for field in dataclasses.fields(EllipseBeliefs)]
    plain = [name for name in names if name not in ("covariance", "bias_phase", "bias_std")]
    keys = [Belief(name, "number", "", True) for name in plain]
    keys += [Belief(name, "number", "", True) for name in _ELLIPSE_STDS]
    return [
        *keys,
        Belief("bias_phase", "number", "0.0", False),
        Belief("bias_std", "number", "0.0", False),
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
        elif np.random.Generator in _choices(kind):
            seed = _converted("seed", values.get("seed", _SEED), int)
            arguments[name] = np.random.default_rng(seed)
        elif name in values:
            arguments[name] = _converted(name, values[name], kind)
        elif default is _MISSING:
            raise BeliefError(f"missing {name}")
    return factory(**arguments)


def _is_ready(values: Mapping[str, Any], name: str, kind: Any) -> bool:
    """Whether a parameter that is built from keys of its own is given as a finished object."""
    return (_parts(kind) is not None) and isinstance(values.get(name), kind)


def _replaced(ready: Any, values: Mapping[str, Any]) -> Any:
    """A finished belief with single fields overruled."""
    names = {field.name for field in dataclasses.fields(ready)}
    stds = sorted(set(values) & set(_ELLIPSE_STDS))
    if isinstance(ready, EllipseBeliefs) and stds:
        raise BeliefError(
            f"{', '.join(stds)}: the beliefs of the run hold a whole covariance; give all beliefs "
            "in a file to change it"
        )
    changes = {key: values[key] for key in values if key in names}
    hints = typing.get_type_hints(type(ready))
    return dataclasses.replace(
        ready, **{key: _converted(key, value, hints[key]) for key, value in changes.items()}
    )


def _converted(key: str, value: Any, kind: Any) -> Any:
    """A text as the kind that is wanted; anything else as it is."""
    if isinstance(value, tuple | list) and any(isinstance(part, Mapping) for part in value):
        return tuple(_setting(key, part) for part in value)
    if not isinstance(value, str):
        return value
    text = value.strip()
    choices = _choices(kind)
    if text.lower() == "none" and type(None) in choices:
        return None
    if CommonPhase in choices:
        centre, _, spread = re.sub("±", "+-", text).partition("+-")
        return CommonPhase(_number(key, centre), _number(key, spread))
    if Calibrated in choices:
        centre, mark, spread = re.sub("±", "+-", text).partition("+-")
        if not mark:
            raise BeliefError(f"{key}: give value+-std, e.g. 20+-0.6, not {text!r}")
        return Calibrated(_number(key, centre), _number(key, spread))
    if any(typing.get_origin(choice) is tuple for choice in choices) and "," not in text:
        raise BeliefError(f"{key}: give numbers with commas between them, not {text!r}")
    if "," in text:
        return tuple(_number(key, part) for part in text.split(","))
    if bool in choices and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if int in choices and float not in choices:
        number = _number(key, text)
        if number != round(number):
            raise BeliefError(f"{key}: must be a whole number, but is {text!r}")
        return round(number)
    if float in choices:
        return _number(key, text)
    return text


def _setting(key: str, value: Any) -> EllipseBeliefs | EllipseAtoms:
    """One setting of several ellipses, from a mapping in a file of beliefs."""
    if not isinstance(value, Mapping):
        raise BeliefError(f"{key}: every setting must hold `key: value` lines, not {value!r}")
    kind: Any = EllipseAtoms if "atoms" in value else EllipseBeliefs
    known = _ellipse_keys() if kind is EllipseBeliefs else _keys(EllipseAtoms)
    needed = {belief.key for belief in known if belief.needed}
    unknown = sorted(set(value) - {belief.key for belief in known})
    missing = sorted(needed - set(value))
    if unknown or missing:
        raise BeliefError(
            f"{key}: missing {', '.join(missing) or 'nothing'}; unknown "
            f"{', '.join(unknown) or 'nothing'}"
        )
    if kind is EllipseBeliefs:
        return ellipse_beliefs(value)
    plain = {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}
    atoms: EllipseAtoms = _construct(EllipseAtoms, plain)
    return atoms


def _choices(kind: Any) -> tuple[Any, ...]:
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return typing.get_args(kind)
    return (kind,)


def _number(key: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise BeliefError(f"{key}: {value!r} is not a number") from None
    if not math.isfinite(number):
        raise BeliefError(f"{key}: must be finite, but is {value!r}")
    return number


def _kind_in_words(kind: Any) -> str:
    words: list[str] = []
    if kind == ArrayLike or kind == ArrayLike | None:
        return "number,number… (a list of lists in a file of beliefs)"
    for choice in _choices(kind):
        if choice is type(None):
            words.append("none")
        elif choice in (Calibrated, CommonPhase):
            words.append("value+-std")
        elif typing.get_origin(choice) is Sequence and EllipseAtoms in _choices(
            typing.get_args(choice)[0]
        ):
            words.append("list of settings in a file of beliefs: atoms and contrasts, or spin …")
        elif typing.get_origin(choice) is tuple:
            words.append("number,number…")
        elif typing.get_origin(choice) is typing.Literal:
            words.append("|".join(str(option) for option in typing.get_args(choice)))
        else:
            words.append(
                {float: "number", int: "whole number", bool: "true|false"}.get(choice, "text")
            )
    return " or ".join(dict.fromkeys(words))


def _text(default: Any) -> str:
    if default is _MISSING:
        return ""
    if isinstance(default, tuple):
        return ",".join(f"{part:.6g}" if isinstance(part, float) else str(part) for part in default)
    return str(default).lower() if default is None or isinstance(default, bool) else str(default)
