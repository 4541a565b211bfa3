"""Every estimator of the registry: blocks, bad records, poor data; no confident wrong answer."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from cavitylab.estimators import RecordError
from cavitylab.estimators.registry import estimators

_SPEC = importlib.util.spec_from_file_location(
    "every_estimator", Path(__file__).with_name("every_estimator.py")
)
assert _SPEC is not None and _SPEC.loader is not None
every_estimator = importlib.util.module_from_spec(_SPEC)
sys.modules[_SPEC.name] = every_estimator
_SPEC.loader.exec_module(every_estimator)
CASES, build = every_estimator.CASES, every_estimator.build

NAMES = sorted(CASES)
CLOSE = 1e-9
POOR_FIT = 1e-4


def records_of(name, shots=None, seed=1):
    case = CASES[name]
    return case.draw(np.random.default_rng(seed), shots or case.shots)


def fitted(name, *blocks):
    estimator = build(name)
    for block in blocks:
        estimator.update(block)
    return estimator.estimate()


def rows(records, chosen):
    return {name: np.asarray(column)[chosen] for name, column in records.items()}


def refused_or_flagged(name, records) -> str:
    """The message of the refusal or the flags; "" when the answer looks sure of itself."""
    try:
        found = fitted(name, records)
    except ValueError as error:
        return str(error)
    check = found.goodness_of_fit
    if check is not None and check.p_value < POOR_FIT:
        return f"p = {check.p_value}"
    return "; ".join(found.flags)


def test_every_exported_estimator_has_a_case() -> None:
    """What the package exports is judged here: a new estimator needs a line in CASES."""
    assert sorted(estimators()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_blocks_give_the_same_as_all_at_once(name) -> None:
    """Values, intervals, covariance and p-value to 1e-9, uneven split, an empty block."""
    records = records_of(name)
    shots = len(records[CASES[name].column])
    parts = np.split(np.arange(shots), [1, shots // 3, shots // 3, shots // 2 + 1])
    whole, split = fitted(name, records), fitted(name, *(rows(records, part) for part in parts))
    assert whole.shots == split.shots
    for key, quantity in whole.quantities.items():
        other = split[key]
        scale = abs(quantity.value) + quantity.std
        assert other.value == pytest.approx(quantity.value, rel=CLOSE, abs=CLOSE * scale)
        assert other.interval == pytest.approx(quantity.interval, rel=CLOSE, abs=CLOSE * scale)
    assert split.covariance == pytest.approx(whole.covariance, rel=1e-6, abs=1e-12)
    if whole.goodness_of_fit is not None:
        assert split.goodness_of_fit.p_value == pytest.approx(
            whole.goodness_of_fit.p_value, rel=1e-6
        )


@pytest.mark.parametrize("name", NAMES)
def test_records_that_cannot_be_are_refused_with_the_column(name) -> None:
    """NaN in any column, a column that is missing, too short, or not known; text for numbers."""
    records, column = records_of(name), CASES[name].column
    for key, values in records.items():
        spoiled = np.array(values, dtype=float)
        spoiled[1, ...] = math.nan
        with pytest.raises(RecordError, match=rf"`{key}`"):
            build(name).update({**records, key: spoiled})
    without = {key: values for key, values in records.items() if key != column}
    with pytest.raises(RecordError, match="`"):
        build(name).update(without)
    with pytest.raises(RecordError, match="`"):
        build(name).update({**records, column: np.asarray(records[column])[:-1, None, None]})
    with pytest.raises(RecordError, match=rf"`{column}`"):
        build(name).update({**records, column: ["many"] * len(records[column])})
    with pytest.raises(RecordError, match="status"):
        build(name).update({**records, "status": np.ones(len(records[column]) + 1)})


@pytest.mark.parametrize("name", [name for name in NAMES if CASES[name].column == "counts"])
@pytest.mark.parametrize("value", [-1.0, 0.5])
def test_counts_that_no_detector_gives_are_refused(name, value) -> None:
    """Negative counts and halves, with the number in the message."""
    records = records_of(name)
    counts = np.array(records["counts"], dtype=float)
    counts[2, ...] = value
    with pytest.raises(RecordError, match=f"{value:g}"):
        build(name).update({**records, "counts": counts})


@pytest.mark.parametrize("name", [n for n in NAMES if CASES[n].column == "counts"])
def test_counts_beyond_all_atoms_are_refused_or_flagged(name) -> None:
    """Refused where the atom number says so; where the gain is free, the fit must show it."""
    records = records_of(name)
    counts = np.array(records["counts"], dtype=float)
    counts[2, ...] = 1e7
    if CASES[name].atoms:
        with pytest.raises(RecordError, match="`counts`"):
            build(name).update({**records, "counts": counts})
    else:
        assert refused_or_flagged(name, {**records, "counts": counts})


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_not_answered(name) -> None:
    """No shots at all, and shots that are all marked bad: refused, or the whole range."""
    records = records_of(name)
    with pytest.raises(RecordError):
        build(name).update({})
    empty = rows(records, slice(0, 0))
    marked = {**records, "status": np.zeros(len(records[CASES[name].column]))}
    for nothing in (empty, marked):
        assert refused_or_flagged(name, nothing)


@pytest.mark.parametrize("name", NAMES)
def test_one_shot_gives_no_confident_answer(name) -> None:
    """Refused or flagged."""
    assert refused_or_flagged(name, rows(records_of(name), slice(0, 1)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dark", [False, True])
def test_constant_and_dark_data_give_no_confident_answer(name, dark) -> None:
    """The same reading in every shot, or nothing at all: refused or flagged."""
    records, column = records_of(name), CASES[name].column
    values = np.array(records[column], dtype=float)
    values[:] = 0.0 if dark else values[0]
    assert refused_or_flagged(name, {**records, column: values})


FRINGES = {
    "adaptive_phase": 20,
    "detuning_calibration": 100,
    "ellipse_contrasts": 20,
    "ellipse_phase": 20,
    "ellipse_schedule": 20,
    "gradient_curvature": 50,
    "joint_ellipses": 20,
    "rabi_calibration": 100,
}


WHOLE = {
    "ellipse_contrasts": ("phase",),
    "ellipse_phase": ("phase",),
    "ellipse_schedule": ("signal",),
    "gradient_curvature": ("gradient", "curvature"),
    "joint_ellipses": ("phase",),
}


@pytest.mark.parametrize("name", FRINGES)
def test_fringes_without_contrast_give_no_confident_answer(name) -> None:
    """Half of the atoms up whatever was done: refused, or flagged and the whole range."""
    records, gain = records_of(name), 20 if name == "ellipse_phase" else 1
    gain = 100 if name == "ellipse_schedule" else gain
    shape = np.shape(records["counts"])
    for seed in range(3, 6):
        counts = gain * np.random.default_rng(seed).binomial(FRINGES[name], 0.5, shape)
        assert refused_or_flagged(name, {**records, "counts": counts})
        if name in WHOLE:
            found = fitted(name, {**records, "counts": counts})
            assert any("not determined: " in flag for flag in found.flags)
            for key in WHOLE[name]:
                assert found[key].interval == pytest.approx(found.identifiable)


@pytest.mark.parametrize("name", ["combined_phase", "dead_time_calibration"])
def test_a_million_shots_are_taken(name) -> None:
    """Errors shrink, to what the slopes leave in the phases, and nothing overflows."""
    found = fitted(name, records_of(name, 10**6))
    first = next(iter(found.quantities.values()))
    fewer = next(iter(fitted(name, records_of(name, 10**4)).quantities.values()))
    assert found.shots == 10**6
    assert 0.0 < first.std < 0.7 * fewer.std


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("_calibration")])
def test_a_calibration_that_stops_early_is_undetermined(name) -> None:
    """One setting, then more, in random order: first the whole range, never a failure."""
    records = records_of(name)
    settings = [key for key in records if key != CASES[name].column]
    table = np.stack([np.asarray(records[key]) for key in settings], axis=1)
    distinct, place = np.unique(table, axis=0, return_inverse=True)
    order = np.random.default_rng(2).permutation(len(distinct))
    few = 0
    for count in (1, 2, 5, 7):
        found = fitted(name, rows(records, np.isin(place.reshape(-1), order[:count])))
        if any("not determined: " in flag and "needed" in flag for flag in found.flags):
            few += 1
            assert found.goodness_of_fit is None
            first = next(iter(found.quantities.values()))
            assert first.interval == pytest.approx(found.identifiable)
            assert first.std >= (first.interval[1] - first.interval[0]) / 4.0
    assert few >= 2
