"""Where the apparatus has no honest answer, it says what the wires did and where to look."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cavitylab.instruments.simulated.lines import ApparatusFault, LightState, RFTone, Stretch

CASES: dict[str, tuple[Callable[[Any], Any], list[str]]] = {
    "hold too short": (
        lambda bench: bench.wires(preparation=(50e-6, 3.05e-3)),
        ["50 us to 3.05 ms", "too short", "= 4.", "10 is needed", "hold at least"],
    ),
    "cavity left coupled": (
        lambda bench: bench.wires().instead(
            coupling_switch=bench.windows((50e-6, 12.07e-3)),
            coupling_rf=bench.line((0.0, bench.period, bench.tone(math.sqrt(0.5)))),
        ),
        ["coupled after the preparation", "12.05 ms", "close coupling.switch"],
    ),
    "cavity never coupled": (
        lambda bench: bench.wires().instead(coupling_rf=()),
        ["never on together", "coupling light never", "check coupling.rf"],
    ),
    "no current": (
        lambda bench: bench.wires(current=0.0),
        ["detuning difference is 0", "gradient.current"],
    ),
    "two pulses": (
        lambda bench: bench.wires().instead(
            drive_switch=bench.windows(
                (50e-6, 12.05e-3), (12.06e-3, 12.062e-3), (12.08e-3, 12.085e-3)
            )
        ),
        ["2 times after the preparation", "12.08 ms to 12.085 ms", "drive.switch"],
    ),
    "pulse between the gates": (
        lambda bench: bench.wires().instead(
            drive_switch=bench.windows((50e-6, 12.05e-3), (12.08e-3, 12.085e-3), (18e-3, 18.05e-3)),
            drive_rf=bench.line(
                (0.0, 12.06e-3, bench.tone(10 / 60)), (12.06e-3, 50e-3, bench.tone(50 / 60))
            ),
        ),
        ["2 times after the preparation", "before the last gate closes"],
    ),
    "amplitude steps inside the pulse": (
        lambda bench: bench.wires().instead(
            drive_rf=bench.line(
                (0.0, 12.06e-3, bench.tone(10 / 60)),
                (12.06e-3, 12.082e-3, bench.tone(50 / 60)),
                (12.082e-3, bench.period, bench.tone(40 / 60)),
            )
        ),
        ["changes inside the pulse", "at 12.082 ms", "one constant tone"],
    ),
    "gate before the pulse": (
        lambda bench: bench.wires(gates=((12.06e-3, 17e-3), (18e-3, 23e-3))).instead(
            probe_1=bench.windows((13e-3, 17e-3))
        ),
        ["gate opens at 12.06 ms", "before the pulse (12.08 ms to 12.085 ms) is over"],
    ),
    "probe light too early": (
        lambda bench: bench.wires().instead(probe_1=bench.windows((11e-3, 18e-3))),
        ["probe light is on ensemble 1 from 11 ms", "probe.1"],
    ),
    "drive off resonance": (
        lambda bench: bench.wires(pulse_tone=bench.tone(50 / 60, frequency=80.1e6)),
        ["80.100000 MHz", "+100000 Hz off the resonance", "drive.rf"],
    ),
    "coupling off resonance": (
        lambda bench: bench.wires(coupling_tone=bench.tone(0.7, frequency=79e6)),
        ["coupling.rf", "79.000000 MHz", "synthesizer's table"],
    ),
    "overdriven modulator": (
        lambda bench: bench.wires(preparation_tone=RFTone(80e6, 39.0)),
        ["far beyond the modulator's saturation"],
    ),
    "lock lost during the preparation": (
        lambda bench: bench.wires().instead(
            light=bench.line(
                (0.0, 5e-3, LightState(emission=True, locked=True)),
                (5e-3, bench.period, LightState(emission=True, locked=False)),
            )
        ),
        ["50 us to 5 ms", "too short"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_has_no_honest_answer_is_a_fault_that_says_why(bench: Any, case: str) -> None:
    """The message says what the wires did, with times, and where to look."""
    wires, words = CASES[case]
    with pytest.raises(ApparatusFault) as caught:
        bench.take(wires(bench))
    message = str(caught.value)
    assert [word for word in words if word not in message] == [], message


def test_a_step_inside_the_preparation_is_no_fault_if_the_rest_is_long_enough(bench: Any) -> None:
    """The dark state attracts: only the time after the last change has to be long."""
    stepped = bench.wires().instead(
        drive_rf=(
            Stretch(0.0, 2e-3, bench.tone(20 / 60)),
            Stretch(2e-3, 12.06e-3, bench.tone(10 / 60)),
            Stretch(12.06e-3, bench.period, bench.tone(50 / 60)),
        )
    )
    assert np.array_equal(bench.take(stepped)[0], bench.take(bench.wires())[0])
