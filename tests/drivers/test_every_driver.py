"""What holds for each of the drivers: on sockets as in process, quickly, from many threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cavitylab.instruments.clock import RealClock, VirtualClock
from cavitylab.instruments.drivers import (
    delta_sm15k,
    kepco_bop,
    keysight_33600a,
    keysight_53220a,
    keysight_infiniivision,
    moglabs_xrf,
    prawnblaster,
    srs_dg645,
    thorlabs_sc10,
    toptica_dlcpro,
)
from cavitylab.instruments.drivers.base import CavityLabInstrument
from cavitylab.instruments.drivers.delta_sm15k import DeltaSM15K
from cavitylab.instruments.drivers.kepco_bop import KepcoBOP
from cavitylab.instruments.drivers.keysight_33600a import Keysight33600A
from cavitylab.instruments.drivers.keysight_53220a import Keysight53220A
from cavitylab.instruments.drivers.keysight_infiniivision import KeysightInfiniiVision
from cavitylab.instruments.drivers.moglabs_xrf import MOGLabsXRF
from cavitylab.instruments.drivers.prawnblaster import PrawnBlaster
from cavitylab.instruments.drivers.srs_dg645 import SRSDG645
from cavitylab.instruments.drivers.thorlabs_sc10 import ThorlabsSC10
from cavitylab.instruments.drivers.toptica_dlcpro import TopticaDLCpro
from cavitylab.instruments.errors import CavityLabError, InstrumentError, LinkError
from cavitylab.instruments.simulated.faults import FaultRule
from cavitylab.instruments.simulated.registry import laboratory_named
from cavitylab.instruments.simulated.server import LaboratoryServer

Bench = Callable[..., str]
DRIVERS: dict[str, tuple[type[CavityLabInstrument], str]] = {
    "rf": (MOGLabsXRF, "TCPIP0::10.0.0.1::7802::SOCKET"),
    "timing_box": (SRSDG645, "TCPIP0::10.0.0.2::5025::SOCKET"),
    "counter": (Keysight53220A, "TCPIP0::10.0.0.3::5025::SOCKET"),
    "coil_supply": (KepcoBOP, "TCPIP0::10.0.0.4::5025::SOCKET"),
    "laser_head": (TopticaDLCpro, "TCPIP0::10.0.0.5::1998::SOCKET"),
    "generator": (Keysight33600A, "TCPIP0::10.0.0.6::5025::SOCKET"),
    "big_supply": (DeltaSM15K, "TCPIP0::10.0.0.7::8462::SOCKET"),
    "scope": (KeysightInfiniiVision, "TCPIP0::10.0.0.8::5025::SOCKET"),
    "shutter": (ThorlabsSC10, "ASRL3::INSTR"),
    "prawn": (PrawnBlaster, "ASRL4::INSTR"),
}
IDENTITY = {
    "rf": "^INFO", "laser_head": "system-type", "shutter": "^id", "prawn": "^version",
}  # fmt: skip
"""Beginning of the first question, where it is not *IDN?."""
Probe = Callable[[Any], Any]
PROBES: dict[str, tuple[Probe, Probe]] = {
    "rf": (lambda one: one.ch1.frequency(), lambda one: one.ch2.power()),
    "timing_box": (lambda one: one.get_delay("A"), lambda one: one.burst_period()),
    "counter": (lambda one: one.input1.coupling(), lambda one: one.input2.range()),
    "coil_supply": (lambda one: one.mode(), lambda one: one.current()),
    "laser_head": (lambda one: one.laser1.current_set(), lambda one: one.emission()),
    "generator": (lambda one: one.ch1.frequency(), lambda one: one.ch2.function_type()),
    "big_supply": (lambda one: one.voltage(), lambda one: one.status()),
    "scope": (lambda one: one.time_range(), lambda one: one.channels[0].coupling()),
    "shutter": (lambda one: one.mode(), lambda one: one.open_time()),
    "prawn": (lambda one: one.clock_frequency(), lambda one: one.run_status()),
}
"""Two questions to each instrument whose answers differ."""

each_driver = pytest.mark.parametrize("device", DRIVERS)


def open_one(device: str, library: str, **kwargs: Any) -> CavityLabInstrument:
    driver, address = DRIVERS[device]
    name = kwargs.pop("name", device)
    return driver(name, kwargs.pop("address", address), visalib=library, **kwargs)


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
    first = IDENTITY.get(device, "IDN")
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


def hammer(instrument: CavityLabInstrument, device: str, times: int) -> list[tuple[Any, Any]]:
    """Ask both questions from two threads; (question, answer or error) of every one."""
    answers: list[tuple[Any, Any]] = []

    def ask(probe: Probe) -> None:
        for _ in range(times):
            try:
                answers.append((probe, probe(instrument)))
            except CavityLabError as error:
                answers.append((probe, error))

    threads = [threading.Thread(target=ask, args=(probe,)) for probe in PROBES[device]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


@each_driver
def test_threads_share_an_instrument(device: str, bench: Bench) -> None:
    """With a laboratory that hands over to another thread after each write."""
    truth = dict.fromkeys(PROBES[device])
    one = open_one(device, bench(adversary="on"))
    for probe in truth:
        truth[probe] = probe(one)
    assert len({str(value) for value in truth.values()}) == 2
    answers = hammer(one, device, 30)
    assert [(probe, found) for probe, found in answers if found != truth[probe]] == []
    assert one.journal.remarks() == []


@each_driver
@pytest.mark.parametrize("kind", ["mute", "slow", "garbage", "truncate", "drop", "trigger_lost"])
def test_fault_matrix(device: str, kind: str, bench: Bench) -> None:
    """Two threads and a link that fails every eighth time: the truth or a typed error.

    Never an old answer, never the answer to another question; and in the end the link
    is mended.
    """
    one = open_one(device, bench(adversary="on"))
    truth = {probe: probe(one) for probe in PROBES[device]}
    pattern = "^(?!<)" if kind != "trigger_lost" else "[?]|^get|^stat|param-ref"
    laboratory_of(one).spoil([FaultRule(device, kind, pattern, probability=0.125)])
    answers = hammer(one, device, 20)
    for probe, found in answers:
        assert isinstance(found, LinkError | InstrumentError) or found == truth[probe]
    good = sum(not isinstance(found, CavityLabError) for _, found in answers)
    assert good > 0
    laboratory_of(one).spoil([])
    for probe, value in truth.items():
        assert mended(one, probe) == value


def mended(one: CavityLabInstrument, probe: Probe) -> Any:
    """The answer once the faults are over; a restart that could not be ruled out is told once."""
    try:
        return probe(one)
    except InstrumentError as error:
        assert "was restarted" in str(error)
        return probe(one)


@each_driver
def test_error_nobody_caused(device: str, bench: Bench) -> None:
    """What the instrument complains about after a command is an InstrumentError."""
    commands: dict[str, Probe] = {
        "rf": lambda one: one.ch1.frequency(80e6),
        "timing_box": lambda one: one.burst_count(3),
        "counter": lambda one: one.abort(),
        "coil_supply": lambda one: one.compliance(1.0),
        "laser_head": lambda one: one.laser1.lock_enabled(True),
        "generator": lambda one: one.ch1.frequency(1e3),
        "big_supply": lambda one: one.voltage(1.0),
        "scope": lambda one: one.time_range(1e-3),
        "shutter": lambda one: one.repetitions(2),
        "prawn": lambda one: one.set_clocks(1),
    }
    one = open_one(device, bench())
    laboratory_of(one).spoil([FaultRule(device, "error_queue", nth=1)])
    with pytest.raises(InstrumentError, match=device):
        commands[device](one)
    commands[device](one)


def laboratory_of(one: CavityLabInstrument) -> Any:
    """The laboratory behind an instrument."""
    return one.visa_handle.visalib.laboratory  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "module",
    [
        delta_sm15k, kepco_bop, keysight_33600a, keysight_53220a, keysight_infiniivision,
        moglabs_xrf, prawnblaster, srs_dg645, thorlabs_sc10, toptica_dlcpro,
    ],
)  # fmt: skip
def test_unverified_facts_are_listed(module: Any) -> None:
    """What no source states is written down in one place of each driver, and its page."""
    assert module.UNVERIFIED
    assert all(isinstance(fact, str) and fact.endswith(".") for fact in module.UNVERIFIED)
