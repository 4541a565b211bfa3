"""What a campaign of blind tests says: coverage, width, scatter, and how good the plan was."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import binom, norm

LEVEL = 0.95
LEAST_COVERED = 87
"""Of 100 intervals of 95 %; an honest one fails this with probability 4e-4."""
WIDEST = 1.2
PREDICTED_WITHIN = 0.15

Line = tuple[str, str, str, bool]
"""What, figure, limit, whether it is kept."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one laboratory gave.

    Attributes:
        seed: Which laboratory.
        truth, value, std: Of the quantity, in its unit.
        inside: Whether the interval holds the truth.
        width: Width of the interval.
        bound: Standard deviation of the Cramér-Rao bound at the truth.
        p_value: Goodness of fit; NaN where there is none.
        wall, cpu: Time of the run, and of the processor for it, s.
        others: Truth, value, standard deviation and whether the interval holds the truth, of every
            other quantity that has a truth.
        failure: Why there is no number; empty where there is one.
        planned: What `cavitylab plan` promised for this very station; NaN where all laboratories
            share the shipped station and its plan.
    """

    seed: int
    truth: float
    value: float
    std: float
    inside: bool
    width: float
    bound: float
    p_value: float
    wall: float
    cpu: float = math.nan
    others: Mapping[str, tuple[float, float, float, bool]] = field(default_factory=dict)
    failure: str = ""
    planned: float = math.nan

    @property
    def off(self) -> float:
        """The error in bounds."""
        return (self.value - self.truth) / self.bound


@dataclass(frozen=True, slots=True)
class Verdict:
    """The figures of one protocol and whether each keeps its limit.

    Attributes:
        lines: (what, figure, limit, kept).
    """

    name: str
    lines: tuple[tuple[str, str, str, bool], ...]

    @property
    def kept(self) -> bool:
        """Whether every limit is kept."""
        return all(good for *_, good in self.lines)

    def __str__(self) -> str:
        rows = [
            f"  {what:<48} {figure:<22} {limit:<18} {'ok' if good else 'MISSED'}"
            for what, figure, limit, good in self.lines
        ]
        return "\n".join([self.name, *rows])


def judge(name: str, rows: Sequence[Outcome], predicted: float | Mapping[str, float]) -> Verdict:
    """The table of one protocol.

    Args:
        name: What is judged.
        rows: Its laboratories.
        predicted: What was planned: of the leading quantity, or by quantity, that one first.

    Fewer than 100 laboratories need so few intervals that an honest one fails once in 10^4.
    """
    n, done = len(rows), [row for row in rows if not row.failure]
    planned = predicted if isinstance(predicted, Mapping) else {"": predicted}
    inside = sum(row.inside for row in rows)
    need = round(LEAST_COVERED * n / 100) if n >= 100 else int(binom.ppf(1e-4, n, LEVEL))
    covered = ("95 % intervals that hold the truth", f"{inside} of {n}", f"at least {need}")
    lines: list[Line] = [(*covered, inside >= need)]
    if n > len(done):
        lines.append(("runs that failed", f"{n - len(done)} of {n}", "none", False))
    if done:
        lines += _widths(done, next(iter(planned.values())))
        for key in done[0].others:
            lines += _other(key, [row.others[key] for row in done if key in row.others], planned)
        cpu = float(np.median([row.cpu for row in done]))
        wall = float(np.median([row.wall for row in done]))
        lines.append(("CPU and wall time of a laboratory", f"{cpu:.1f} s, {wall:.1f} s", "", True))
    return Verdict(f"{name}: {n} laboratories", tuple(lines))


def _widths(rows: Sequence[Outcome], predicted: float) -> list[Line]:
    """Interval, scatter and printed error of the leading quantity, beside bound and plan."""
    n = len(rows)
    reach = 2 * float(norm.ppf(0.5 + LEVEL / 2))
    width = float(np.mean([row.width / (reach * row.bound) for row in rows]))
    ratio = float(np.sqrt(np.mean([row.off**2 for row in rows])))
    spread = 1 / math.sqrt(2 * n)
    planned = [predicted if math.isnan(row.planned) else row.planned for row in rows]
    printed = float(
        np.sqrt(np.mean([(row.std / p) ** 2 for row, p in zip(rows, planned, strict=True)]))
    )
    bias = float(np.mean([row.off for row in rows]))
    poor = sum(row.p_value < 1e-3 for row in rows)
    wide = ("interval / that of the Cramér-Rao bound", f"{width:.3f}", f"at most {WIDEST}")
    return [
        (*wide, width <= WIDEST),
        ("rmse / Cramér-Rao bound", f"{ratio:.3f} ± {ratio * spread:.3f}", "", True),
        _printed("", printed),
        _scattered([(row.value - row.truth) / p for row, p in zip(rows, planned, strict=True)]),
        ("mean error / bound", f"{bias:+.3f} ± {1 / math.sqrt(n):.3f}", "", True),
        ("fits with p below 1e-3", f"{poor}", "", True),
    ]


def _printed(of: str, ratio: float) -> Line:
    within = abs(ratio - 1) <= PREDICTED_WITHIN
    wanted = f"within {PREDICTED_WITHIN:.0%}"
    return (f"{of}printed std / predicted by plan", f"{ratio:.3f}", wanted, within)


def _scattered(errors: Sequence[float]) -> Line:
    """The scatter, errors in units of the plan; fewer than 100 may miss by their own error."""
    n = len(errors)
    spread = 1 / math.sqrt(2 * n)
    ratio = float(np.sqrt(np.mean(np.square(errors))))
    slack = PREDICTED_WITHIN + 3 * spread if n < 100 else PREDICTED_WITHIN
    figure = f"{ratio:.3f} ± {ratio * spread:.3f}"
    wanted = f"within {slack:.0%}"
    return ("rmse / predicted by plan", figure, wanted, abs(ratio - 1) <= slack)


def _other(
    key: str,
    rows: Sequence[tuple[float, float, float, bool]],
    planned: Mapping[str, float],
) -> list[Line]:
    """Figures of another quantity: reported, and held against the plan where it names it."""
    errors = np.array([value - truth for truth, value, _, _ in rows])
    printed = math.sqrt(float(np.mean([std**2 for _, _, std, _ in rows])))
    inside = sum(held for *_, held in rows)
    ratio = float(np.sqrt(np.mean(errors**2))) / printed if printed else math.inf
    lines: list[Line] = [
        (f"{key}: 95 % intervals that hold the truth", f"{inside} of {len(rows)}", "", True),
        (f"{key}: rmse / printed std", f"{ratio:.3f}", "", True),
    ]
    if key in planned:
        lines.append(_printed(f"{key}: ", printed / planned[key]))
    return lines
