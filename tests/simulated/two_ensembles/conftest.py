"""The demo's shot as it lies on the wires, and the apparatus behind it, without instruments."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cavitylab.instruments.simulated.lines import (
    LightState,
    RFTone,
    Stretch,
    Timeline,
)
from cavitylab.instruments.simulated.truth import (
    BeamTruth,
    DriftsEntry,
    TwoEnsembleTruth,
)
from cavitylab.instruments.simulated.two_ensemble_cavity import TwoEnsembleCavity

TRUTH = TwoEnsembleTruth(
    atoms=100,
    drive=BeamTruth(60e3, 1.6, 80e6, 5.0),
    coupling=BeamTruth(200.0, 1.6, 80e6, 10e3),
    slope=250.0,
    offset=0.0,
    rate_per_atom=20e3,
    background_rate=10e3,
    signal=0.05,
)
PERIOD = 50e-3


def tone(fraction: float, phase_deg: float = 0.0, frequency: float = 80e6) -> RFTone:
    """The tone that gives this fraction of the full field strength."""
    power = 1.6 * (2.0 / math.pi * math.asin(fraction)) ** 2
    return RFTone(frequency, 10.0 * math.log10(power / 1e-3), phase_deg)


def windows(*spans: tuple[float, float]) -> tuple[Stretch, ...]:
    """True in each span."""
    return tuple(Stretch(start, stop, True) for start, stop in spans)


@dataclass(frozen=True)
class Wires:
    """The demo's shot; tests replace what they change."""

    preparation: tuple[float, float] = (50e-6, 12.05e-3)
    dark: float = 30e-6
    pulse_time: float = 5e-6
    preparation_tone: RFTone = field(default_factory=lambda: tone(10 / 60))
    pulse_tone: RFTone = field(default_factory=lambda: tone(50 / 60))
    coupling_tone: RFTone = field(default_factory=lambda: tone(math.sqrt(0.5)))
    current: float = 4.0
    gates: tuple[tuple[float, float], ...] = ((13e-3, 18e-3), (18.1e-3, 23.1e-3))
    lines: tuple[tuple[str, tuple[Stretch, ...]], ...] = ()

    @property
    def pulse(self) -> tuple[float, float]:
        """Start and stop of the pulse."""
        start = self.preparation[1] + self.dark
        return start, start + self.pulse_time

    def instead(self, **lines: tuple[Stretch, ...]) -> Wires:
        """The same shot with whole lines replaced (`drive_switch` for `drive.switch`)."""
        named = tuple((name.replace("_", ".", 1), line) for name, line in lines.items())
        return replace(self, lines=self.lines + named)

    @property
    def timeline(self) -> Timeline:
        """All lines of the shot."""
        middle = self.preparation[1] + 0.5 * self.dark
        lines: dict[str, tuple[Stretch, ...]] = {
            "drive.rf": (
                Stretch(0.0, middle, self.preparation_tone),
                Stretch(middle, self.pulse[1] + 20e-6, self.pulse_tone),
            ),
            "drive.switch": windows(self.preparation, self.pulse),
            "coupling.rf": (Stretch(0.0, middle, self.coupling_tone),),
            "coupling.switch": windows(self.preparation),
            "gradient.current": (Stretch(0.0, PERIOD, self.current),),
            "light": (Stretch(0.0, PERIOD, LightState(emission=True, locked=True)),),
            "probe.1": windows(self.gates[0]),
            "probe.2": windows(self.gates[1]),
            "counter.gate": windows(*self.gates),
        }
        return lines | dict(self.lines)


def take(
    wires: Wires, shots: int = 200, seed: int = 1, **truth: Any
) -> tuple[NDArray[np.int64], dict[str, Any]]:
    """Counts of a fresh apparatus, and what it reveals."""
    cavity = TwoEnsembleCavity(replace(TRUTH, **truth), seed)
    counts = cavity.counts(wires.timeline, range(shots), PERIOD * np.arange(shots))
    return counts, cavity.reveal()


def demo(seed: int = 1, drifts: DriftsEntry | None = None, **truth: Any) -> TwoEnsembleCavity:
    """The apparatus with the demo's truth."""
    return TwoEnsembleCavity(replace(TRUTH, **truth), seed, drifts)


class Bench:
    """The demo's wires, and what a test needs to change them and take shots."""

    truth = TRUTH
    period = PERIOD
    tone = staticmethod(tone)
    windows = staticmethod(windows)
    take = staticmethod(take)
    apparatus = staticmethod(demo)

    def wires(self, **changes: Any) -> Wires:
        """The demo's shot with some of its settings changed."""
        return Wires(**changes)

    def line(self, *values: tuple[float, float, Any]) -> tuple[Stretch, ...]:
        """A line from (start, stop, value)."""
        return tuple(Stretch(*value) for value in values)


@pytest.fixture
def bench() -> Bench:
    """The demo's shot and its apparatus."""
    return Bench()
