"""Faults on purpose: what can go wrong on the wire and on the table, by rule.

A rule watches the messages to one device. Kinds of faults:

===============  ======================================================================
kind             what happens
===============  ======================================================================
mute             the message is obeyed, the answer never comes
slow             the answer (and all behind it) comes `seconds` late
garbage          the answer is replaced by bytes that are no text
truncate         the second half of the answer and its end are lost
drop             the device closes the link
refuse           the link is refused on opening (pattern matches ``<open>``)
error_queue      the device reports an error that nobody caused
wrong_value      the number in the answer is wrong but valid (`value`, or 10 % more)
stuck            from now on the same question always gets the same old answer
trigger_lost     the message is not obeyed (a pulse that nobody saw)
trigger_doubled  the message is obeyed twice
gate_lost        the counter misses the next opening of its gate
memory_overflow  the counter loses its oldest reading and says so in its status
laser_unlocked   the laser falls out of lock
coil_hot         the coil supply's interlock switches the output off
===============  ======================================================================

Besides messages a pattern may match the events ``<open>`` and ``<fire>`` (a
burst of shots begins).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import StationFileError

ON_THE_WIRE = ("mute", "slow", "garbage", "truncate", "drop", "wrong_value", "stuck")
IN_THE_DEVICE = (
    "error_queue",
    "trigger_lost",
    "trigger_doubled",
    "gate_lost",
    "memory_overflow",
    "laser_unlocked",
    "coil_hot",
)
KINDS = (*ON_THE_WIRE, *IN_THE_DEVICE, "refuse")

_NUMBER = re.compile(rb"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?")


@dataclass(frozen=True, slots=True)
class FaultRule:
    """When and how one device fails.

    Attributes:
        device: Name of the device.
        kind: One of `KINDS`.
        pattern: Regular expression searched in the message, whatever its case.
        nth: Only the n-th matching message (from 1).
        probability: Each matching message with this probability. With neither
            `nth` nor `probability`: every one.
        seconds: Delay of a slow answer.
        value: Text of a wrong value, or of the error reported.
    """

    device: str
    kind: str
    pattern: str = ".*"
    nth: int | None = None
    probability: float | None = None
    seconds: float = 10.0
    value: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise StationFileError(
                f"fault of `{self.device}`: kind must be one of {', '.join(KINDS)}, "
                f"but is {self.kind!r}."
            )
        try:
            re.compile(self.pattern)
        except re.error as problem:
            raise StationFileError(
                f"fault of `{self.device}`: pattern {self.pattern!r} is no regular "
                f"expression: {problem}."
            ) from problem


class Faults:
    """The rules of a laboratory with their counters.

    Args:
        rules: The rules; each that applies strikes.
        rng: Draws for rules with a probability.

    Attributes:
        expected: Whether there is any rule: without one no answer has to be looked at.
    """

    def __init__(self, rules: Sequence[FaultRule], rng: np.random.Generator) -> None:
        self._rules = [(rule, re.compile(rule.pattern, re.IGNORECASE)) for rule in rules]
        self.expected = bool(self._rules)
        self._seen = [0] * len(self._rules)
        self._rng = rng
        self._stuck: dict[tuple[str, str], bytes] = {}

    def strike(self, device: str, message: str) -> tuple[FaultRule, ...]:
        """The rules that strike at this message to this device."""
        struck = []
        for number, (rule, pattern) in enumerate(self._rules):
            if rule.device != device or not pattern.search(message):
                continue
            if (rule.kind == "refuse") != (message == "<open>"):
                continue
            self._seen[number] += 1
            if rule.nth is not None and self._seen[number] != rule.nth:
                continue
            if rule.probability is not None and self._rng.random() >= rule.probability:
                continue
            struck.append(rule)
        return tuple(struck)

    def spoil(self, rule: FaultRule, message: str, answer: bytes, end: bytes) -> bytes:
        """The answer (without its terminator `end`) after a fault on the wire."""
        if rule.kind == "garbage":
            return bytes(self._rng.integers(0x80, 0x100, size=12, dtype=np.uint8)) + end
        if rule.kind == "truncate":
            return answer[: len(answer) // 2]
        if rule.kind == "wrong_value":
            return _wrong(answer, rule.value) + end
        if rule.kind == "stuck":
            self._stuck.setdefault((rule.device, message), answer)
        return answer + end

    def stuck(self, device: str, message: str) -> bytes | None:
        """The old answer to a question that got stuck before."""
        return self._stuck.get((device, message))


def _wrong(answer: bytes, value: str | None) -> bytes:
    """The first number of an answer replaced, so that the answer still parses."""

    def replace(match: re.Match[bytes]) -> bytes:
        if value is not None:
            return value.encode()
        number = match.group()
        if number.lstrip(b"+-").isdigit():
            return str(int(number) + max(1, round(0.1 * abs(int(number))))).encode()
        return f"{1.1 * float(number) + 0.001:.6E}".encode()

    return _NUMBER.sub(replace, answer, count=1)
