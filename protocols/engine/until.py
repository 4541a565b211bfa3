"""Stop conditions in the operator's words: ``std(phase) < 1e-4 and shots >= 500``.

The text is parsed into Python's syntax tree and only comparisons, ``and``/``or``/``not``, the four
arithmetic operations, numbers and the names below are accepted; nothing is ever evaluated as code.

    shots, elapsed               shots taken; time since the start, in s
    value(q), std(q), width(q)   of the running estimate of quantity q
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...instruments.errors import CavityLabError


class UntilError(CavityLabError, ValueError):
    """A stop condition that cannot be understood; says which part and what is allowed."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What a stop condition may look at.

    Args:
        shots: Shots taken so far.
        elapsed: Time since the start, in s of the laboratory's clock.
        quantities: Running estimates by name, with ``value``, ``std`` and ``interval``; None
            before the first estimate.
    """

    shots: int
    elapsed: float
    quantities: Mapping[str, Any] | None


_Term = Callable[[Situation], float]
_Test = Callable[[Situation], bool]

_COMPARE: dict[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_ARITHMETIC: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_NAMES: dict[str, _Term] = {
    "shots": lambda now: float(now.shots),
    "elapsed": lambda now: now.elapsed,
}
_FUNCTIONS: dict[str, Callable[[Any], float]] = {
    "value": lambda quantity: float(quantity.value),
    "std": lambda quantity: float(quantity.std),
    "width": lambda quantity: float(quantity.interval[1] - quantity.interval[0]),
}


@dataclass(frozen=True, slots=True)
class Until:
    """A parsed stop condition; call it with the situation.

    Attributes:
        text: The condition as given.
        needs_estimate: Whether it looks at an estimate.
    """

    text: str
    needs_estimate: bool
    _test: _Test

    def __call__(self, situation: Situation) -> bool:
        """Whether the run has reached its goal; False while an estimate it needs is missing."""
        if self.needs_estimate and situation.quantities is None:
            return False
        return self._test(situation)


def parse_until(text: str, quantities: tuple[str, ...]) -> Until:
    """Parse a stop condition.

    Args:
        text: For example ``"std(phase) < 1e-4"``.
        quantities: Names that the running estimate will have.

    Raises:
        UntilError: The text is not such a condition, or names an unknown quantity.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError) as error:
        raise UntilError(f"cannot read the stop condition {text!r}: {error}") from error
    parser = _Parser(text, quantities)
    test = parser.test(tree.body)
    return Until(text, parser.needs_estimate, test)


class _Parser:
    """Turns a syntax tree into nested functions, refusing all that is not listed above."""

    def __init__(self, text: str, quantities: tuple[str, ...]) -> None:
        self._text = text
        self._quantities = quantities
        self.needs_estimate = False

    def test(self, node: ast.expr) -> _Test:
        if isinstance(node, ast.BoolOp):
            tests = [self.test(value) for value in node.values]
            every = all if isinstance(node.op, ast.And) else any
            return lambda now: every(test(now) for test in tests)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            inner = self.test(node.operand)
            return lambda now: not inner(now)
        if isinstance(node, ast.Compare):
            return self._comparison(node)
        raise self._refused(node, "write a comparison, such as std(phase) < 1e-4")

    def _comparison(self, node: ast.Compare) -> _Test:
        terms = [self.term(part) for part in (node.left, *node.comparators)]
        compares = []
        for op in node.ops:
            if type(op) not in _COMPARE:
                raise self._refused(node, "compare with <, <=, > or >=")
            compares.append(_COMPARE[type(op)])

        def test(now: Situation) -> bool:
            values = [term(now) for term in terms]
            pairs = zip(compares, values, values[1:], strict=False)
            return all(compare(left, right) for compare, left, right in pairs)

        return test

    def term(self, node: ast.expr) -> _Term:
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            number = float(node.value)  # type: ignore[arg-type]
            return lambda _: number
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            inner = self.term(node.operand)
            return lambda now: -inner(now)
        if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
            combine = _ARITHMETIC[type(node.op)]
            left, right = self.term(node.left), self.term(node.right)
            return lambda now: combine(left(now), right(now))
        if isinstance(node, ast.Name) and node.id in _NAMES:
            return _NAMES[node.id]
        if isinstance(node, ast.Call):
            return self._function(node)
        known = ", ".join([*_NAMES, *(f"{name}(quantity)" for name in _FUNCTIONS)])
        raise self._refused(node, f"use numbers and {known}")

    def _function(self, node: ast.Call) -> _Term:
        if not (isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS):
            raise self._refused(node, f"the functions are {', '.join(_FUNCTIONS)}")
        if node.keywords or len(node.args) != 1 or not isinstance(node.args[0], ast.Name):
            raise self._refused(node, f"write {node.func.id}(quantity)")
        name = node.args[0].id
        if name not in self._quantities:
            raise self._refused(node, f"the quantities are {', '.join(self._quantities)}")
        look = _FUNCTIONS[node.func.id]
        self.needs_estimate = True

        def term(now: Situation) -> float:
            quantities = now.quantities or {}
            return look(quantities[name])

        return term

    def _refused(self, node: ast.expr, remedy: str) -> UntilError:
        part = ast.get_source_segment(self._text.strip(), node) or self._text
        return UntilError(f"stop condition {self._text!r}: cannot use {part!r}; {remedy}")
