"""The laboratory: what a trigger freezes, what the counter reads, and when."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cavitylab.instruments.errors import StationFileError
from cavitylab.instruments.simulated.devices.kepco_bop import KepcoBOP
from cavitylab.instruments.simulated.devices.keysight_53220a import Keysight53220A
from cavitylab.instruments.simulated.devices.moglabs_xrf import MOGLabsXRF
from cavitylab.instruments.simulated.devices.srs_dg645 import SRSDG645
from cavitylab.instruments.simulated.devices.toptica_dlcpro import TopticaDLCpro
from cavitylab.instruments.simulated.faults import FaultRule
from cavitylab.instruments.simulated.laboratory import Laboratory
from cavitylab.instruments.simulated.lines import ApparatusFault, Timeline
from cavitylab.instruments.simulated.links import Link

WIRES = [
    ("timing.T0", "rf.SEQ1"),
    ("timing.T0", "rf.SEQ2"),
    ("rf.ch1", "drive.rf"),
    ("rf.ch2", "coupling.rf"),
    ("timing.AB|CD", "drive.switch"),
    ("timing.AB", "coupling.switch"),
    ("coil.output", "gradient.current"),
    ("laser.laser1", "light"),
    ("timing.EF", "probe.1"),
    ("timing.GH", "probe.2"),
    ("timing.EF|GH", "counter.gate"),
    ("photons", "counter.in1"),
]


class ShotNumbers:
    """An apparatus whose count is 10 times the shot number plus the gate, for bookkeeping."""

    def __init__(self) -> None:
        self.asked: list[range] = []
        self.refuses: str | None = None

    def gates(self, timeline: Timeline) -> tuple[tuple[float, float, int | None], ...]:
        return tuple((one.start, one.stop, None) for one in timeline["counter.gate"])

    def counts(
        self, timeline: Timeline, shots: range, times: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        if self.refuses:
            raise ApparatusFault(self.refuses)
        self.asked.append(shots)
        gate = np.arange(len(timeline["counter.gate"]))
        return 10 * np.asarray(shots)[:, None] + gate

    def reveal(self) -> dict[str, Any]:
        return {"shots": sum(map(len, self.asked))}


class Table:
    """The wired laboratory with links to its instruments."""

    def __init__(self, **options: Any) -> None:
        self.lab = Laboratory(1, **options)
        models = {
            "timing": SRSDG645,
            "rf": MOGLabsXRF,
            "coil": KepcoBOP,
            "laser": TopticaDLCpro,
            "counter": Keysight53220A,
        }
        for name, model in models.items():
            self.lab.add(model(name, self.lab), [f"TCPIP0::{name.upper()}::1::SOCKET"])
        self.lab.connect(WIRES)
        self.physics = ShotNumbers()
        self.lab.apparatus = self.physics
        self.links: dict[str, Link] = {
            name: self.lab.link_to(device, name, framed=False)
            for name, device in self.lab.devices.items()
        }
        self.links["laser"].arrived()

    def send(self, name: str, *messages: str) -> None:
        for message in messages:
            self.links[name].write(message.encode() + b"\n")

    def ask(self, name: str, question: str, timeout: float = 1.0) -> str:
        self.send(name, question)
        return self.links[name].read(10**7, b"\n", timeout)[0].decode().strip()

    def prepare(self, shots: int = 5, readings: int | None = None) -> None:
        """Tables of 1 ms, gates of 1 ms at 2 ms and 4 ms, 10 ms a shot, 4 A."""
        for channel in (1, 2):
            for line in (
                "MODE,{},TSB",
                "TABLE,CLEAR,{}",
                "TABLE,APPEND,{},80,20,0,1ms",
                "TABLE,APPEND,{},80,0x0,0,1us",
                "TABLE,REARM,{},on",
                "TABLE,ARM,{}",
            ):
                assert self.ask("rf", line.format(channel)).startswith("OK")
        self.send("coil", "FUNC:MODE CURR;:VOLT 20;:CURR 4;:OUTP ON")
        self.lab.clock.wait(1.0)
        self.send("timing", "LPOL 0,0", "DLAY 2,0,0", "DLAY 3,0,500e-6", "DLAY 4,0,600e-6",
                  "DLAY 5,0,700e-6", "DLAY 6,0,2e-3", "DLAY 7,6,1e-3", "DLAY 8,0,4e-3",
                  "DLAY 9,8,1e-3", "BURM 1", f"BURC {shots}", "BURP 10e-3")  # fmt: skip
        samples = 2 * shots if readings is None else readings
        self.send("counter", "CONF:TOT:TIM 1E-3", "TOT:GATE:SOUR EXT", "TOT:GATE:POL POS")
        self.send("counter", f"SAMP:COUN {samples}", "INP1:LEV 1")
        assert self.ask("timing", "LERR?") == "0"
        assert self.ask("counter", "SYST:ERR?") == '+0,"No error"'

    def fire(self) -> None:
        self.send("counter", "INIT")
        self.send("timing", "*TRG")

    def readings(self) -> list[int]:
        block = self.ask("counter", "R?")
        text = block[2 + int(block[1]) :]
        return [round(float(one)) for one in text.split(",")] if text else []

    def timelines(self) -> list[tuple[int, Timeline]]:
        """(number of shots, timeline) of each portion of the latest burst."""
        self.lab.freeze()
        burst = self.lab.burst
        assert burst is not None
        return [(one.stop - one.first, one.timeline) for one in burst.portions]


@pytest.fixture
def table() -> Table:
    """A laboratory ready to fire five shots."""
    table = Table()
    table.prepare()
    return table


def spans(timeline: Timeline, line: str) -> list[tuple[float, float]]:
    """Start and stop of a line's stretches in ms."""
    return [(round(1e3 * s.start, 6), round(1e3 * s.stop, 6)) for s in timeline[line]]


