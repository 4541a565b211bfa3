"""Stop conditions: what they mean, and what they refuse."""

from __future__ import annotations

import pytest

from cavitylab.estimators import Quantity
from cavitylab.protocols.engine.until import Situation, UntilError, parse_until

NAMES = ("phase", "gain")
QUANTITIES = {"phase": Quantity(0.2, 2e-3, (0.196, 0.204), 0.95, "rad")}


def holds(text: str, shots: int = 100, elapsed: float = 5.0, quantities=QUANTITIES) -> bool:
    """Whether a condition holds in a fixed situation."""
    return parse_until(text, NAMES)(Situation(shots, elapsed, quantities))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("std(phase)<1e-2", True),
        ("std(phase) < 1e-4", False),
        ("shots >= 100", True),
        ("shots > 100 or elapsed >= 5", True),
        ("not shots > 100 and elapsed < 6", True),
        ("1e-3 < std(phase) < 3e-3", True),
        ("width(phase) / 4 <= 2.1e-3", True),
        ("value(phase) - 2 * std(phase) > 0", True),
        ("value(phase) > -1", True),
    ],
)
def test_conditions_mean_what_they_say(text, expected):
    """Comparisons, chains, and/or/not and arithmetic, as in Python."""
    assert holds(text) is expected


def test_before_the_first_estimate_no_goal_is_reached():
    """A condition on an estimate waits for one; one on shots does not."""
    assert not holds("std(phase) < 1", quantities=None)
    assert not holds("std(phase) < 1 or shots > 1", quantities=None)
    assert holds("shots > 1", quantities=None)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("std(phase <", "cannot read"),
        ("", "cannot read"),
        ("shots", "write a comparison"),
        ("shots == 5", "compare with <"),
        ("std(theta) < 1", "quantities are phase, gain"),
        ("mean(phase) < 1", "functions are value, std, width"),
        ("std('phase') < 1", r"write std\(quantity\)"),
        ("std(phase, gain) < 1", r"write std\(quantity\)"),
        ("time < 3", "use numbers and shots, elapsed"),
        ("shots ** 2 > 3", "use numbers"),
        ("True < 2", "use numbers"),
        ("__import__('os').system('true') < 1", "functions are"),
        ("phase.std < 1", "use numbers"),
        ("[shots for x in y] < 1", "use numbers"),
        ("(lambda: 1)() < 2", "functions are"),
        ("shots if 1 else 2", "write a comparison"),
    ],
)
def test_everything_else_is_refused_with_a_remedy(text, complaint):
    """Nothing is ever run as code."""
    with pytest.raises(UntilError, match=complaint):
        parse_until(text, NAMES)
