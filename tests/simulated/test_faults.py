"""Faults on purpose strike where their rule says, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from cavitylab.instruments.errors import StationFileError
from cavitylab.instruments.simulated.devices.kepco_bop import KepcoBOP
from cavitylab.instruments.simulated.devices.moglabs_xrf import MOGLabsXRF
from cavitylab.instruments.simulated.faults import KINDS, FaultRule, Faults
from cavitylab.instruments.simulated.laboratory import Laboratory
from cavitylab.instruments.simulated.links import Link, ReadEnd


class Bench:
    """A coil supply and a synthesizer with the given faults."""

    def __init__(self, *rules: FaultRule) -> None:
        self.lab = Laboratory(3)
        for name, model in (("coil", KepcoBOP), ("rf", MOGLabsXRF)):
            self.lab.add(model(name, self.lab), [f"{name}".upper()])
        self.lab.spoil(rules)
        self.coil = self.open("COIL")
        self.rf = self.open("RF")

    def open(self, address: str, framed: bool = False) -> Link:
        link = self.lab.open_link(address, framed)
        assert link is not None
        return link


def ask(link: Link, question: str, timeout: float = 2.0) -> tuple[bytes, ReadEnd]:
    link.write(question.encode() + b"\n")
    return link.read(1000, b"\n", timeout)


def test_mute_obeys_but_says_nothing() -> None:
    """The command acts; the answer never comes; the next question is answered."""
    bench = Bench(FaultRule("rf", "mute", "^FREQ,1,"))
    assert ask(bench.rf, "FREQ,1,90MHz") == (b"", ReadEnd.TIMEOUT)
    assert ask(bench.rf, "FREQ,1")[0].startswith(b"90.0000")


def test_slow_holds_up_everything_behind_it() -> None:
    """Answers keep their order: later ones wait for the slow one."""
    bench = Bench(FaultRule("coil", "slow", "IDN", seconds=3.0))
    bench.coil.write(b"*IDN?\nCURR?\n")
    assert bench.coil.read(1000, b"\n", 2.9)[1] is ReadEnd.TIMEOUT
    assert bench.coil.read(1000, b"\n", 0.2)[0].startswith(b"KEPCO")
    assert bench.coil.read(1000, b"\n", 0.0)[0] == b"0.0E0\n"


def test_garbage_is_no_text() -> None:
    """The bytes cannot be decoded as ASCII or UTF-8 text."""
    data, why = ask(Bench(FaultRule("coil", "garbage")).coil, "*IDN?")
    assert why is ReadEnd.TERMINATOR
    with pytest.raises(UnicodeDecodeError):
        data.decode("utf-8")


def test_truncated_answer_has_no_end() -> None:
    """Half an answer: the read waits to its time-out, and what came is lost."""
    bench = Bench(FaultRule("coil", "truncate", nth=1))
    assert ask(bench.coil, "*IDN?")[1] is ReadEnd.TIMEOUT
    assert ask(bench.coil, "CURR?")[0] == b"0.0E0\n"


def test_dropped_link_stays_dead() -> None:
    """Reads end by time-out as with pyvisa-py, writes fail; a new link works."""
    bench = Bench(FaultRule("coil", "drop", nth=1))
    assert ask(bench.coil, "*IDN?") == (b"", ReadEnd.TIMEOUT)
    with pytest.raises(BrokenPipeError):
        bench.coil.write(b"*IDN?\n")
    assert ask(bench.open("COIL"), "*IDN?")[0].startswith(b"KEPCO")


def test_refused_link_fails_at_the_first_write() -> None:
    """Opening a socket succeeds although nobody listens."""
    bench = Bench(FaultRule("coil", "refuse", nth=2))
    refused = bench.open("COIL")
    with pytest.raises(ConnectionRefusedError):
        refused.write(b"*IDN?\n")
    assert ask(bench.open("COIL"), "*IDN?")[0].startswith(b"KEPCO")


def test_error_queue_entry_that_nobody_caused() -> None:
    """SCPI: an entry in the queue; XRF: the line is refused."""
    rules = (
        FaultRule("coil", "error_queue", "CURR 1", value="301,Over-current"),
        FaultRule("rf", "error_queue", "FREQ", nth=1, value="Watchdog"),
    )
    bench = Bench(*rules)
    bench.coil.write(b"CURR 1\n")
    assert ask(bench.coil, "SYST:ERR?")[0] == b'301,"Over-current"\n'
    assert ask(bench.rf, "FREQ,1")[0] == b"ERR: Watchdog\r\n"
    assert ask(bench.rf, "FREQ,1")[0].startswith(b"80.")


def test_wrong_value_parses() -> None:
    """The number is 10 % off, or the value given; its form is good."""
    bench = Bench(FaultRule("coil", "wrong_value", "VOLT"))
    bench.coil.write(b"VOLT 10\n")
    assert float(ask(bench.coil, "VOLT?")[0]) == pytest.approx(11.0, abs=0.01)
    other = Bench(FaultRule("coil", "wrong_value", "CURR", value="5"))
    assert float(ask(other.coil, "CURR?")[0].replace(b"E0", b"")) == pytest.approx(5)


def test_stuck_value_repeats() -> None:
    """From the strike on the same question gets the same answer."""
    bench = Bench(FaultRule("coil", "stuck", "VOLT", nth=2))
    bench.coil.write(b"VOLT 3\n")
    assert ask(bench.coil, "VOLT?")[0] == b"3.0E0\n"
    bench.coil.write(b"VOLT 4\n")
    assert ask(bench.coil, "VOLT?")[0] == b"3.0E0\n"


def test_hot_coil_switches_the_output_off() -> None:
    """The interlock acts at once and leaves an error."""
    bench = Bench(FaultRule("coil", "coil_hot", "MEAS"))
    bench.coil.write(b"FUNC:MODE CURR;:VOLT 10;:CURR 1;:OUTP ON\nMEAS:CURR?\n")
    bench.coil.arrived()
    assert ask(bench.coil, "OUTP?")[0] == b"0\n"
    assert b"Over-temperature" in ask(bench.coil, "SYST:ERR?")[0]


def test_nth_strikes_once() -> None:
    """Only the third matching message; others do not count."""
    bench = Bench(FaultRule("coil", "mute", "CURR", nth=3))
    questions = ["CURR?", "VOLT?", "CURR?", "VOLT?", "CURR?", "CURR?"]
    ends = [ask(bench.coil, question)[1] for question in questions]
    assert [end is ReadEnd.TIMEOUT for end in ends] == [False, False, False, False, True, False]


def test_probability_strikes_its_share() -> None:
    """Of 4000 messages 1/4 within 5 standard deviations (false alarm below 1e-6)."""
    faults = Faults([FaultRule("coil", "mute", probability=0.25)], np.random.default_rng(1))
    struck = sum(bool(faults.strike("coil", "CURR?")) for _ in range(4000))
    assert abs(struck - 1000) < 5 * np.sqrt(4000 * 0.25 * 0.75)


def test_one_seed_one_fate() -> None:
    """The same seed strikes the same messages."""
    fates = []
    for _ in range(2):
        bench = Bench(FaultRule("coil", "mute", probability=0.5))
        fates.append([ask(bench.coil, "CURR?")[1] for _ in range(20)])
    assert fates[0] == fates[1]
    assert len(set(fates[0])) == 2


def test_other_devices_are_spared() -> None:
    """A rule names one device."""
    bench = Bench(FaultRule("rf", "mute"))
    assert ask(bench.coil, "*IDN?")[1] is ReadEnd.TERMINATOR


@pytest.mark.parametrize(
    ("kind", "pattern", "says"),
    [("explode", ".*", "kind must be one of mute"), ("mute", "(", "no")],
)
def test_bad_rules_are_refused(kind: str, pattern: str, says: str) -> None:
    """Unknown kinds and broken patterns are errors of the laboratory file."""
    with pytest.raises(StationFileError, match=says):
        FaultRule("coil", kind, pattern)


def test_rule_for_an_unknown_device() -> None:
    """The error lists the devices."""
    with pytest.raises(StationFileError, match="no device `moon`; there are coil, rf"):
        Bench(FaultRule("moon", "mute"))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_leaves_the_laboratory_usable(kind: str) -> None:
    """After the fault a fresh link gets a good answer."""
    bench = Bench(FaultRule("rf", kind, nth=2 if kind == "refuse" else 1))
    bench.rf.write(b"STATUS,1\n")
    bench.lab.clock.wait(20.0)
    if kind == "refuse":
        bench.open("RF")
    assert ask(bench.open("RF"), "FREQ,2")[0].startswith(b"80.0000")
