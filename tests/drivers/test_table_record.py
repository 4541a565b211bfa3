"""What the XRF's driver knows of a table, and when it forgets it; round trips of a shot."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from cavitylab import Station
from cavitylab.instruments.drivers.moglabs_xrf import MOGLabsXRF, TableEntry
from cavitylab.instruments.errors import InstrumentError, LinkError
from cavitylab.protocols import RamseyEllipse
from cavitylab.protocols.engine.block import take_block
from cavitylab.protocols.sequence import compile_sequence

ADDRESS = "TCPIP0::10.0.0.1::7802::SOCKET"
TONE, END = TableEntry(80e6, 20.0, 0.0, 10e-6), TableEntry(80e6, None, 0.0, 1e-6)
LONGER = replace(TONE, duration=12e-6)
Bench = Callable[..., str]


@pytest.fixture
def rf(bench: Bench) -> MOGLabsXRF:
    """The synthesizer with a table of two entries, at rest."""
    rf = MOGLabsXRF("rf", ADDRESS, visalib=bench())
    rf.ch1.load_table([TONE, END])
    return rf


def tables_sent(rf: MOGLabsXRF, *entries: TableEntry) -> list[str]:
    """What loading these entries sends."""
    rf.journal.clear()
    rf.ch1.load_table(list(entries))
    lines = [line.split(",") for line in rf.journal.sent() if line.startswith("TABLE")]
    return [",".join(line[: 4 if line[1].startswith("ENTR") else 3]) for line in lines]


def held(rf: MOGLabsXRF) -> list[str]:
    """Durations in the unit's own words."""
    number = int(rf.ask("TABLE,ENTRIES,1"))
    return [rf.ask(f"TABLE,ENTRY,1,{n}").rpartition(", ")[2] for n in range(1, number + 1)]


WHOLE = ["TABLE,CLEAR,1", "TABLE,APPEND,1", "TABLE,APPEND,1"]


def test_an_identical_table_is_not_sent_twice(rf: MOGLabsXRF) -> None:
    """Nor asked for."""
    assert tables_sent(rf, TONE, END) == []
    assert rf.journal.sent() == []


def test_only_what_differs_is_sent(rf: MOGLabsXRF) -> None:
    """An entry in its place, more entries behind, fewer by their number."""
    assert tables_sent(rf, LONGER, END) == ["TABLE,ENTRY,1,1"]
    assert tables_sent(rf, LONGER, TONE, END) == ["TABLE,ENTRY,1,2", "TABLE,APPEND,1"]
    assert held(rf) == ["12 us", "10 us", "1 us"]
    rf.ch1.load_table([LONGER, TONE, END])
    rf.journal.clear()
    rf.ch1.load_table([TONE, END])
    assert rf.journal.sent()[-1] == "TABLE,ENTRIES,1,2"
    assert held(rf) == ["10 us", "1 us"]


def test_a_table_that_may_run_is_cleared_first(rf: MOGLabsXRF) -> None:
    """Line by line it would be played half old, half new."""
    rf.ch1.arm()
    assert tables_sent(rf, LONGER, END) == WHOLE
    rf.ch1.arm()
    rf.ch1.stop()
    assert tables_sent(rf, TONE, END) == ["TABLE,ENTRY,1,1"]


@pytest.mark.parametrize(
    "foreign",
    [
        lambda rf: rf.write("TABLE,APPEND,1,80,0x0,0,1us"),
        lambda rf: rf.ask("TABLE,CLEAR,1"),
        lambda rf: rf.ch1.mode("TSB"),
        lambda rf: rf.ch1.forget(),
    ],
)
def test_what_others_change_is_not_known(rf: MOGLabsXRF, foreign: Any) -> None:
    """Messages past the channel, a change of mode, a restart: everything is sent again."""
    foreign(rf)
    assert tables_sent(rf, TONE, END) == WHOLE


def test_an_error_and_a_reopened_link_forget(bench: Bench) -> None:
    """Nothing is known after a refusal, nor behind a link that was lost."""
    rf = MOGLabsXRF(
        "rf",
        ADDRESS,
        visalib=bench(
            "{device: rf, kind: error_queue, match: 'TABLE,ENTRY', nth: 1}",
            "{device: rf, kind: mute, match: 'TEMP', nth: 1}",
        ),
    )
    rf.ch1.load_table([TONE, END])
    with pytest.raises(InstrumentError):
        rf.ch1.load_table([LONGER, END])
    assert tables_sent(rf, LONGER, END) == WHOLE
    with pytest.raises(LinkError):
        rf.ask_raw("TEMP")
    assert tables_sent(rf, LONGER, END) == WHOLE


@pytest.fixture
def lab() -> Iterator[Station]:
    """The shipped station in rehearsal."""
    with Station.open("two_ensemble", rehearse="two_ensemble", seed=3) as station:
        station.roles["gradient"].parameters["detuning_difference"].set(1000.0)
        yield station


def round_trips(lab: Station, program: Any) -> int:
    """How often one block waits for an instrument."""
    lab.journal.clear()
    take_block(program, lab.roles, lab.clock, lambda: None, lambda shots: None)
    ways = [message.direction for message in lab.journal]
    return sum(pair == (">", "<") for pair in itertools.pairwise(ways))


def test_round_trips_of_a_shot(lab: Station) -> None:
    """Seven for an equal shot, nine with new delays, fourteen with a new table of the drive too."""
    first, other = (RamseyEllipse(dark_time=time).sequence() for time in (30e-6, 31e-6))
    late = [replace(one, start=one.start + 1e-6) for one in first.windows if "ens" in one.name]
    early = [one for one in first.windows if "ens" not in one.name]
    moved = replace(first, windows=(*early, *late))
    equal, delays, table = (compile_sequence(one, lab.roles, 1) for one in (first, moved, other))
    round_trips(lab, equal)
    assert round_trips(lab, equal) <= 7
    assert round_trips(lab, delays) <= 9
    assert round_trips(lab, equal) <= 9
    assert round_trips(lab, table) <= 14
    errors = [text for text in lab.journal.sent("timing_box") if text == "LERR?"]
    assert len(errors) == 2  # once behind the delays, once behind the trigger
