"""A row of the estimators' benchmark, how it is run, and what its figures are.

Every module of this folder with a function `rows()` is found by `benchmarks/estimators.py`.
"""

from __future__ import annotations

import inspect
import math
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cavitylab.estimators import Estimate

Array = NDArray[np.float64]
Records = Mapping[str, Any]

LEVELS = (0.68, 0.95)
STANDARD_ERRORS = 3.0
MOST_FAILURES = 0.01
ENOUGH, MOST_SCATTER = 100, 0.25
"""From so many fits on, the error of the rmse may be so large a part of it: else single fits that
went astray would hide behind their own Monte-Carlo error."""


@dataclass(frozen=True, slots=True)
class Campaign:
    """One estimator at one truth.

    Attributes:
        name: estimator and case; rows are chosen by words in it.
        range: the truth and the number of shots in words.
        truth: true value of the leading quantity.
        draw: simulated records, nuisances off their calibrations where the fit leaves them free.
        fit: records to an `Estimate`. With a parameter `level` it is asked for the 68 % interval
            as well; without one, value +- std stands in for it.
        bound: least standard deviation of the leading quantity at the truth (Cramer-Rao).
        limit: largest rmse/bound; None: shown, not judged.
        coverage_limit: least coverage of the 95 % interval; None: shown, not judged.
        peers: name to a function of the records that gives the same quantity (nan: no answer);
            None: not installed here, and the row says so.
        quantity: name of the leading quantity; "": the first of the estimate.
        time_limit: longest median processor time of a fit, seconds (others may use the machine).
        replicates: with --long; 0: 1000 where a fit takes under 50 ms, else 200.
        bias_limit: largest |bias|/truth, for estimators without a bound.
        beats: peer to the factor by which its rmse must exceed the estimator's.
    """

    name: str
    range: str
    truth: float
    draw: Callable[[np.random.Generator], Records]
    fit: Callable[..., Estimate]
    bound: Callable[[float], float]
    limit: float | None = None
    coverage_limit: float | None = None
    peers: Mapping[str, Callable[[Records], float] | None] = field(default_factory=dict)
    quantity: str = ""
    time_limit: float | None = None
    replicates: int = 0
    bias_limit: float | None = None
    beats: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sample:
    """What one replicate gave; value is nan where the fit failed."""

    value: float
    inside: tuple[bool, bool]
    seconds: float
    failure: str
    peers: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its Monte-Carlo standard error."""

    value: float
    error: float

    def __str__(self) -> str:
        if not math.isfinite(self.value):
            return "-"
        digits = 3 if abs(self.value) < 10.0 else 1
        return f"{self.value:.{digits}f}±{self.error:.{digits}f}"


@dataclass(frozen=True, slots=True)
class Row:
    """The figures of an estimator or of a peer, and the rules it misses."""

    name: str
    range: str
    replicates: int
    bias: Figure  # in standard deviations of the errors
    efficiency: Figure  # rmse over the bound
    coverage: tuple[Figure, Figure]  # 68 %, 95 %
    failures: int
    seconds: Figure
    misses: tuple[str, ...]
    reasons: tuple[str, ...]
    judged: bool
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values; what is not finite becomes null."""
        return {
            "name": self.name,
            "range": self.range,
            "replicates": self.replicates,
            "bias_over_sigma": _pair(self.bias),
            "rmse_over_bound": _pair(self.efficiency),
            "coverage_68": _pair(self.coverage[0]),
            "coverage_95": _pair(self.coverage[1]),
            "failures": self.failures,
            "seconds": _pair(self.seconds),
            "misses": list(self.misses),
            "judged": self.judged,
            "note": self.note,
        }


def replicate(campaign: Campaign, seed: int, number: int) -> Sample:
    """One simulated record, fitted; its random numbers depend on name, seed and number only."""
    rng = np.random.default_rng([seed, zlib.crc32(_key(campaign).encode()), number])
    records = campaign.draw(rng)
    takes_level = "level" in inspect.signature(campaign.fit).parameters
    start = time.process_time()
    try:
        estimate = campaign.fit(records)
        seconds = time.process_time() - start
        quantity = _leading(campaign, estimate)
        value, (low, high) = quantity.value, quantity.interval
        if takes_level:
            near, far = _leading(campaign, campaign.fit(records, level=LEVELS[0])).interval
        else:
            near, far = value - quantity.std, value + quantity.std
        inside = (near <= campaign.truth <= far, low <= campaign.truth <= high)
        failure = _unanswered(estimate)
        if failure:
            value, inside = math.nan, (False, False)
    except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
        seconds, value, inside = time.process_time() - start, math.nan, (False, False)
        failure = f"{type(error).__name__}: {error}"
    peers = {name: _peer(answer, records) for name, answer in campaign.peers.items() if answer}
    return Sample(value, inside, seconds, failure, peers)


def _unanswered(estimate: Estimate) -> str:
    """Why an estimate says that it found nothing; "" when it gives a number."""
    quantity = next(iter(estimate.quantities.values()))
    if not math.isfinite(quantity.value):
        return "not finite"
    return next((flag for flag in estimate.flags if "not determined: " in flag), "")