def test_timeline_is_what_the_wires_did(table: Table) -> None:
    """Each line shows its instrument; all shots of a block share one timeline."""
    table.fire()
    table.lab.clock.wait(1.0)
    ((shots, timeline),) = table.timelines()
    assert shots == 5
    assert spans(timeline, "drive.rf") == [(0.0, 1.0)]
    assert spans(timeline, "drive.switch") == [(0.0, 0.5), (0.6, 0.7)]
    assert spans(timeline, "coupling.switch") == [(0.0, 0.5)]
    assert spans(timeline, "probe.1") == [(2.0, 3.0)]
    assert spans(timeline, "probe.2") == [(4.0, 5.0)]
    assert spans(timeline, "counter.gate") == [(2.0, 3.0), (4.0, 5.0)]
    assert timeline["gradient.current"][0].value == pytest.approx(4.0, abs=1e-5)
    assert timeline["light"][0].value.good


def test_readings_come_in_time_order(table: Table) -> None:
    """Two readings a shot, shot by shot."""
    table.fire()
    table.lab.clock.wait(1.0)
    assert table.readings() == [0, 1, 10, 11, 20, 21, 30, 31, 40, 41]
    assert table.readings() == []


def test_readings_appear_as_the_clock_passes(table: Table) -> None:
    """A reading is there when its gate has closed, not before; portions read alike."""
    table.fire()
    taken = []
    for wait, expected in ((2.5e-3, 0), (1e-3, 1), (2e-3, 2), (10e-3, 4)):
        table.lab.clock.wait(wait)
        assert table.ask("counter", "DATA:POIN?") == f"+{expected}"
    taken += table.readings()
    table.lab.clock.wait(1.0)
    taken += table.readings()
    assert taken == [0, 1, 10, 11, 20, 21, 30, 31, 40, 41]


def test_physics_is_asked_only_for_what_is_read(table: Table) -> None:
    """A block that nobody reads costs nothing."""
    table.fire()
    table.lab.clock.wait(1.0)
    assert table.physics.asked == []
    table.readings()
    assert table.lab.reveal()["shots"] == 5


def test_fetch_waits_for_the_last_gate(table: Table) -> None:
    """On the virtual clock the wait is the burst's duration."""
    table.fire()
    began = table.lab.now()
    answer = table.ask("counter", "FETC?", timeout=10.0)
    assert answer.count(",") == 9
    assert table.lab.now() - began <= 0.05 + 1e-6


def test_counter_not_started_misses_the_gates(table: Table) -> None:
    """INIT in the middle of a burst sees the later gates only."""
    table.send("timing", "*TRG")
    table.lab.clock.wait(23.5e-3)
    table.send("counter", "INIT")
    table.lab.clock.wait(1.0)
    assert table.readings() == [21, 30, 31, 40, 41]


