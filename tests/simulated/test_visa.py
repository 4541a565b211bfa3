"""The VISA library @cavitylab: names, sessions, time-outs, late answers, clocks."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from importlib.resources import as_file, files

import pytest
import pyvisa
from pyvisa.constants import StatusCode
from pyvisa.resources import MessageBasedResource

from cavitylab.instruments.errors import StationFileError
from cavitylab.instruments.simulated.visa import CavityLabVisaLibrary

LABORATORY = """
format: 1
title: Links of every kind
seed: 1
devices:
  - {name: coil, model: kepco_bop, addresses: ["GPIB0::6::INSTR", "TCPIP0::10.0.0.4::5025::SOCKET",
     "ASRL3::INSTR", "USB0::0x1111::0x2222::AB::INSTR", "TCPIP0::10.0.0.4::inst0::INSTR"]}
  - {name: counter, model: keysight_53220a, addresses: ["TCPIP0::10.0.0.3::5025::SOCKET"]}
  - {name: laser, model: toptica_dlcpro, addresses: ["TCPIP0::10.0.0.5::1998::SOCKET"]}
wires: [{from: photons, to: counter.in1}]
"""
SOCKET = "TCPIP0::10.0.0.4::5025::SOCKET"
_fresh = itertools.count()

Open = Callable[..., MessageBasedResource]


def shipped_apparatus() -> str:
    """The block `apparatus` of the shipped laboratory file."""
    text = (files("cavitylab.station_configs") / "two_ensemble.lab.yaml").read_text("utf-8")
    return text[text.index("\napparatus:") : text.index("\n# ---- slow changes")]


@pytest.fixture
def library(tmp_path) -> Callable[..., str]:
    """Names of fresh laboratories: faults of the file, options of the name."""

    def name(*faults: str, **options: str) -> str:
        path = tmp_path / f"links{next(_fresh)}.lab.yaml"
        text = LABORATORY + shipped_apparatus() + "\nfaults:\n"
        text += "".join(f"  - {fault}\n" for fault in faults) if faults else "  []\n"
        path.write_text(text, encoding="utf-8")
        query = "&".join(f"{key}={value}" for key, value in options.items())
        return f"{path}?{query}@cavitylab" if query else f"{path}@cavitylab"

    return name


@pytest.fixture
def open_at() -> Callable[..., MessageBasedResource]:
    """Open an address in a library, with terminators set."""

    def open_resource(library: str, address: str = SOCKET) -> MessageBasedResource:
        resource = pyvisa.ResourceManager(library).open_resource(address)
        assert isinstance(resource, MessageBasedResource)
        resource.read_termination = resource.write_termination = "\n"
        return resource

    return open_resource


def clock_time(resource: MessageBasedResource) -> float:
    """Seconds on the laboratory's clock."""
    visalib = resource.visalib
    assert isinstance(visalib, CavityLabVisaLibrary)
    return visalib.clock.now()


@pytest.mark.parametrize(
    "address",
    ["GPIB0::6::INSTR", SOCKET, "ASRL3::INSTR", "USB0::0x1111::0x2222::AB::INSTR",
     "TCPIP0::10.0.0.4::inst0::INSTR"],
)  # fmt: skip
def test_every_kind_of_address_reaches_the_instrument(library, open_at: Open, address: str) -> None:
    """Sockets, VXI-11, GPIB, USB and serial names lead to the same device."""
    assert open_at(library(), address).query("*IDN?").startswith("KEPCO,")


def test_shipped_laboratory_opens() -> None:
    """The shipped file answers at the addresses of its instruments."""
    with as_file(files("cavitylab.station_configs") / "two_ensemble.lab.yaml") as path:
        manager = pyvisa.ResourceManager(f"{path}?session=shipped@cavitylab")
        assert len(manager.list_resources("?*")) == 5


def test_one_name_is_one_laboratory(library, open_at: Open) -> None:
    """The same name leads to the same table even after the library was forgotten."""
    name = library(session="a")
    first = open_at(name)
    first.write("CURR 0")
    first.write("VOLT 7")
    pyvisa.ResourceManager(name).close()
    assert float(open_at(name).query("VOLT?")) == 7.0


