"""MOGLabs XRF: driver and simulated unit in conversation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cavitylab.instruments.drivers.moglabs_xrf import MOGLabsXRF, TableEntry
from cavitylab.instruments.drivers.moglabs_xrf_language import parse_info
from cavitylab.instruments.errors import InstrumentError, LimitError, LinkError
from cavitylab.instruments.simulated.devices.moglabs_xrf import MOGLabsXRF as SimulatedXRF
from cavitylab.instruments.simulated.laboratory import Laboratory
from cavitylab.instruments.simulated.links import Link

ADDRESS = "TCPIP0::10.0.0.1::7802::SOCKET"
Bench = Callable[..., str]

TONE = TableEntry(80e6, 20.0, 0.0, 10e-6)
END = TableEntry(80e6, None, 0.0, 1e-6)


@pytest.fixture
def rf(bench: Bench) -> MOGLabsXRF:
    return MOGLabsXRF("rf", ADDRESS, visalib=bench())


def open_rf(library: str, **kwargs: Any) -> MOGLabsXRF:
    return MOGLabsXRF("rf", ADDRESS, visalib=library, **kwargs)


class TestSteadyOutput:
    """Frequency, power, phase, limit, mode."""

    def test_identity_without_idn(self, rf: MOGLabsXRF) -> None:
        """Built from INFO and VERSION."""
        identity = rf.IDN()
        assert identity["vendor"] == "MOGLabs"
        assert identity["model"] == "XRF421"
        assert identity["serial"]

    def test_units_on_one_table_have_serial_numbers_of_their_own(self) -> None:
        """Three synthesizers can be told apart; a laboratory file may state a number."""
        table = Laboratory()
        units = [
            SimulatedXRF(name, table) for name in ("rf_cavity", "rf_couplings", "rf_coupling_3")
        ]
        units.append(SimulatedXRF("rf", table, {"serial": "A00042"}))
        found = []
        for unit in units:
            link = Link(table, unit, unit.name, framed=False)
            info, version = (parse_info(str(unit.handle(q, link))) for q in ("INFO", "VERSION"))
            assert info["serial"] == version["serial"]
            found.append(info["serial"])
        assert len(set(found)) == 4 and found[-1] == "A00042"

    def test_loading_writes_nothing(self, rf: MOGLabsXRF) -> None:
        """Only the two questions of the identity."""
        assert rf.journal.sent() == ["INFO", "VERSION"]

    def test_set_and_read_back_in_si_units(self, rf: MOGLabsXRF) -> None:
        """Hz to the step of the synthesizer, dBm to the step of its amplitude, degrees."""
        rf.ch1.frequency(80.1e6)
        rf.ch1.power(17.0)
        rf.ch1.phase(370.0)
        assert rf.ch1.frequency() == pytest.approx(80.1e6, abs=0.5)
        assert rf.ch1.power() == pytest.approx(17.0, abs=0.05)
        assert rf.ch1.phase() == pytest.approx(10.0, abs=0.02)

    def test_channels_are_independent(self, rf: MOGLabsXRF) -> None:
        """What is set on one does not show on the other."""
        rf.ch1.power(17.0)
        rf.ch2.power(3.0)
        assert rf.ch1.power() == pytest.approx(17.0, abs=0.05)

    def test_power_above_the_limit_is_not_sent(self, rf: MOGLabsXRF) -> None:
        """The driver itself compares, since the unit does not in every mode."""
        rf.ch1.limit(20.0)
        with pytest.raises(LimitError, match="20 dBm"):
            rf.ch1.power(20.1)
        assert not any(line.startswith("POW,1,20.1") for line in rf.journal.sent())

    def test_refusal_is_an_error_with_the_units_words(self, rf: MOGLabsXRF) -> None:
        """ERR comes out as InstrumentError, and the link stays clean."""
        with pytest.raises(InstrumentError, match="out of range"):
            rf.write("FREQ,1,10MHz")
        with pytest.raises(InstrumentError, match="ERR"):
            rf.ask("FREQ,3")
        assert not rf.link_is_dirty

    def test_mode_switches_the_output_off(self, rf: MOGLabsXRF) -> None:
        """Known hazard of the unit: the status after MODE shows it."""
        rf.ch1.on()
        assert rf.ch1.status().signal and rf.ch1.status().amplifier
        rf.ch1.mode("TSB")
        assert not rf.ch1.status().signal

    def test_off_is_off(self, rf: MOGLabsXRF) -> None:
        """And may be said twice."""
        rf.ch1.on()
        rf.ch1.off()
        rf.ch1.off()
        assert not rf.ch1.status().signal

    def test_reboot_is_never_sent(self, rf: MOGLabsXRF) -> None:
        """It would drop the link and every setting."""
        with pytest.raises(LimitError):
            rf.write("REBOOT")


class TestTables:
    """Simple tables."""

    def test_table_text(self, rf: MOGLabsXRF) -> None:
        """Clear, then one line an entry; the last one is dark; the mode is set where needed."""
        rf.journal.clear()
        rf.ch1.load_table([TONE, END])
        lines = [line for line in rf.journal.sent() if line.startswith(("TABLE", "MODE,1,"))]
        assert lines == [
            "MODE,1,TSB",
            "TABLE,CLEAR,1",
            "TABLE,APPEND,1,80.000000000MHz,20.000dBm,0.0000deg,10us",
            "TABLE,APPEND,1,80.000000000MHz,0x0,0.0000deg,1us",
        ]
        assert rf.ask("TABLE,ENTRIES,1") == "2"
        assert not rf.ch1.status().signal

    def test_arm_switches_on_and_starts_later(self, rf: MOGLabsXRF) -> None:
        """Arming is the moment at which RF may come."""
        rf.ch1.load_table([TONE, END])
        rf.ch1.rearm(True)
        rf.ch1.arm()
        assert rf.ch1.status().signal

    def test_arm_without_a_table_of_this_session(self, rf: MOGLabsXRF) -> None:
        """Whatever table is in the unit must not come out."""
        with pytest.raises(InstrumentError, match="load_table"):
            rf.ch1.arm()
        rf.ch1.load_table([TONE, END])
        rf.ch1.mode("TSB")
        with pytest.raises(InstrumentError, match="load_table"):
            rf.ch1.arm()

    @pytest.mark.parametrize(
        ("entries", "reason"),
        [
            ([], "1 to 8191"),
            ([TONE], "must be dark"),
            ([TableEntry(10e6, 0.0, 0.0, 1e-6), END], "frequency"),
            ([TableEntry(80e6, 31.0, 0.0, 1e-6), END], "30 dBm"),
            ([TableEntry(80e6, 0.0, float("nan"), 1e-6), END], "phase"),
            ([TableEntry(80e6, 0.0, 0.0, 1.5e-6), END], "multiple of 1 us"),
            ([TableEntry(80e6, 0.0, 0.0, 0.0), END], "multiple of 1 us"),
            ([TableEntry(80e6, 0.0, 0.0, 1.1), END], "multiple of 1 us"),
            ([TableEntry(80e6, 0.0, 0.0, 0.1, "IOSET0x0001"), END], "multiple of 1 us"),
        ],
    )
    def test_impossible_tables_are_refused(
        self, rf: MOGLabsXRF, entries: list[TableEntry], reason: str
    ) -> None:
        """Before anything is sent, so the old table stays whole."""
        with pytest.raises(LimitError, match=reason):
            rf.ch1.load_table(entries)
        assert not any(line.startswith("TABLE") for line in rf.journal.sent())


class TestFaults:
    """What the link may do to a conversation."""

    def test_lost_answer_to_a_question(self, bench: Bench) -> None:
        """Mended by one repetition on a new link."""
        rf = open_rf(bench("{device: rf, kind: mute, match: '^FREQ,1$', nth: 1}"))
        assert rf.ch1.frequency() > 0
        assert rf.journal.sent().count("FREQ,1") == 2

    def test_late_answer_is_not_mistaken(self, bench: Bench) -> None:
        """The answer to FREQ comes after the time-out; POW gets its own."""
        rf = open_rf(bench("{device: rf, kind: slow, match: '^FREQ,1$', nth: 1, seconds: 3}"))
        rf.ch1.power(5.0)
        with pytest.raises(LinkError):
            rf.ask_raw("FREQ,1")
        rf.clock.wait(5.0)
        assert rf.ch1.power() == pytest.approx(5.0, abs=0.05)

    @pytest.mark.parametrize("kind", ["mute", "garbage", "truncate", "drop"])
    @pytest.mark.parametrize(
        ("match", "act"), [("TABLE,ARM", "arm"), ("^ON,", "on"), ("TABLE,START", "start")]
    )
    def test_what_switches_rf_on_is_never_repeated(
        self, bench: Bench, kind: str, match: str, act: str
    ) -> None:
        """Whatever becomes of the answer, the command went out once."""
        rf = open_rf(bench(f"{{device: rf, kind: {kind}, match: '{match}', nth: 1}}"))
        rf.ch1.load_table([TONE, END])
        if act == "start":
            rf.ch1.arm()
        rf.journal.clear()
        with pytest.raises(LinkError):
            getattr(rf.ch1, act)()
        assert len(rf.journal.sent()) == 1
        rf.ch1.off()
        assert not rf.ch1.status().signal

    def test_append_that_is_refused_leaves_no_table_to_arm(self, bench: Bench) -> None:
        """Half a table is not armed."""
        rf = open_rf(bench("{device: rf, kind: error_queue, match: 'TABLE,APPEND', nth: 2}"))
        with pytest.raises(InstrumentError):
            rf.ch1.load_table([TONE, END])
        with pytest.raises(InstrumentError, match="load_table"):
            rf.ch1.arm()
