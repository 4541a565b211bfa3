"""Beliefs from texts: numbers, pairs, calibrations and lists, as constructors want them."""

from __future__ import annotations

import math
import re
import types
import typing
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from numpy.typing import ArrayLike

from .binomial_beliefs import CommonPhase, EllipseAtoms
from .pumping_beliefs import Calibrated
from .schedule_beliefs import BiasSetting


class BeliefError(ValueError):
    """A belief that is missing, not known, or not of the kind that is wanted."""


def number_of(key: str, value: Any) -> float:
    """A finite number.

    Raises:
        BeliefError: naming the key.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise BeliefError(f"{key}: {value!r} is not a number") from None
    if not math.isfinite(number):
        raise BeliefError(f"{key}: must be finite, but is {value!r}")
    return number


def converted(key: str, value: Any, kind: Any) -> Any:
    """A text, or a plain value of a file, as the kind that is wanted; finished objects stay.

    Args:
        key: of the belief, for the message.
        value: text as on a command line ("20", "20+-0.6", "0.7,1.4", "none"), or anything else.
        kind: type of the constructor's parameter.

    Raises:
        BeliefError: on what does not fit the kind.
    """
    choices = choices_of(kind)
    if not isinstance(value, str):
        _refuse_other_kinds(key, value, choices)
        return value
    text = value.strip()
    if text.lower() == "none" and type(None) in choices:
        return None
    if CommonPhase in choices:
        return CommonPhase(*_value_and_std(key, text))
    if Calibrated in choices:
        return Calibrated(*_value_and_std(key, text))
    pairs = [choice for choice in choices if typing.get_origin(choice) is tuple]
    if pairs and ("," in text or float not in choices):
        return _numbers(key, text, pairs[0])
    if "," in text and _many(choices):
        return tuple(number_of(key, part) for part in text.split(","))
    if bool in choices and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if bool in choices:
        raise BeliefError(f"{key}: must be true or false, but is {text!r}")
    if int in choices and float not in choices:
        number = number_of(key, text)
        if number != round(number):
            raise BeliefError(f"{key}: must be a whole number, but is {text!r}")
        return round(number)
    if float in choices:
        return number_of(key, text)
    return text


def choices_of(kind: Any) -> tuple[Any, ...]:
    """The members of a union, or the kind alone."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return typing.get_args(kind)
    return (kind,)


def kind_in_words(kind: Any) -> str:
    """What is to be written for a parameter of this kind."""
    words: list[str] = []
    if _many((kind,)) or kind == ArrayLike | None:
        return "number,number… (a list of lists in a file of beliefs)"
    for choice in choices_of(kind):
        if choice is type(None):
            words.append("none")
        elif choice in (Calibrated, CommonPhase):
            words.append("value+-std")
        elif choice == Sequence[BiasSetting]:
            words.append("list of settings in a file of beliefs: prepared, bias_phase …")
        elif typing.get_origin(choice) is Sequence and EllipseAtoms in choices_of(
            typing.get_args(choice)[0]
        ):
            words.append("list of settings in a file of beliefs: atoms and contrasts, or spin …")
        elif typing.get_origin(choice) is tuple:
            words.append("number,number" + "…" * (Ellipsis in typing.get_args(choice)))
        elif typing.get_origin(choice) is typing.Literal:
            words.append("|".join(str(option) for option in typing.get_args(choice)))
        else:
            words.append(
                {float: "number", int: "whole number", bool: "true|false"}.get(choice, "text")
            )
    return " or ".join(dict.fromkeys(words))


def near_names(name: str, known: Sequence[str]) -> str:
    """ " (did you mean …?)", or nothing where no known name is near."""
    near = get_close_matches(name, known, n=2, cutoff=0.6)
    return f" (did you mean {' or '.join(near)}?)" if near else ""


def _many(choices: tuple[Any, ...]) -> bool:
    return any(choice == ArrayLike for choice in choices)


def _value_and_std(key: str, text: str) -> tuple[float, float]:
    centre, mark, spread = re.sub("±", "+-", text).partition("+-")
    if not mark:
        raise BeliefError(f"{key}: give value+-std, e.g. 20+-0.6, not {text!r}")
    return number_of(key, centre), number_of(key, spread)


def _numbers(key: str, text: str, kind: Any) -> tuple[float, ...]:
    """Numbers with commas between them, as many as the kind has."""
    wanted = typing.get_args(kind)
    parts = text.split(",")
    if Ellipsis in wanted:
        if len(parts) < 2:
            raise BeliefError(f"{key}: give numbers with commas between them, not {text!r}")
    elif len(parts) != len(wanted):
        raise BeliefError(
            f"{key}: give {len(wanted)} numbers with commas between them, not {text!r}"
        )
    return tuple(number_of(key, part) for part in parts)


def _refuse_other_kinds(key: str, value: Any, choices: tuple[Any, ...]) -> None:
    """Refuse numbers where lists are wanted, and the like; only plain values of a file."""
    if Calibrated in choices or CommonPhase in choices:
        if isinstance(value, (int, float, list, tuple, Mapping)):
            raise BeliefError(f"{key}: give value+-std, e.g. 20+-0.6, not {value!r}")
        return
    pairs = [choice for choice in choices if typing.get_origin(choice) is tuple]
    plain = [choice for choice in choices if choice in (float, int, bool)]
    if isinstance(value, (list, tuple)) and pairs:
        wanted = typing.get_args(pairs[0])
        if Ellipsis not in wanted and len(value) != len(wanted):
            raise BeliefError(f"{key}: give {len(wanted)} numbers, not {list(value)!r}")
        for part in value:
            number_of(key, part)
    elif isinstance(value, bool):
        if plain and bool not in plain:
            raise BeliefError(f"{key}: must be a number, but is {str(value).lower()}")
    elif isinstance(value, (int, float)):
        if pairs and not plain:
            raise BeliefError(f"{key}: give numbers with commas between them, not {value!r}")
        if int in plain and float not in plain and value != round(value):
            raise BeliefError(f"{key}: must be a whole number, but is {value!r}")
    elif plain and len(plain) + (type(None) in choices) == len(choices):
        if not (value is None and type(None) in choices) and _is_plain(value):
            raise BeliefError(f"{key}: must be {kind_in_words(plain[0])}, but is {value!r}")


def _is_plain(value: Any) -> bool:
    """Whether a value can come from a file, and is no array or object of this package."""
    return value is None or isinstance(value, (list, tuple, Mapping))
