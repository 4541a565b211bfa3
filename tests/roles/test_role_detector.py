"""The detector role: readings in the order of time become counts per shot and ensemble."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cavitylab.instruments.calibration import Calibration
from cavitylab.instruments.errors import LimitError
from cavitylab.instruments.roles import Detector, ReadingsMismatch
from cavitylab.instruments.timeline import Window

FIRST = Window("ensemble_1", 12.2e-3, 5e-3)
SECOND = Window("ensemble_2", 17.3e-3, 5e-3)


@pytest.fixture
def detector(counter: Any, counts: Calibration) -> Detector:
    """A detector of two ensembles."""
    return Detector("detector", source="counter", calibration=counts)


def test_columns_are_ensembles_whatever_their_order_in_time(
    detector: Detector, counter: Any
) -> None:
    """The gate of ensemble 2 may come first: its counts stay in the second column."""
    early_second = Window("ensemble_2", 1e-3, 5e-3)
    program = detector.compile([FIRST, early_second], shots=3)
    assert program.columns == (1, 0)
    detector.upload(program)
    detector.arm()
    counter.readings = [20, 10, 21, 11, 22, 12]
    counts = detector.read()
    assert counts.dtype == np.int64
    assert counts.tolist() == [[10, 20], [11, 21], [12, 22]]


@pytest.mark.parametrize("number", [0, 5, 7])
def test_a_wrong_number_of_readings_rejects_the_block(
    detector: Detector, counter: Any, number: int
) -> None:
    """One reading more or less, or none: a typed error, and the counter is stopped."""
    detector.upload(detector.compile([FIRST, SECOND], shots=3))
    detector.arm()
    counter.readings = [1.0] * number
    with pytest.raises(ReadingsMismatch, match=f"{number} readings instead of 6"):
        detector.read()
    assert counter.calls[-1] == ("abort",)


@pytest.mark.parametrize("value", [9.91e37, -1.0, 0.5, float("nan")])
def test_readings_that_are_no_counts_reject_the_block(
    detector: Detector, counter: Any, value: float
) -> None:
    """No data, negative or broken numbers are never taken for photons."""
    detector.upload(detector.compile([FIRST, SECOND], shots=1))
    detector.arm()
    counter.readings = [3.0, value]
    with pytest.raises(ReadingsMismatch, match="not all of them are counts"):
        detector.read()


def test_gates_that_one_counter_cannot_tell_apart_are_refused(detector: Detector) -> None:
    """Overlapping or touching gates, missing and unknown ones, too many readings."""
    with pytest.raises(LimitError, match="apart"):
        detector.compile([FIRST, Window("ensemble_2", 17e-3, 5e-3)], 1)
    with pytest.raises(LimitError, match="apart"):
        detector.compile([FIRST, Window("ensemble_2", FIRST.stop, 5e-3)], 1)
    with pytest.raises(LimitError, match="but are ensemble_1"):
        detector.compile([FIRST], 1)
    with pytest.raises(LimitError, match="ensemble_3"):
        detector.compile([FIRST, SECOND, Window("ensemble_3", 30e-3, 5e-3)], 1)
    with pytest.raises(LimitError, match="between 1 and 500000 shots"):
        detector.compile([FIRST, SECOND], 500_001)


def test_the_counter_is_configured_once_for_equal_blocks(detector: Detector, counter: Any) -> None:
    """The second block of the same size sends only the arming."""
    program = detector.compile([FIRST, SECOND], shots=2)
    detector.upload(program)
    detector.upload(program)
    detector.arm()
    assert [call[0] for call in counter.calls] == ["configure", "initiate"]
    assert counter.calls[0][1:] == (
        4,
        {"channel": 1, "gate_polarity": "POS", "threshold_V": 1.0},
    )


def test_order_of_use_is_kept(detector: Detector) -> None:
    """Arming before uploading and reading before arming are mistakes with a message."""
    with pytest.raises(LimitError, match="upload a program before arming"):
        detector.arm()
    detector.upload(detector.compile([FIRST, SECOND], shots=2))
    with pytest.raises(LimitError, match="arm before reading"):
        detector.read()


def test_safe_stops_a_counter_that_waits(detector: Detector, counter: Any) -> None:
    """An idle counter is left alone."""
    assert detector.safe().message == "counter idle"
    detector.upload(detector.compile([FIRST, SECOND], shots=2))
    detector.arm()
    assert detector.safe().message == "counting stopped"
    assert counter.calls[-1] == ("abort",)
