"""The rules of the driver base class, against real sockets through pyvisa-py."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from cavitylab.instruments.drivers.scpi import ScpiInstrument
from cavitylab.instruments.errors import InstrumentError, LimitError, LinkError, StaleReply

TIMEOUT = 0.3
IDENTITY = b"ACME,WAVE,123,1.0\n"


class Wave(ScpiInstrument):
    """A small SCPI instrument: frequency, power, a trigger, an error queue."""

    default_timeout = TIMEOUT
    forbidden = ("SELF:DESTRUCT",)

    def __init__(self, name: str, address: str, **kwargs: Any) -> None:
        super().__init__(name, address, visalib="@py", **kwargs)
        self.frequency = self.add_parameter(
            "frequency", get_cmd="FREQ?", get_parser=float, set_cmd="FREQ {}"
        )
        self.connect_message()


class WaveUnit:
    """What answers behind the socket; `faults` holds the actions for coming messages."""

    def __init__(self) -> None:
        self.identity = IDENTITY
        self.errors: list[bytes] = []
        self.status = b"0\n"
        self.faults: dict[str, list[Sequence[bytes | float | str]]] = {}

    def __call__(self, line: str) -> Sequence[bytes | float | str]:
        if self.faults.get(line):
            return self.faults[line].pop(0)
        if line == "SYST:ERR?":
            return [self.errors.pop(0) if self.errors else b'+0,"No error"\n']
        answers = {"*IDN?": self.identity, "*ESR?": self.status, "FREQ?": b"80\n", "POW?": b"24\n"}
        return [answers[line]] if line in answers else []


@pytest.fixture
def unit() -> WaveUnit:
    return WaveUnit()


@pytest.fixture
def server(serve: Callable[..., Any], unit: WaveUnit) -> Any:
    return serve(unit)


@pytest.fixture
def wave(server: Any) -> Wave:
    return Wave("wave", server.address)


class TestNoAnswer:
    """An answer that comes late, or never."""

    def test_late_answer_is_never_taken_for_the_next(self, wave: Wave, unit: WaveUnit) -> None:
        """After a time-out the power question gets the power, although 80 arrived meanwhile."""
        unit.faults["FREQ?"] = [[2 * TIMEOUT, b"80\n"]]
        with pytest.raises(LinkError):
            wave.ask_raw("FREQ?")
        time.sleep(2 * TIMEOUT)
        assert wave.ask("POW?") == "24"

    def test_pure_question_is_repeated_once_on_a_new_link(
        self, wave: Wave, unit: WaveUnit, server: Any
    ) -> None:
        """One lost answer is mended: reopened, identified, asked again."""
        unit.faults["FREQ?"] = [[]]
        assert wave.frequency() == 80.0
        first = [line for number, line in server.lines if number == 1]
        second = [line for number, line in server.lines if number == 2]
        assert first[-1] == "FREQ?"
        assert second == ["*IDN?", "*ESR?", "SYST:ERR?", "FREQ?"]

    def test_two_lost_answers_are_an_error(self, wave: Wave, unit: WaveUnit, server: Any) -> None:
        """No third attempt; the error names everything a person needs."""
        unit.faults["FREQ?"] = [[], []]
        with pytest.raises(LinkError, match="no answer") as caught:
            wave.ask("FREQ?")
        assert server.texts().count("FREQ?") == 2
        for part in ("wave", server.address, "FREQ?", "received so far", "Check"):
            assert part in str(caught.value)

    def test_question_that_clears_is_not_repeated(
        self, wave: Wave, unit: WaveUnit, server: Any
    ) -> None:
        """*ESR? clears what it reads: a lost answer is not asked for again."""
        before = server.texts().count("*ESR?")
        unit.faults["*ESR?"] = [[]]
        with pytest.raises(LinkError):
            wave.ask("*ESR?")
        assert server.texts().count("*ESR?") == before + 1

    def test_command_joined_to_a_question_is_not_repeated(
        self, wave: Wave, unit: WaveUnit, server: Any
    ) -> None:
        """What follows a command would act twice."""
        for message in ("FREQ 5;FREQ?", "FREQ?;*TRG", "FREQ?;SYST:ERR?"):
            with pytest.raises(LinkError):
                wave.ask(message)
            assert server.texts().count(message) == 1

    def test_beginning_of_an_answer_is_shown(self, wave: Wave, unit: WaveUnit) -> None:
        """What had arrived before the time-out is in the error."""
        unit.faults["FREQ?"] = [[b"80.00"]]
        with pytest.raises(LinkError, match=r"received so far: '80\.00'"):
            wave.ask_raw("FREQ?")


class TestLostLink:
    """The peer goes away, or was never there."""

    def test_refused_port(self, refused_address: str) -> None:
        """A port on which nobody listens is a LinkError that says so."""
        with pytest.raises(LinkError, match="refused"):
            Wave("wave", refused_address)

    def test_closing_peer_is_noticed_at_once_without_load(self, wave: Wave, unit: WaveUnit) -> None:
        """Neither the whole time-out is waited for, nor the processor kept busy."""
        wave.timeout(20.0)
        unit.faults["FREQ?"] = [[b"80.", "hang up"]]
        started, load = time.monotonic(), time.process_time()
        with pytest.raises(LinkError, match=r"closed the link.*'80\.'"):
            wave.ask_raw("FREQ?")
        assert time.monotonic() - started < 5.0
        assert time.process_time() - load < 1.0

    def test_waiting_costs_no_processor_time(self, wave: Wave, unit: WaveUnit) -> None:
        """A mute instrument is waited for asleep."""
        wave.timeout(1.0)
        unit.faults["FREQ?"] = [[]]
        load = time.process_time()
        with pytest.raises(LinkError):
            wave.ask_raw("FREQ?")
        assert time.process_time() - load < 0.5

    def test_link_dropped_between_questions(self, wave: Wave, server: Any) -> None:
        """The next question is asked on a new link."""
        server.hang_up()
        assert wave.frequency() == 80.0
        assert len(server.connections) == 2

    def test_command_on_a_dropped_link_is_an_error_then_works(
        self, wave: Wave, server: Any
    ) -> None:
        """A trigger is never sent a second time by the driver itself."""
        server.hang_up()
        with pytest.raises(LinkError):
            wave.write("*TRG")
        assert "*TRG" not in server.texts()
        wave.write("*TRG")
        assert server.texts().count("*TRG") == 1

    def test_terminators_and_timeout_are_restored(self, wave: Wave, server: Any) -> None:
        """A reopened link behaves like the first one."""
        wave.timeout(1.25)
        server.hang_up()
        wave.frequency()
        assert wave.visa_handle.timeout == 1250
        assert wave.visa_handle.read_termination == "\n"
        assert wave.timeout() == 1.25

    def test_another_instrument_behind_the_address(
        self, wave: Wave, unit: WaveUnit, server: Any
    ) -> None:
        """Whoever answers after a reopening must be the same unit."""
        unit.identity = b"ACME,WAVE,999,1.0\n"
        server.hang_up()
        with pytest.raises(LinkError, match="999"):
            wave.frequency()
        assert "FREQ?" not in server.texts()

    def test_restarted_instrument_lost_its_settings(
        self, wave: Wave, unit: WaveUnit, server: Any
    ) -> None:
        """Power that was cycled meanwhile is reported once, and nothing cached survives."""
        wave.frequency()
        unit.faults["*ESR?"] = [[b"128\n"]]
        server.hang_up()
        with pytest.raises(InstrumentError, match="restarted"):
            wave.frequency()
        assert wave.restarts == 1
        assert not wave.frequency.cache.valid
        assert wave.frequency() == 80.0

    def test_lost_proof_of_a_restart_counts_as_a_restart(
        self, wave: Wave, unit: WaveUnit, server: Any
    ) -> None:
        """The power-on bit is cleared by reading: if its answer is lost, nobody knows."""
        unit.faults["*ESR?"] = [[]]
        server.hang_up()
        with pytest.raises(LinkError):
            wave.frequency()
        assert wave.link_is_dirty
        with pytest.raises(InstrumentError, match="restarted"):
            wave.frequency()
        assert wave.frequency() == 80.0

    def test_link_is_not_clean_before_it_is_checked(
        self, wave: Wave, unit: WaveUnit, server: Any
    ) -> None:
        """A reopening that fails at the identity begins again, it is not taken for done."""
        unit.faults["*IDN?"] = [[b"who?\n"]]
        server.hang_up()
        with pytest.raises(LinkError, match="who"):
            wave.frequency()
        assert wave.frequency() == 80.0
        assert server.texts().count("*IDN?") == 3

    def test_answer_lost_while_connecting(self, serve: Callable[..., Any], unit: WaveUnit) -> None:
        """The first questions are repeated too, and no restart is suspected."""
        unit.faults["*IDN?"] = [[]]
        unit.faults["*ESR?"] = [[], [b"128\n"]]
        wave = Wave("wave", serve(unit).address)
        assert wave.restarts == 0
        assert wave.frequency() == 80.0


class TestGarbage:
    """Bytes that are no answer."""

    def test_bytes_that_are_no_text(self, wave: Wave, unit: WaveUnit) -> None:
        """They are shown escaped, and the link is reopened before the next question."""
        unit.faults["FREQ?"] = [[b"\xff\xfe\x80\n"]]
        with pytest.raises(LinkError, match=r"\\xff\\xfe\\x80"):
            wave.ask_raw("FREQ?")
        assert wave.link_is_dirty
        assert wave.frequency() == 80.0

    def test_text_that_is_no_number(self, wave: Wave, unit: WaveUnit) -> None:
        """An answer of the wrong kind counts as garbage and is asked for once more."""
        unit.faults["FREQ?"] = [[b"BANANA\n"]]
        assert wave.ask_float("FREQ?") == 80.0
        unit.faults["FREQ?"] = [[b"nan\n"], [b"BANANA\n"]]
        with pytest.raises(LinkError, match="BANANA"):
            wave.ask_float("FREQ?")

    def test_unasked_line_is_thrown_away(self, wave: Wave, server: Any, unit: WaveUnit) -> None:
        """Something that waits on the link before a question belongs to no question."""
        server.send(b"4711\n")
        with pytest.raises(StaleReply, match="4711"):
            wave.ask_raw("FREQ?")
        assert wave.frequency() == 80.0

    def test_endless_answer_ends(self, wave: Wave, unit: WaveUnit) -> None:
        """An instrument that talks without end mark is cut off near the time-out."""
        unit.faults["FREQ?"] = [[part for _ in range(40) for part in (b"x" * 10, 0.05)]]
        started = time.monotonic()
        with pytest.raises(LinkError, match="xxx"):
            wave.ask_raw("FREQ?")
        assert time.monotonic() - started < 4 * TIMEOUT


class TestErrorQueue:
    """What the instrument itself complains about."""

    def test_write_reads_the_queue(self, wave: Wave, unit: WaveUnit) -> None:
        """All entries are raised together, with the command."""
        unit.errors = [b'-222,"Data out of range"\n', b'-113,"Undefined header"\n']
        with pytest.raises(InstrumentError, match=r"-222.*-113.*FREQ 1e99"):
            wave.frequency("1e99")
        wave.frequency(80)

    def test_group_reads_it_once(self, wave: Wave, server: Any) -> None:
        """Several commands, one look at the queue, at the end."""
        before = server.texts().count("SYST:ERR?")
        with wave.group():
            wave.write("FREQ 1")
            with wave.group():
                wave.write("FREQ 2")
            wave.write("FREQ 3")
        assert server.texts()[-4:] == ["FREQ 1", "FREQ 2", "FREQ 3", "SYST:ERR?"]
        assert server.texts().count("SYST:ERR?") == before + 1

    def test_errors_of_a_failed_group_are_not_blamed_on_the_next(
        self, wave: Wave, unit: WaveUnit
    ) -> None:
        """A group left by an exception empties the queue behind it."""
        unit.errors = [b'-222,"Data out of range"\n']
        with pytest.raises(LimitError), wave.group():
            wave.write("FREQ 1e99")
            raise LimitError("of the laboratory")
        wave.write("FREQ 1")
        assert any("-222" in remark for remark in wave.journal.remarks())

    def test_old_errors_are_noted_on_connecting(self, server: Any, unit: WaveUnit) -> None:
        """What another program left behind is not blamed on this one."""
        unit.errors = [b'-113,"Undefined header"\n']
        wave = Wave("wave", server.address)
        assert any("-113" in remark for remark in wave.journal.remarks())
        wave.write("FREQ 1")

    def test_forbidden_message_is_never_sent(self, wave: Wave, server: Any) -> None:
        """Dangerous messages are refused before the wire."""
        for message in ("SELF:DESTRUCT NOW", ":self:destruct", "FREQ 5; SELF:DESTRUCT"):
            with pytest.raises(LimitError, match="never sent"):
                wave.write(message)
        assert not any("SELF" in line for line in server.texts())


class TestDailyUse:
    """Many threads, closing, the register of messages."""

    def test_connecting_only_asks(self, wave: Wave, server: Any) -> None:
        """Loading a driver writes nothing."""
        assert all(line.endswith("?") for line in server.texts())

    def test_two_threads_get_their_own_answers(self, wave: Wave) -> None:
        """Without the lock nearly every answer would go to the wrong thread."""
        wrong: list[str] = []

        def hammer(question: str, answer: str) -> None:
            wrong.extend(got for _ in range(300) if (got := wave.ask(question)) != answer)

        threads = [
            threading.Thread(target=hammer, args=pair) for pair in (("FREQ?", "80"), ("POW?", "24"))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert wave.restarts == 0 and not wave.journal.remarks()

    def test_snapshot_knows_the_address(self, wave: Wave, server: Any) -> None:
        """The snapshot works also while the link is closed."""
        wave.visa_handle.close()
        assert wave.snapshot()["address"] == server.address

    def test_journal_registers_both_directions(self, wave: Wave) -> None:
        """Every line and its time, in order."""
        wave.journal.clear()
        wave.frequency()
        assert [(m.direction, m.text) for m in wave.journal] == [(">", "FREQ?"), ("<", "80")]

    def test_closing_twice_is_harmless(self, wave: Wave) -> None:
        """And afterwards a question says that the instrument is closed."""
        wave.close()
        wave.close()
        with pytest.raises((LinkError, AttributeError)):
            wave.ask("FREQ?")

    def test_address_that_is_none(self) -> None:
        """An address that no library understands is refused on opening, with its text."""
        with pytest.raises(LinkError, match="NOWHERE"):
            Wave("wave", "NOWHERE::AT::ALL")