def test_session_tells_laboratories_apart(library, open_at: Open) -> None:
    """Another `session` is another table from the same file."""
    name = library()
    plain = name.removesuffix("@cavitylab")
    open_at(f"{plain}?session=a@cavitylab").write("VOLT 7")
    assert float(open_at(f"{plain}?session=b@cavitylab").query("VOLT?")) == 0.0


def test_unknown_option_is_refused(library) -> None:
    """A misspelt option is an error that lists the options."""
    with pytest.raises(StationFileError, match="unknown option `sead`.*seed"):
        pyvisa.ResourceManager(library(sead="7"))


@pytest.mark.parametrize("address", ["TCPIP0::10.9.9.9::5025::SOCKET", "GPIB0::9::INSTR"])
def test_nobody_at_an_address(library, address: str) -> None:
    """Opening an address where nothing answers fails as with a real library."""
    with pytest.raises(pyvisa.VisaIOError) as caught:
        pyvisa.ResourceManager(library()).open_resource(address)
    assert caught.value.error_code == StatusCode.error_resource_not_found


def test_time_out_costs_virtual_time_only(library, open_at: Open) -> None:
    """Waiting for an answer that never comes takes its time on the clock, not on the wall."""
    resource = open_at(library("{device: coil, kind: mute, match: IDN}"))
    resource.timeout = 3_600_000
    began = time.monotonic()
    with pytest.raises(pyvisa.VisaIOError) as caught:
        resource.query("*IDN?")
    assert caught.value.error_code == StatusCode.error_timeout
    assert clock_time(resource) == pytest.approx(3600.0)
    assert time.monotonic() - began < 1.0


def test_late_answer_meets_the_next_question(library, open_at: Open) -> None:
    """After a time-out on a socket the next question gets the old answer."""
    resource = open_at(library("{device: coil, kind: slow, match: IDN, seconds: 3}"))
    resource.timeout = 2000
    with pytest.raises(pyvisa.VisaIOError):
        resource.query("*IDN?")
    assert resource.query("CURR?").startswith("KEPCO,")
    assert float(resource.read()) == 0.0


def test_unread_answer_is_discarded_on_gpib(library, open_at: Open) -> None:
    """On GPIB a new message discards the old answer and leaves error -410."""
    resource = open_at(library(), "GPIB0::6::INSTR")
    resource.write("*IDN?")
    assert float(resource.query("CURR?")) == 0.0
    assert resource.query("SYST:ERR?").startswith("-410")


def test_clear_drains_a_socket_for_a_tenth_of_a_second(library, open_at: Open) -> None:
    """Clearing a socket throws away what has come, not what comes later."""
    resource = open_at(library("{device: coil, kind: slow, match: VOLT, nth: 1, seconds: 1}"))
    resource.write("CURR?")
    resource.clear()
    resource.write("VOLT?")
    resource.clear()
    assert clock_time(resource) == pytest.approx(0.2)
    resource.timeout = 2000
    assert float(resource.query("*IDN?").split("\n")[0]) == 0.0


def test_clear_empties_gpib(library, open_at: Open) -> None:
    """Device clear on GPIB forgets answers that are still on their way."""
    resource = open_at(
        library("{device: coil, kind: slow, match: VOLT, seconds: 1}"), "GPIB0::6::INSTR"
    )
    resource.write("VOLT?")
    resource.clear()
    assert resource.query("*IDN?").startswith("KEPCO")


def test_socket_without_terminator_waits_to_the_time_out(library, open_at: Open) -> None:
    """A socket marks no end: without a terminator the read ends by time-out only."""
    resource = open_at(library())
    resource.read_termination = None
    with pytest.raises(pyvisa.VisaIOError) as caught:
        resource.query("*IDN?")
    assert caught.value.error_code == StatusCode.error_timeout


