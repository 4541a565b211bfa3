"""Volts at the inputs of the instruments, for those that record them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .devices.base import volts_of
from .lines import ApparatusFault, ShowsOutput
from .shots import Shot

if TYPE_CHECKING:
    from .laboratory import Laboratory


def input_voltage(
    laboratory: Laboratory, device: str, terminal: str, shot: Shot, times: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Volts at an input of `device`, `times` seconds after the T0 of `shot`; open: 0 V."""
    wiring = laboratory.wiring
    if (device, terminal) in wiring.photodiode:
        return _photodiode(laboratory, shot, times)
    wire = wiring.inputs.get((device, terminal))
    if wire is None:
        return np.zeros(len(times))
    source = laboratory.devices[wire.device]
    if len(wire.names) == 1:
        return source.voltage(wire.names[0], shot, times)
    return volts_of(source.combined(wire.names, shot), times)


def _photodiode(
    laboratory: Laboratory, shot: Shot, times: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What leaves the cavity, as the apparatus says; darkness and a report if it cannot."""
    dark = np.zeros(len(times))
    apparatus, burst = laboratory.apparatus, laboratory.burst
    if not isinstance(apparatus, ShowsOutput):
        laboratory.report("the apparatus does not say what leaves its cavity: a photodiode is dark")
        return dark
    if burst is None or shot.source is None:
        laboratory.report("outside of a burst the photodiode is not simulated")
        return dark
    timeline, number = laboratory.timeline(shot), burst.first_shot + shot.index
    try:
        return apparatus.cavity_output(timeline, number, shot.start, times)
    except ApparatusFault as fault:
        laboratory.report(str(fault))
        return dark