def test_counter_stops_at_its_sample_count() -> None:
    """Readings wanted are fewer than the gates: the rest is not counted."""
    table = Table()
    table.prepare(shots=5, readings=3)
    table.fire()
    table.lab.clock.wait(1.0)
    assert table.readings() == [0, 1, 10]
    assert table.ask("counter", "STAT:OPER:COND?") == "+512"


def test_negative_gate_counts_in_the_gaps(table: Table) -> None:
    """With the reset polarity the counter looks between the probes."""
    table.send("counter", "TOT:GATE:POL NEG")
    table.fire()
    table.lab.clock.wait(1.0)
    assert spans(table.timelines()[0][1], "counter.gate") == [(3.0, 4.0), (5.0, 10.0)]


def test_threshold_above_the_pulses_counts_nothing(table: Table) -> None:
    """2.5 V pulses never cross 5 V: the gates give zeros."""
    table.send("counter", "INP1:IMP 50;LEV 5")
    table.fire()
    table.lab.clock.wait(1.0)
    assert table.readings() == [0] * 10


def test_positive_t0_starts_the_tables_at_its_end(table: Table) -> None:
    """SEQ wants a falling edge: with LPOL 1 the tables begin when T0 ends."""
    table.send("timing", "LPOL 0,1")
    table.fire()
    assert spans(table.timelines()[0][1], "drive.rf") == [(5.000025, 6.000025)]


def test_too_small_a_trigger_level_starts_nothing(table: Table) -> None:
    """0.5 V is no TTL edge."""
    table.send("timing", "LAMP 0,0.5")
    table.fire()
    assert spans(table.timelines()[0][1], "drive.rf") == []


def test_without_rearm_only_the_first_shot_has_light() -> None:
    """The timelines show it; nobody is told."""
    table = Table()
    table.prepare()
    table.ask("rf", "TABLE,REARM,1,off")
    table.fire()
    table.lab.clock.wait(1.0)
    portions = [(shots, spans(timeline, "drive.rf")) for shots, timeline in table.timelines()]
    assert portions == [(1, [(0.0, 1.0)]), (4, [])]


def test_change_during_a_burst_acts_on_later_shots(table: Table) -> None:
    """Shots already begun keep what they saw."""
    table.fire()
    table.lab.clock.wait(15e-3)
    table.ask("rf", "OFF,1")
    table.lab.clock.wait(1.0)
    portions = [(shots, spans(timeline, "drive.rf")) for shots, timeline in table.timelines()]
    assert portions == [(2, [(0.0, 1.0)]), (3, [])]


def test_unsettled_coil_differs_from_shot_to_shot(table: Table) -> None:
    """A current that still moves gives every shot its own timeline."""
    table.send("coil", "CURR 8")
    table.fire()
    table.lab.clock.wait(1.0)
    currents = [timeline["gradient.current"][0].value for _, timeline in table.timelines()]
    assert 4.0 < currents[0] < 4.2, "the first stair of a shot that begins with the step"
    assert currents == sorted(currents)
    assert currents[-1] == pytest.approx(8.0, abs=1e-2)


def test_lost_lock_shows_in_the_light(table: Table) -> None:
    """A laser that falls out of lock when the burst begins is dark for the atoms."""
    table.lab.spoil([FaultRule("laser", "laser_unlocked", "<fire>")])
    table.fire()
    assert table.timelines()[0][1]["light"][0].value.locked is False


def test_lost_trigger_fires_nothing(table: Table) -> None:
    """No shots, no readings, no shot numbers."""
    table.lab.spoil([FaultRule("timing", "trigger_lost", r"\*TRG")])
    table.fire()
    table.lab.clock.wait(1.0)
    assert table.readings() == []
    assert table.lab.next_shot == 0


def test_lost_gate_is_one_reading_less(table: Table) -> None:
    """The counter misses one opening: the number of readings tells."""
    table.lab.spoil([FaultRule("counter", "gate_lost", "<fire>")])
    table.fire()
    table.lab.clock.wait(1.0)
    assert table.readings() == [1, 10, 11, 20, 21, 30, 31, 40, 41]


def test_memory_overflow_is_shown_in_the_status(table: Table) -> None:
    """The oldest reading is gone, and bit 14 of the questionable status says so."""
    table.lab.spoil([FaultRule("counter", "memory_overflow", "R\\?")])
    table.fire()
    table.lab.clock.wait(1.0)
    assert len(table.readings()) == 9
    assert table.ask("counter", "STAT:QUES?") == "+16384"