def test_instr_needs_no_terminator(library, open_at: Open) -> None:
    """VXI-11 marks the end of a message."""
    resource = open_at(library(), "TCPIP0::10.0.0.4::inst0::INSTR")
    resource.read_termination = None
    assert resource.query("*IDN?").startswith("KEPCO")


def test_answers_in_chunks(library, open_at: Open) -> None:
    """An answer longer than a chunk comes whole; read_bytes takes exact numbers."""
    resource = open_at(library())
    resource.chunk_size = 5
    whole = resource.query("*IDN?")
    assert whole == "KEPCO,BOP36-28MG,A000001,3.05"
    resource.write("*IDN?")
    assert resource.read_bytes(5) == b"KEPCO"
    assert resource.read() == whole[5:]


def test_sessions_have_their_own_buffers(library, open_at: Open) -> None:
    """Two sessions to one instrument each get their own answer."""
    name = library()
    first, second = open_at(name), open_at(name)
    first.write("*IDN?")
    second.write("CURR?")
    assert float(second.read()) == 0.0
    assert first.read().startswith("KEPCO")


def test_latency_passes_on_the_virtual_clock(library, open_at: Open) -> None:
    """With latency=realistic a command takes the instrument's time, on the clock."""
    resource = open_at(library(latency="realistic"))
    for _ in range(20):
        resource.query("CURR?")
    assert 20 * 0.02 < clock_time(resource) < 20 * 0.04
    assert clock_time(open_at(library())) == 0.0


def test_start_of_clock_and_shots(library) -> None:
    """A resumed run may continue at a later time and shot."""
    visalib = pyvisa.ResourceManager(library(time="100", shot="40")).visalib
    assert isinstance(visalib, CavityLabVisaLibrary)
    assert (visalib.clock.now(), visalib.laboratory.next_shot) == (100.0, 40)


def test_greeting_comes_before_the_first_answer(library, open_at: Open) -> None:
    """The DLC pro greets with its prompt; spaces and `>` occur inside of answers."""
    laser = open_at(library(), "TCPIP0::10.0.0.5::1998::SOCKET")
    laser.read_termination = " "

    def until_prompt() -> str:
        text = b""
        while not text.endswith(b"\n> "):
            text += laser.read_raw()
        return text.decode()

    assert until_prompt().startswith("Welcome")
    laser.write("(param-ref 'laser1:product-name)")
    assert until_prompt() == '"DL pro > 689 nm"\n> '


def test_closed_session_is_invalid(library, open_at: Open) -> None:
    """After close the resource cannot be used."""
    resource = open_at(library())
    resource.close()
    with pytest.raises(pyvisa.errors.InvalidSession):
        resource.write("*CLS")


def test_serial_attributes_are_kept(library, open_at: Open) -> None:
    """Attributes that act on hardware only are kept for who reads them back."""
    resource = open_at(library(), "ASRL3::INSTR")
    resource.baud_rate = 19200
    assert resource.baud_rate == 19200
    assert resource.resource_name == "ASRL3::INSTR"


def test_two_threads_without_a_lock_are_found_out(library, open_at: Open) -> None:
    """The adversary makes write and read of two threads cross: somebody gets a wrong answer."""
    resource = open_at(library(adversary="on"))
    wrong: list[str] = []
    together = threading.Barrier(2)
    deadline = time.monotonic() + 30.0  # a busy machine may run one thread alone for long

    def ask(question: str, good: str) -> None:
        together.wait()
        while not wrong and time.monotonic() < deadline:
            try:
                answer = resource.query(question)
            except pyvisa.VisaIOError:
                answer = "nothing"
            if not answer.startswith(good):
                wrong.append(answer)

    threads = [
        threading.Thread(target=ask, args=("*IDN?", "KEPCO")),
        threading.Thread(target=ask, args=("OUTP?", "0")),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong


def test_reveal_is_empty_before_the_first_shot(library) -> None:
    """The hidden truth is an average over shots; nothing was fired, no fault was met."""
    visalib = pyvisa.ResourceManager(library()).visalib
    assert isinstance(visalib, CavityLabVisaLibrary)
    assert visalib.reveal() == {}
    assert visalib.apparatus_faults() == ()
