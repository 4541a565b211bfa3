"""Doubles of drivers for tests of translation and refusal; real links are tested with a station."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from qcodes.instrument import Instrument, InstrumentBase

from cavitylab.instruments.calibration import Calibration
from cavitylab.instruments.clock import VirtualClock
from cavitylab.instruments.errors import LinkError

DATE = datetime.date(2026, 11, 2)
COVARIANCE = np.diag([1e-4, 1e-4])


class Recorder(Instrument):
    """A driver that remembers in `calls` what it was told; `dead` makes every call fail."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.clock = VirtualClock()
        self.calls: list[tuple[Any, ...]] = []
        self.restarts = 0
        self.dead = False

    def did(self, *call: Any) -> None:
        """Remember a call, or fail as a dead link does."""
        if self.dead:
            raise LinkError(f"{self.name} does not answer")
        self.calls.append(call)

    def manual(self, owner: InstrumentBase, name: str, value: Any) -> None:
        """A parameter that remembers being set."""
        state = {"value": value}

        def put(new: Any) -> None:
            self.did("set", owner.short_name, name, new)
            state["value"] = new

        owner.add_parameter(name, get_cmd=lambda: state["value"], set_cmd=put)


class Synthesizer(Recorder):
    """Double of the RF synthesizer with one channel."""

    def __init__(self, name: str = "rf") -> None:
        super().__init__(name)
        self.add_submodule("ch1", ChannelDouble(self, "ch1"))


class ChannelDouble(InstrumentBase):
    """Double of one channel."""

    def __init__(self, parent: Recorder, name: str) -> None:
        self._owner = parent
        super().__init__(name)
        for key, value in (("frequency", 80e6), ("power", 0.0), ("limit", 30.0), ("mode", "NSB")):
            parent.manual(self, key, value)

    @property
    def root_instrument(self) -> InstrumentBase:
        return self._owner

    def load_table(self, entries: Any) -> None:
        self._owner.did("load_table", tuple(entries))

    def rearm(self, on: bool) -> None:
        self._owner.did("rearm", on)

    def arm(self) -> None:
        self._owner.did("arm")

    def stop(self) -> None:
        self._owner.did("stop")

    def signal(self, on: bool) -> None:
        self._owner.did("signal", on)

    def off(self) -> None:
        self._owner.did("off")


class Counter(Recorder):
    """Double of the counter; `readings` is what it will have counted."""

    def __init__(self, name: str = "counter") -> None:
        super().__init__(name)
        self.readings: list[float] = []

    def configure_gated_totalize(self, readings: int, **settings: Any) -> None:
        self.did("configure", readings, settings)

    def initiate(self) -> None:
        self.did("initiate")

    def available(self) -> int:
        return len(self.readings)

    def take(self, waiting: int) -> Any:
        return np.array(self.readings[:waiting], dtype=float)

    def abort(self) -> None:
        self.did("abort")


@pytest.fixture(autouse=True)
def _close_everything() -> Iterator[None]:
    """No instrument of a test outlives it."""
    yield
    Instrument.close_all()


@pytest.fixture
def rabi() -> Calibration:
    """Rabi frequency of the drive: 60 kHz at 1.6 W."""
    return Calibration(
        kind="aom_amplitude",
        parameters={"f_max": 60e3, "P_sat": 1.6},
        covariance=COVARIANCE,
        domain=(1e-4, 1.2),
        input_unit="W",
        output_unit="Hz",
        date=DATE,
        output_name="Rabi frequency",
    )


@pytest.fixture
def counts() -> Calibration:
    """100 counts for an atom, 50 for none."""
    return Calibration(
        kind="counts",
        parameters={"gain": 100.0, "background": 50.0},
        covariance=COVARIANCE,
        domain=(0.0, 1000.0),
        input_unit="atoms",
        output_unit="counts",
        date=DATE,
        conditions={"gate_time": 5e-3},
    )


@pytest.fixture
def gradient() -> Calibration:
    """250 Hz/A."""
    return Calibration(
        kind="linear",
        parameters={"slope": 250.0, "offset": 0.0},
        covariance=COVARIANCE,
        domain=(-12.0, 12.0),
        input_unit="A",
        output_unit="Hz",
        date=DATE,
    )


@pytest.fixture
def synthesizer() -> Synthesizer:
    """An RF synthesizer with one channel."""
    return Synthesizer()


@pytest.fixture
def counter() -> Counter:
    """A counter."""
    return Counter()


@pytest.fixture
def recorder() -> type[Recorder]:
    """The class of the doubles, for drivers that a test makes itself."""
    return Recorder
