"""What holds for each of the drivers: on sockets as in process, quickly, from many threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cavitylab.instruments.clock import RealClock, VirtualClock
from cavitylab.instruments.drivers import (
    kepco_bop,
    keysight_53220a,
    moglabs_xrf,
    srs_dg645,
    toptica_dlcpro,
)
from cavitylab.instruments.drivers.base import CavityLabInstrument
from cavitylab.instruments.drivers.kepco_bop import KepcoBOP
from cavitylab.instruments.drivers.keysight_53220a import Keysight53220A
from cavitylab.instruments.drivers.moglabs_xrf import MOGLabsXRF
from cavitylab.instruments.drivers.srs_dg645 import SRSDG645
from cavitylab.instruments.drivers.toptica_dlcpro import TopticaDLCpro
from cavitylab.instruments.errors import InstrumentError, LinkError
from cavitylab.instruments.simulated.registry import laboratory_named
from cavitylab.instruments.simulated.server import LaboratoryServer

Bench = Callable[..., str]
DRIVERS: dict[str, tuple[type[CavityLabInstrument], str]] = {
    "rf": (MOGLabsXRF, "TCPIP0::10.0.0.1::7802::SOCKET"),
    "timing_box": (SRSDG645, "TCPIP0::10.0.0.2::5025::SOCKET"),
    "counter": (Keysight53220A, "TCPIP0::10.0.0.3::5025::SOCKET"),
    "coil_supply": (KepcoBOP, "TCPIP0::10.0.0.4::5025::SOCKET"),
    "laser_head": (TopticaDLCpro, "TCPIP0::10.0.0.5::1998::SOCKET"),
}

each_driver = pytest.mark.parametrize("device", DRIVERS)


def open_one(device: str, library: str, **kwargs: Any) -> CavityLabInstrument:
    driver, address = DRIVERS[device]
    return driver(device, kwargs.pop("address", address), visalib=library, **kwargs)


@pytest.fixture
def endpoints(bench: Bench) -> Iterator[dict[str, str]]:
    """VISA addresses of the same bench on loopback TCP."""
    name = bench(clock="real").removesuffix("@cavitylab")
    with LaboratoryServer(laboratory_named(name)) as server:
        yield {one.name: one.visa_address for one in server.endpoints}


@each_driver
def test_real_sockets_say_the_same(device: str, bench: Bench, endpoints: dict[str, str]) -> None:
    """In process or through pyvisa-py and TCP: same identity, same messages."""
    inside = open_one(device, bench())
    identity, messages = inside.IDN(), inside.journal.sent()
    inside.close()
    outside = open_one(device, "@py", address=endpoints[device])
    assert outside.IDN() == identity
    assert outside.journal.sent()[: len(messages)] == messages
    assert isinstance(outside.clock, RealClock)


@each_driver
def test_waits_are_on_the_library_clock(device: str, bench: Bench) -> None:
    """A rehearsal's clock is the laboratory's."""
    assert isinstance(open_one(device, bench()).clock, VirtualClock)


@each_driver
def test_wrong_instrument_is_refused(device: str, bench: Bench) -> None:
    """A supply where a synthesizer should be: an error on connecting, and no open link."""
    other = "coil_supply" if device != "coil_supply" else "counter"
    with pytest.raises((InstrumentError, LinkError)):
        open_one(device, bench(), address=DRIVERS[other][1])


@each_driver
def test_snapshot_asks_nothing_that_clears(device: str, bench: Bench) -> None:
    """A snapshot may be taken at any time: it only asks, and takes no reading away."""
    instrument = open_one(device, bench())
    instrument.journal.clear()
    snapshot = instrument.snapshot(update=True)
    assert snapshot["parameters"]["IDN"]["value"] == instrument.IDN.cache()
    for message in instrument.journal.sent():
        assert instrument._is_pure_question(message), message


@each_driver
@pytest.mark.parametrize("kind", ["mute", "garbage", "truncate", "drop"])
def test_one_bad_answer_to_the_identity_is_mended(device: str, kind: str, bench: Bench) -> None:
    """Connecting survives one fault of the link."""
    first = {"rf": "^INFO", "laser_head": "system-type"}.get(device, "IDN")
    fault = f"{{device: {device}, kind: {kind}, match: '{first}', nth: 1}}"
    instrument = open_one(device, bench(fault))
    assert instrument.IDN()["model"]
    assert instrument.restarts == 0


@each_driver
def test_refused_link(device: str, refused_address: str) -> None:
    """Nobody listens: a LinkError that names instrument and address."""
    with pytest.raises(LinkError, match=device) as caught:
        open_one(device, "@py", address=refused_address)
    assert refused_address in str(caught.value)


def test_threads_share_an_instrument(bench: Bench) -> None:
    """With a laboratory that hands over to another thread after each write."""
    box = SRSDG645("box", DRIVERS["timing_box"][1], visalib=bench(adversary="on"))
    box.set_delays({"A": ("T0", 1e-3), "C": ("T0", 2e-3)})
    wrong: list[object] = []

    def hammer(channel: str, seconds: float) -> None:
        for _ in range(100):
            if (got := box.get_delay(channel)) != ("T0", seconds):
                wrong.append(got)

    threads = [threading.Thread(target=hammer, args=one) for one in (("A", 1e-3), ("C", 2e-3))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert box.journal.remarks() == []


@pytest.mark.parametrize(
    "module", [kepco_bop, keysight_53220a, moglabs_xrf, srs_dg645, toptica_dlcpro]
)
def test_unverified_facts_are_listed(module: Any) -> None:
    """What no source states is written down in one place of each driver."""
    assert module.UNVERIFIED
    assert all(isinstance(fact, str) and fact.endswith(".") for fact in module.UNVERIFIED)
