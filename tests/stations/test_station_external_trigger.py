"""Another control system starts the shots: through the whole chain, and when it stops."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cavitylab import run
from cavitylab.instruments.errors import LimitError, StationFileError
from cavitylab.instruments.roles import TriggerTimeout
from cavitylab.instruments.simulated.faults import FaultRule
from cavitylab.instruments.station import Station
from cavitylab.protocols import RamseyEllipse
from cavitylab.protocols.engine import State, resume_options
from cavitylab.protocols.recording import Run

SHIPPED = Path(str(resources.files("cavitylab.station_configs")))
Opened = Callable[..., Station]
SAFE = ["OFF,1", "OFF,2", "OUTP OFF", "TSRC 5"]
"""Words of the safe state, in their order: RF, coil, trigger disarmed."""


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    """Opens the shipped station with its lines on the external trigger taken out of the comments.

    The other control system comes every `period` s from 1 s on, `count` times (0: for ever).
    """

    def open_it(starts: str = "shot", period: float = 0.25, count: int = 0, **more: Any) -> Station:
        shutil.copytree(SHIPPED / "calibrations", tmp_path / "calibrations", dirs_exist_ok=True)
        station, laboratory = tmp_path / "station.yaml", tmp_path / "station.lab.yaml"
        text = (SHIPPED / "two_ensemble.yaml").read_text()
        assert "# external: {starts: shot," in text
        text = text.replace("# external: {starts: shot,", f"external: {{starts: {starts},")
        station.write_text(text.replace("timeout: 60.0", "timeout: 5.0"))
        text = (SHIPPED / "two_ensemble.lab.yaml").read_text()
        assert "# settings: {trigger_period: 0.25, trigger_first: 1.0, trigger_count: 0}" in text
        plug = f"settings: {{trigger_period: {period:.3f}"
        text = text.replace("# settings: {trigger_period: 0.25", plug)
        laboratory.write_text(text.replace("trigger_count: 0}", f"trigger_count: {count}}}"))
        return Station.open(station, rehearse=laboratory, **{"seed": 3, **more})

    return open_it


def sent(station: Station, *words: str) -> list[str]:
    """Which of these words were sent, in order."""
    return [m.text for m in station.journal if m.direction == ">" and m.text in words]


@pytest.mark.parametrize(("starts", "armed"), [("shot", 12), ("block", 2)])
def test_shots_come_when_the_other_system_wants(
    opened: Opened, tmp_path: Path, starts: str, armed: int
) -> None:
    """Armed once a shot, or once a block; the records carry the times of the edges."""
    protocol: Any = RamseyEllipse(coil_check=0, shots=12, block=6)
    with opened(starts) as station:
        result = run(protocol, station, data=tmp_path)
        assert len(sent(station, "*TRG")) == armed
        began = station.journal.sent()
    assert "TSRC 3" in began and "TLVL 1.00" in began
    assert result.state is State.DONE and result.shots == 12 and not result.unsafe
    times = np.diff(result.records["time"].values.astype(np.int64)) * 1e-9
    if starts == "shot":
        beats = times / 0.25
        assert np.all(times > 0.2) and np.allclose(beats, np.round(beats), atol=0.05)
    else:
        within = np.delete(times, 5)
        assert np.allclose(within, within[0]) and within[0] < 0.2


def test_a_trigger_that_stops_ends_the_run_safe_and_says_so(opened: Opened, tmp_path: Path) -> None:
    """The edges end in the second block: the first is kept, none is tried again, all is off."""
    protocol: Any = RamseyEllipse(coil_check=0, shots=60, block=30)
    with opened(count=60) as station:
        with pytest.raises(TriggerTimeout) as caught:
            run(protocol, station, data=tmp_path)
        assert station.clock.now() < 40
        last = [m.text for m in station.journal if m.direction == ">"]
    text = str(caught.value)
    assert (
        "no external trigger within 5" in text and "of the 30 triggers of this block came" in text
    )
    assert "the last one 5" in text and "rising edge at 1 V" in text
    (note,) = getattr(caught.value, "__notes__", [])
    assert note.startswith("30 good shots are kept in ")
    final = last[max(n for n, word in enumerate(last) if word == "*TRG") :]
    assert [word for word in final if word in SAFE] == SAFE
    stored = Run.open(note.partition(" kept in ")[2])
    assert stored.state == "failed" and stored.shots == 30
    assert any("no external trigger" in event["text"] for event in stored.events())


def test_an_operator_need_not_wait_for_the_trigger(opened: Opened, tmp_path: Path) -> None:
    """While an edge is waited for a request to stop is heard at once."""
    protocol: Any = RamseyEllipse(coil_check=0, shots=30, block=30)
    with opened(period=1e6) as station:

        def ask(message: Any) -> None:
            if message.text == "*TRG":
                signal.raise_signal(signal.SIGTERM)

        station.journal.add_listener(ask)
        result = run(protocol, station, data=tmp_path)
        assert result.state is State.STOPPED and result.shots == 0
        assert sent(station, *SAFE)[-4:] == SAFE


def test_a_lost_trigger_of_ours_is_said_too(opened: Opened, tmp_path: Path) -> None:
    """A box that swallows the edge leaves the same time-out."""
    protocol: Any = RamseyEllipse(coil_check=0, shots=10, block=10)
    with opened("block") as station:
        rehearsal: Any = station._rehearsal
        rehearsal._library.laboratory.spoil([FaultRule("timing_box", "trigger_lost", "<fire>")])
        with pytest.raises(TriggerTimeout, match="0 of the 1 triggers"):
            run(protocol, station, data=tmp_path)


@pytest.mark.slow
def test_an_interrupted_run_goes_on_with_the_same_edges(opened: Opened, tmp_path: Path) -> None:
    """The other system's edges are functions of the clock: resumed or not, the same records."""
    protocol: Any = RamseyEllipse(coil_check=0, shots=18, block=6)
    with opened() as station:
        whole = run(protocol, station, data=tmp_path)
    armed: list[str] = []
    with opened() as station:

        def interrupt(message: Any) -> None:
            if message.text == "*TRG" and message.direction == ">":
                armed.append(message.text)
                if len(armed) == 9:
                    signal.raise_signal(signal.SIGTERM)

        station.journal.add_listener(interrupt)
        part = run(protocol, station, data=tmp_path)
    assert part.state is State.STOPPED and part.shots == 6
    with opened(options=resume_options(part.path), seed=None) as station:
        result = run(protocol, station, data=tmp_path, resume=part.path)
    assert result.shots == 18
    for name in ("counts", "status"):
        assert np.array_equal(result.records[name].values, whole.records[name].values)
    steps = [np.diff(one.records["time"].values.astype(np.int64)) for one in (whole, result)]
    assert np.array_equal(steps[0], steps[1])