def summarise(campaign: Campaign, samples: Sequence[Sample]) -> list[Row]:
    """The row of the estimator and one for each of its peers."""
    values = np.array([sample.value for sample in samples])
    good = np.isfinite(values)
    bound = campaign.bound(campaign.truth)
    errors = values[good] - campaign.truth
    coverage = [_share([s.inside[k] for s in samples]) for k in range(len(LEVELS))]
    times = np.array([sample.seconds for sample in samples])
    seconds = Figure(float(np.median(times)), 1.25 * _error(times))
    bias, efficiency = _bias(errors), _efficiency(errors, bound)
    failures = int((~good).sum())
    misses = _misses(campaign, efficiency, coverage[1], seconds, errors, failures, len(samples))
    for name, factor in campaign.beats.items():
        answers = np.array([sample.peers[name] for sample in samples]) - campaign.truth
        other = _efficiency(answers[np.isfinite(answers)], bound)
        ratio = other.value / efficiency.value
        slack = math.hypot(other.error / other.value, efficiency.error / efficiency.value)
        if not ratio * (1.0 + STANDARD_ERRORS * slack) >= factor:
            misses = (*misses, f"{name} only {ratio:.2g} x worse, {factor:g} asked")
    limits = (campaign.limit, campaign.coverage_limit, campaign.bias_limit, campaign.time_limit)
    rows = [
        Row(
            campaign.name,
            campaign.range,
            len(samples),
            bias,
            efficiency,
            (coverage[0], coverage[1]),
            failures,
            seconds,
            misses,
            tuple(sorted({sample.failure for sample in samples if sample.failure}))[:3],
            any(limit is not None for limit in limits),
        )
    ]
    nothing = Figure(math.nan, math.nan)
    for name, function in campaign.peers.items():
        if function is None:
            rows.append(_missing(f"  {name}", campaign.range, nothing))
            continue
        answers = np.array([sample.peers[name] for sample in samples])
        answered = np.isfinite(answers)
        off = answers[answered] - campaign.truth
        rows.append(
            Row(
                f"  {name}",
                campaign.range,
                len(samples),
                _bias(off),
                _efficiency(off, bound),
                (nothing, nothing),
                int((~answered).sum()),
                nothing,
                (),
                (),
                False,
            )
        )
    return rows


def broken(campaign: Campaign, reason: str) -> Row:
    """The row of a campaign that could not be measured."""
    nothing = Figure(math.nan, math.nan)
    both = (nothing, nothing)
    words, note = ("not measured",), "not measured"
    return Row(
        campaign.name,
        campaign.range,
        0,
        nothing,
        nothing,
        both,
        0,
        nothing,
        words,
        (reason,),
        True,
        note,
    )


def _missing(name: str, words: str, nothing: Figure) -> Row:
    both = (nothing, nothing)
    note = "not installed"
    return Row(name, words, 0, nothing, nothing, both, 0, nothing, (), (), False, note)


def _key(campaign: Campaign) -> str:
    return f"{campaign.name}|{campaign.range}"


def _leading(campaign: Campaign, estimate: Estimate) -> Any:
    return estimate[campaign.quantity or next(iter(estimate.quantities))]


def _peer(answer: Callable[[Records], float], records: Records) -> float:
    try:
        return float(answer(records))
    except (ValueError, ArithmeticError, RuntimeError, np.linalg.LinAlgError):
        return math.nan


def _bias(errors: Array) -> Figure:
    if errors.size < 2 or errors.std() == 0.0:
        return Figure(math.nan, math.nan)
    return Figure(float(errors.mean() / errors.std(ddof=1)), 1.0 / math.sqrt(errors.size))


def _efficiency(errors: Array, bound: float) -> Figure:
    if errors.size < 2 or not bound > 0.0:
        return Figure(math.nan, math.nan)
    squares = (errors / bound) ** 2
    rmse = math.sqrt(float(squares.mean()))
    return Figure(rmse, _error(squares) / (2.0 * rmse) if rmse else 0.0)


def _share(hits: Sequence[bool]) -> Figure:
    """A share; its error is that of one hit more or less, so that 0 and 1 have one too."""
    total = len(hits)
    share = sum(hits) / total
    smoothed = (sum(hits) + 1.0) / (total + 2.0)
    return Figure(share, math.sqrt(smoothed * (1.0 - smoothed) / total))


def _error(values: Array) -> float:
    return float(values.std(ddof=1)) / math.sqrt(values.size) if values.size > 1 else math.nan


def _misses(
    campaign: Campaign,
    efficiency: Figure,
    coverage: Figure,
    seconds: Figure,
    errors: Array,
    failures: int,
    total: int,
) -> tuple[str, ...]:
    """Rules missed by more than three Monte-Carlo standard errors, in words."""
    misses = []
    slack = STANDARD_ERRORS * efficiency.error
    if campaign.limit is not None and not efficiency.value - slack <= campaign.limit:
        misses.append(f"rmse/bound > {campaign.limit:g}")
    slack = STANDARD_ERRORS * coverage.error
    if campaign.coverage_limit is not None and coverage.value + slack < campaign.coverage_limit:
        misses.append(f"coverage < {campaign.coverage_limit:g}")
    if campaign.bias_limit is not None:
        reach = STANDARD_ERRORS * _error(errors)
        if not abs(float(errors.mean())) - reach <= campaign.bias_limit * abs(campaign.truth):
            misses.append(f"bias > {campaign.bias_limit:.0%}")
    fastest = seconds.value - STANDARD_ERRORS * seconds.error
    if campaign.time_limit is not None and not fastest <= campaign.time_limit:
        misses.append(f"slower than {1e3 * campaign.time_limit:g} ms")
    if total >= ENOUGH and efficiency.error > MOST_SCATTER * efficiency.value:
        misses.append("rmse carried by a few fits")
    if failures > MOST_FAILURES * total:
        misses.append(f"{failures} of {total} fits failed")
    return tuple(misses)


def _pair(figure: Figure) -> list[float | None]:
    return [number if math.isfinite(number) else None for number in (figure.value, figure.error)]
