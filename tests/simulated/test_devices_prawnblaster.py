"""The simulated PrawnBlaster: the firmware's words, programs, triggers, waits."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cavitylab.instruments.simulated.devices.prawn_run import TIMED_OUT, Run
from cavitylab.instruments.simulated.devices.prawnblaster import PrawnBlaster


@pytest.fixture
def unit(device_bench: Callable[..., Any]) -> Any:
    """A Pico whose first clock is a line, triggered by a pulse box."""
    return device_bench(
        PrawnBlaster, [("unit.clock0", "probe.1"), ("box.out", "unit.trigger0")], end=b"\r\n"
    )


def program(unit: Any, *instructions: tuple[int, int]) -> None:
    for place, (half, count) in enumerate(instructions):
        assert unit.ask(f"set 0 {place} {half} {count}") == "ok"


def pulses(unit: Any) -> list[tuple[float, float]]:
    line = unit.laboratory.burst.portions[-1].timeline["probe.1"]
    return [(one.start, one.stop) for one in line]


class TestLanguage:
    """Answers of the firmware."""

    def test_status(self, unit: Any) -> None:
        """Manual mode, internal clock."""
        assert unit.ask("status") == "run-status:0 clock-status:0"

    def test_several_lines(self, unit: Any) -> None:
        """`getfreqs` ends with ok."""
        first = unit.ask("getfreqs")
        lines = [first]
        while lines[-1] != "ok":
            lines.append(unit.link.read(100, b"\n", 1.0)[0].decode().strip())
        assert "clk_sys = 100000kHz" in lines

    @pytest.mark.parametrize(
        ("command", "answer"),
        [
            ("foo", "invalid request: foo"),
            ("set 0 0 4 1", "half-period too short"),
            ("set 0 0 5 0", "invalid request"),
            ("set 4 0 5 1", "The specified pseudoclock"),
            ("set 0 30000 5 1", "invalid address"),
            ("set 0 0", "invalid request"),
            ("setnumpseudoclocks 5", "The number of pseudoclocks"),
            ("setclock 0 134000000", "Failure"),
            ("abort", "Can only abort"),
            ("getwait 0 0", "wait not yet available"),
            ("setb 0 0 30000", "Invalid address"),
            ("setoutpin 0 0", "OUT pin cannot be the same"),
        ],
    )
    def test_mistakes(self, unit: Any, command: str, answer: str) -> None:
        """Error texts, no codes."""
        assert unit.ask(command).startswith(answer)

    def test_waits_are_even(self, unit: Any) -> None:
        """The loop has two cycles: an odd timeout comes back one shorter."""
        program(unit, (101, 0))
        assert unit.ask("get 0 0") == "100 0"

    def test_block(self, unit: Any) -> None:
        """`ready`, then 8 bytes an instruction, half period first, then ok."""
        data = struct.pack("<IIII", 50, 3, 10, 13)
        assert unit.ask("setb 0 5 2") == "ready"
        unit.link.write(data[:7])
        unit.link.write(data[7:])
        assert unit.link.read(100, b"\n", 1.0)[0] == b"ok\r\n"
        assert (unit.ask("get 0 5"), unit.ask("get 0 6")) == ("50 3", "10 13")

    def test_bad_block(self, unit: Any) -> None:
        """Bad instructions are skipped, and complained about."""
        unit.ask("setb 0 0 2")
        unit.link.write(struct.pack("<IIII", 4, 1, 50, 1))
        assert unit.link.read(100, b"\n", 1.0)[0] == b"half-period too short\r\n"
        unit.link._lost()
        assert unit.ask("get 0 0") == "50 1"

    def test_new_number_erases(self, unit: Any) -> None:
        """All instructions are gone."""
        program(unit, (50, 1))
        unit.ask("setnumpseudoclocks 2")
        assert unit.ask("get 0 0") == "0 0"


class TestRuns:
    """What is on the outputs."""

    def test_software_start(self, unit: Any) -> None:
        """Three pulses of 1 us, from the moment of `start`, in a shot of its own."""
        program(unit, (100, 3))
        assert unit.ask("start") == "ok"
        assert unit.ask("status").startswith("run-status:2")
        unit.wait(10e-6)
        assert unit.ask("status").startswith("run-status:0")
        assert pulses(unit) == [
            (pytest.approx(2e-6 * n, abs=1e-12), pytest.approx(2e-6 * n + 1e-6)) for n in range(3)
        ]

    def test_trigger(self, unit: Any) -> None:
        """After `hwstart` it waits for the high level."""
        program(unit, (100, 2))
        unit.box.windows = ((1e-3, 2e-3),)
        unit.ask("hwstart")
        assert unit.ask("status").startswith("run-status:2")
        unit.shots(2)
        assert pulses(unit) == []
        first = unit.laboratory.burst.portions[0].timeline["probe.1"]
        assert [one.start for one in first] == pytest.approx([1e-3, 1.002e-3])
        assert unit.ask("status").startswith("run-status:0")

    def test_busy(self, unit: Any) -> None:
        """During a run little is obeyed."""
        program(unit, (100, 2))
        unit.ask("hwstart")
        for command in ("start", "set 0 0 5 1", "get 0 0", "setnumpseudoclocks 2", "go high 0"):
            assert unit.ask(command).startswith(f"Cannot execute command {command}")
        assert unit.ask("version") == "version: 1.2.0"

    def test_abort(self, unit: Any) -> None:
        """Low from then on; status 5 until the next start."""
        program(unit, (100_000, 100))
        unit.ask("start")
        unit.wait(2.5e-3)
        assert unit.ask("abort") == "ok"
        assert unit.ask("status").startswith("run-status:5")
        unit.ask("hwstart")
        assert unit.ask("status").startswith("run-status:2")

    def test_level_by_hand(self, unit: Any) -> None:
        """High for the whole shot."""
        unit.ask("go high 0")
        unit.shots(1)
        assert pulses(unit) == [(0.0, 10e-3)]

    def test_too_fast_to_draw(self, unit: Any) -> None:
        """Reported, not drawn."""
        program(unit, (5, 100_000))
        unit.ask("start")
        unit.wait(0.1)
        assert pulses(unit) == []
        assert "too fast" in unit.laboratory.faults[0]

    def test_wait_in_a_shot(self, unit: Any) -> None:
        """Pulse, wait for the trigger at 1 ms, pulse; what was left is told."""
        program(unit, (100, 1), (200_000, 0), (100, 1))
        unit.box.windows = ((1e-3, 2e-3), (3e-3, 4e-3))
        unit.ask("hwstart")
        unit.shots(1)
        first = unit.laboratory.burst.portions[0].timeline["probe.1"]
        starts = [one.start for one in first]
        assert starts == pytest.approx([1e-3, 1.002e-3], abs=1e-8)
        assert int(unit.ask("getwait 0 0")) == 200_000


class TestWaits:
    """The state machine by itself, 1 Hz clock."""

    def run(self, *program: tuple[int, int]) -> Run:
        return Run(program, 1.0, 0.0, armed=False)

    def test_triggered(self) -> None:
        """Ends at the level; the rest of the time-out is kept, even."""
        run = self.run((10, 1), (100, 0), (10, 1))
        run.advance(200.0, [(50.0, 51.0)])
        assert [one[0] for one in run.trains] == [0.0, 50.0]
        assert run.waits == [70]
        assert run.done_at == 70.0

    def test_timed_out(self) -> None:
        """Goes on after the time-out, and says so."""
        run = self.run((10, 1), (100, 0), (10, 1))
        run.advance(200.0)
        assert [one[0] for one in run.trains] == [0.0, 120.0]
        assert run.waits == [TIMED_OUT]

    def test_indefinite(self) -> None:
        """Two waits: after the first time-out it waits for ever; the second is not logged."""
        run = self.run((10, 0), (10, 0), (10, 1))
        run.advance(1000.0)
        assert run.trains == []
        run.advance(3000.0, [(2000.0, 2001.0)])
        assert [one[0] for one in run.trains] == [2000.0]
        assert run.waits == [TIMED_OUT]

    def test_second_wait_is_skipped(self) -> None:
        """The first was triggered: the second does not wait again."""
        run = self.run((10, 0), (10, 0), (10, 1))
        run.advance(100.0, [(5.0, 6.0)])
        assert [one[0] for one in run.trains] == [5.0]

    def test_in_pieces(self) -> None:
        """Advancing in pieces of any length gives the same as at once."""
        rng = np.random.default_rng(1)
        program = ((10, 3), (50, 0), (20, 2), (30, 0), (30, 0), (7, 1))
        high = [(100.0, 101.0), (400.0, 402.0)]
        whole = self.run(*program)
        whole.advance(1000.0, high)
        pieces = self.run(*program)
        for stop in np.sort(np.append(rng.uniform(0.0, 1000.0, 50), 1000.0)):
            pieces.advance(float(stop), high)
        assert (pieces.trains, pieces.waits, pieces.done_at) == (
            whole.trains, whole.waits, whole.done_at,
        )  # fmt: skip

    def test_cut_to_a_shot(self) -> None:
        """Pulses at the edges of a shot are cut there."""
        run = self.run((10, 4))
        run.advance(100.0)
        spans = [(one.start, one.stop) for one in run.high(5.0, 45.0)]
        assert spans == [(0.0, 5.0), (15.0, 25.0), (35.0, 40.0)]