def test_safe_disarms(opened: Opened) -> None:
    """An edge that comes after the safe state starts nothing."""
    with opened("block") as station:
        timing: Any = station.roles["timing"]
        timing.upload(timing.compile((), 1, 0.05))
        timing.fire()
        results = {one.role: one for one in station.make_safe()}
        assert results["timing"].message == "no burst running, external trigger disarmed"
        station.clock.wait(30.0)
        assert not timing._box.busy() and "TRIG" not in timing._box.take_events()


@pytest.mark.parametrize(
    ("entry", "words"),
    [("starts: shots", "starts"), ("timeout: 0.0", "timeout"), ("level: 9.0", "level")],
)
def test_mistakes_in_the_file_are_refused(tmp_path: Path, entry: str, words: str) -> None:
    """With the name of the entry, before anything is opened."""
    shutil.copytree(SHIPPED / "calibrations", tmp_path / "calibrations")
    text = (SHIPPED / "two_ensemble.yaml").read_text()
    start = text.index("# external: {")
    (tmp_path / "station.yaml").write_text(f"{text[:start]}external: {{{entry}}}\n")
    with pytest.raises(StationFileError, match=words):
        Station.open(tmp_path / "station.yaml", rehearse="two_ensemble")


def test_starts_belong_to_a_block(opened: Opened) -> None:
    """Before any block there are none, and shots fired here follow each other by the period."""
    with opened() as station:
        timing: Any = station.roles["timing"]
        assert timing.awaits_triggers and timing.starts() is None
        with pytest.raises(LimitError, match="upload a program"):
            timing.fire()
