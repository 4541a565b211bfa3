"""`cavitylab estimate --describe`: the estimators, their columns and their beliefs in words."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING

from .exits import ExitCode, say_error

if TYPE_CHECKING:
    from ..estimators.registry import EstimatorEntry

_WIDTH = 100


def list_estimators(name: str | None = None) -> ExitCode:
    """All estimators, or one with the columns that it reads and the beliefs that it takes."""
    from ..estimators.belief_values import BeliefError
    from ..estimators.registry import estimators, find_estimator

    if name is None:
        for entry in estimators().values():
            print(f"{entry.name:<24} {entry.summary}")
        return ExitCode.DONE
    try:
        entry = find_estimator(name)
    except BeliefError as error:
        say_error(str(error))
        return ExitCode.USAGE
    print(f"{entry.name}: {entry.summary}\n\nColumns:")
    for line in _column_lines(entry):
        print(line)
    print("\nBeliefs (--set key=value, or `key: value` lines in a file of --beliefs):")
    for line in _belief_lines(entry):
        print(line)
    return ExitCode.DONE


def _column_lines(entry: EstimatorEntry) -> list[str]:
    """What `update` says of its records, without the frame of a docstring."""
    text = entry.records.partition("\nRaises:")[0]
    text = text.partition("records: ")[2] or text.removeprefix("Add a block: ")
    paragraphs = [" ".join(part.split()) for part in text.split("\n\n")]
    return [f"  {line}" for part in paragraphs if part for line in wrap(part, _WIDTH - 2)]


def _belief_lines(entry: EstimatorEntry) -> list[str]:
    """Key, kind and default of each belief, and below it what it means."""
    lines = []
    for belief in entry.beliefs():
        default = "needed" if belief.needed else f"default {belief.default or 'empty'}"
        lines.append(f"  {belief.key:<22} {belief.kind}, {default}")
        lines.extend(f"      {line}" for line in wrap(belief.meaning, _WIDTH - 6))
    return lines