def test_doubled_trigger_comes_too_early(table: Table) -> None:
    """The second of two triggers finds the unit busy: RATE, and one burst only."""
    table.lab.spoil([FaultRule("timing", "trigger_doubled", r"\*TRG")])
    table.fire()
    assert int(table.ask("timing", "INSR?")) & 2
    assert table.lab.next_shot == 5


def test_aborted_burst_keeps_what_was_counted(table: Table) -> None:
    """Gates that closed before the abort count; the next burst goes on numbering."""
    table.fire()
    table.lab.clock.wait(13.5e-3)
    table.send("timing", "DLAY 2,0,0")
    table.lab.clock.wait(1.0)
    assert table.readings() == [0, 1, 10]
    table.send("counter", "ABOR")
    table.fire()
    table.lab.clock.wait(1.0)
    assert table.readings()[:2] == [20, 21]


def test_blocks_are_numbered_on(table: Table) -> None:
    """The second block's shots follow the first's."""
    for first in (0, 5):
        table.fire()
        table.lab.clock.wait(1.0)
        assert table.readings()[0] == 10 * first


def test_apparatus_fault_leaves_readings_out(table: Table) -> None:
    """No answer rather than a wrong one; the reason is kept, once."""
    table.physics.refuses = "the hold was too short"
    table.fire()
    table.lab.clock.wait(1.0)
    assert table.readings() == []
    assert table.lab.faults == ["the hold was too short"]
    assert "the hold was too short" in table.lab.journal.remarks()


def test_timed_gate_counts_without_a_burst(table: Table) -> None:
    """Alignment: READ? with a timed gate takes its time and one free-running shot."""
    table.send("counter", "CONF:TOT:TIM 0.5")
    began = table.lab.now()
    assert float(table.ask("counter", "READ?", timeout=10.0)) > 0
    assert table.lab.now() - began == pytest.approx(0.5)
    assert table.lab.next_shot == 0


def test_wrong_shape_of_counts_is_no_silent_nonsense(table: Table) -> None:
    """An apparatus that returns another number of gates is a programming error."""
    table.physics.counts = lambda timeline, shots, times: np.zeros((len(shots), 3))  # type: ignore[method-assign]
    table.fire()
    table.lab.clock.wait(1.0)
    with pytest.raises(ValueError, match="must return counts of shape"):
        table.readings()


@pytest.mark.parametrize(
    ("wire", "says"),
    [
        (("moon.T0", "light"), "there is no device `moon`"),
        (("timing.XY", "light"), "`timing` has no output `XY`; it has `T0`"),
        (("timing.T0", "rf.SEQ9"), "`rf` has no input `SEQ9`; it has `SEQ1`, `SEQ2`"),
        (("photons", "light"), "photons can only be wired to the input of a counter"),
        (("timing.GH", "rf.SEQ1"), "already plugged"),
        (("timing.GH", "drive.switch"), "already drives this line"),
    ],
)
def test_wires_that_cannot_be_laid(wire: tuple[str, str], says: str) -> None:
    """The error names the wire and what there is."""
    table = Table()
    with pytest.raises(StationFileError, match=says):
        table.lab.connect([*WIRES, wire])


def test_every_bad_wire_is_reported_at_once() -> None:
    """Two mistakes, one message."""
    table = Table()
    with pytest.raises(StationFileError) as caught:
        table.lab.connect([("a.b", "light"), ("c.d", "light")])
    assert len(str(caught.value).splitlines()) == 2


def test_names_and_addresses_are_unique() -> None:
    """Two devices cannot share either."""
    table = Table()
    with pytest.raises(StationFileError, match="two devices are called `rf`"):
        table.lab.add(MOGLabsXRF("rf", table.lab))
    with pytest.raises(StationFileError, match="both answer at"):
        table.lab.add(MOGLabsXRF("rf2", table.lab), ["TCPIP0::RF::1::SOCKET"])


def test_million_shots_cost_one_timeline() -> None:
    """A long block is one portion, fired and counted in well under a second of work."""
    table = Table()
    table.prepare(shots=100_000, readings=200_000)
    table.fire()
    table.lab.clock.wait(2000.0)
    assert [shots for shots, _ in table.timelines()] == [100_000]
    assert len(table.readings()) == 200_000
