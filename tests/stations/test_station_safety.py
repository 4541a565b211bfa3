"""The safe state, as the journal of the wire shows it, after every way a run can end."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from qcodes.instrument import Instrument

from cavitylab import run
from cavitylab.console.cli import main
from cavitylab.instruments.errors import CavityLabError, InstrumentError, LimitError
from cavitylab.instruments.simulated.faults import FaultRule
from cavitylab.instruments.station import Station
from cavitylab.protocols import RamseyEllipse

SHIPPED = Path(str(resources.files("cavitylab.station_configs")))

SHUTTER = """\
  shutter_box:
    type: cavitylab.instruments.drivers.thorlabs_sc10.ThorlabsSC10
    address: ASRL9::INSTR
  shutter:
    type: cavitylab.instruments.roles.shutter.Shutter
    init: {source: shutter_box}
"""
DEVICE = "  - {name: shutter_box, model: thorlabs_sc10, addresses: ['ASRL9::INSTR']}\n"


@pytest.fixture(autouse=True)
def _nothing_stays_open() -> Iterator[None]:
    """A test that leaves an instrument open has failed."""
    yield
    left = [instrument.name for instrument in Instrument.instances()]
    Instrument.close_all()
    assert not left


@pytest.fixture
def with_shutter(tmp_path: Path) -> Callable[..., Station]:
    """Opens the shipped station with a shutter, and a laser that is switched off when safe."""
    shutil.copytree(SHIPPED / "calibrations", tmp_path / "calibrations")
    path, laboratory = tmp_path / "station.yaml", tmp_path / "station.lab.yaml"
    text = (SHIPPED / "two_ensemble.yaml").read_text() + SHUTTER
    path.write_text(text.replace("when_safe: keep", "when_safe: off "))
    text = (SHIPPED / "two_ensemble.lab.yaml").read_text()
    laboratory.write_text(text.replace("devices:\n", f"devices:\n{DEVICE}", 1))

    def opened() -> Station:
        return Station.open(path, rehearse=laboratory, seed=3)

    return opened


def die(station: Station, device: str) -> None:
    """From now on a simulated instrument obeys nothing and answers nothing."""
    rules = [FaultRule(device, kind) for kind in ("mute", "trigger_lost")]
    rehearsal: Any = station._rehearsal
    rehearsal._library.laboratory.spoil(rules)


SAFE_WORDS = {
    "rf": ("OFF,1", "MODE,1,NSB", "OFF,2", "MODE,2,NSB"),
    "coil_supply": ("CURR 0.000000", "OUTP OFF"),
}
"""What makes an instrument safe, in this order."""


def last_safe_words(messages: list[tuple[str, str]]) -> dict[str, list[str]]:
    """For each instrument the commands that make it safe, after the last burst was started."""
    begun = max((n for n, (_, text) in enumerate(messages) if text == "*TRG"), default=0)
    return {
        name: [text for who, text in messages[begun:] if who == name and text in words]
        for name, words in SAFE_WORDS.items()
    }


def sent(station: Station) -> list[tuple[str, str]]:
    """Everything that was sent, oldest first."""
    return [(m.instrument, m.text) for m in station.journal if m.direction == ">"]


# ---- order across instruments -------------------------------------------------------


def test_safe_goes_from_rf_to_coil_to_shutter_to_laser(
    with_shutter: Callable[..., Station],
) -> None:
    """RF off, current to zero and off, shutter closed, diode current off; then the counting."""
    with with_shutter() as station:
        station.roles["gradient"].parameters["detuning_difference"](500.0)
        station.roles["shutter"].parameters["is_open"](True)
        assert station.roles["shutter"].health().text == "open"
        station.journal.clear()
        results = station.make_safe()
        assert [one.role for one in results] == [
            "drive", "coupling", "gradient", "shutter", "laser", "timing", "detector",
        ]  # fmt: skip
        assert all(one.ok for one in results)
        assert station.roles["shutter"].parameters["is_open"]() is False
        assert station.roles["laser"].parameters["emission"]() is False
    texts = [text for _, text in sent(station)]
    marks = ["OFF,1", "OFF,2", "OUTP OFF", "ens", "(param-set! 'laser1:dl:cc:enabled #f)"]
    assert [texts.index(mark) for mark in marks] == sorted(texts.index(mark) for mark in marks)
    ramp = [float(text.split()[1]) for text in texts if text.startswith("CURR ")]
    assert ramp[-1] == 0.0 and len(ramp) >= 20
    assert all(abs(a - b) <= 0.1 + 1e-6 for a, b in zip(ramp, ramp[1:], strict=False))


@pytest.mark.parametrize("dead", ["rf", "coil_supply", "shutter_box", "laser_head"])
def test_one_dead_instrument_is_named_and_the_others_are_safe(
    with_shutter: Callable[..., Station], dead: str
) -> None:
    """Whatever does not answer is said; every other role reaches its safe state, in order."""
    roles = {
        "rf": {"drive", "coupling"},
        "coil_supply": {"gradient"},
        "shutter_box": {"shutter"},
        "laser_head": {"laser"},
    }
    with with_shutter() as station:
        station.roles["gradient"].parameters["detuning_difference"](500.0)
        station.roles["shutter"].parameters["is_open"](True)
        die(station, dead)
        station.journal.clear()
        results = station.make_safe()
        assert {one.role for one in results if not one.ok} == roles[dead]
        assert all(dead in one.message for one in results if not one.ok)
    found = last_safe_words(sent(station))
    for name, words in SAFE_WORDS.items():
        if name != dead:
            assert found[name] == list(words)


def test_a_shutter_with_a_tripped_interlock_is_not_opened(
    with_shutter: Callable[..., Station],
) -> None:
    """Open or closed and nothing else; a dead blade is not called closed."""
    with with_shutter() as station:
        shutter = station.roles["shutter"]
        with pytest.raises(LimitError, match=r"open \(1\) or closed \(0\)"):
            shutter.parameters["is_open"](0.5)
        box: Any = station.instruments["shutter_box"]
        rehearsal: Any = station._rehearsal
        wrong = FaultRule("shutter_box", "wrong_value", "interlock", value="1")
        rehearsal._library.laboratory.spoil([wrong])
        with pytest.raises(InstrumentError, match="interlock"):
            shutter.parameters["is_open"](1)
        assert not shutter.health().ok
        assert box.closed()


# ---- after a run --------------------------------------------------------------------


@pytest.mark.parametrize("dead", ["rf", "coil_supply", "timing_box", "counter", "laser_head"])
def test_a_run_that_loses_a_link_ends_safe_on_everything_that_answers(
    tmp_path: Path, dead: str
) -> None:
    """In the middle of a block one instrument dies: an error, and the rest safe in the journal."""
    protocol: Any = RamseyEllipse(coil_check=0, shots=40, block=20)
    with Station.open("two_ensemble", rehearse="two_ensemble", seed=2) as station:

        def spoil(message: Any) -> None:
            if message.text == "*TRG":
                die(station, dead)

        station.journal.add_listener(spoil)
        with pytest.raises(CavityLabError) as caught:
            run(protocol, station, data=tmp_path, patience=3.0)
    notes = [note for note in getattr(caught.value, "__notes__", ()) if "NOT SAFE" in note]
    must_obey = {"rf", "coil_supply", "timing_box"}
    assert bool(notes) == (dead in must_obey), notes
    found = last_safe_words(sent(station))
    for name, words in SAFE_WORDS.items():
        if name != dead:
            assert found[name] == list(words)


def test_an_exception_of_the_users_own_code_ends_safe() -> None:
    """A `with` block that is left by an exception leaves nothing on."""
    with (
        pytest.raises(ZeroDivisionError),
        Station.open("two_ensemble", rehearse="two_ensemble", seed=2) as station,
    ):
        station.roles["gradient"].parameters["detuning_difference"](500.0)
        station.journal.clear()
        raise ZeroDivisionError
    assert last_safe_words(sent(station)) == {k: list(v) for k, v in SAFE_WORDS.items()}


def test_the_command_says_loudly_what_could_not_be_made_safe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A coil that no longer obeys at the end of a run: all shots are kept, and exit code 4."""
    text = (SHIPPED / "two_ensemble.lab.yaml").read_text()
    faults = 'faults: [{device: coil_supply, kind: trigger_lost, match: "OUTP OFF"}]'
    laboratory = tmp_path / "deaf.lab.yaml"
    laboratory.write_text(text.replace("faults: []", faults))
    words = [
        "run", "ramsey_ellipse", "--station", "two_ensemble", "--rehearse", str(laboratory),
        "--data", str(tmp_path), "--set", "shots=4", "--set", "block=4", "--set", "coil_check=0",
        "--no-figure", "--json",
    ]  # fmt: skip
    with pytest.raises(SystemExit) as caught:
        main(words)
    out, err = capsys.readouterr()
    assert caught.value.code == 4
    assert "NOT SAFE: gradient: InstrumentError: coil_supply at TCPIP0::192.168.10.24" in err
    assert json.loads(out)["shots"] == 4


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_of_the_command_safe(tmp_path: Path, number: signal.Signals) -> None:
    """`cavitylab run` in another process: exit code 3, and the safe state in its trace."""
    trace, error = tmp_path / "trace.txt", tmp_path / "error.txt"
    words = [
        sys.executable, "-m", "cavitylab", "run", "ramsey_ellipse", "--set", "shots=100000",
        "--set", "block=100", "--data", str(tmp_path), "--trace", str(trace), "--no-figure",
    ]  # fmt: skip
    with (
        error.open("w") as stderr,
        subprocess.Popen(words, stdout=subprocess.PIPE, stderr=stderr, text=True) as process,
    ):
        hung = threading.Timer(300, process.kill)
        hung.start()
        assert process.stdout is not None
        assert any(line.startswith("acknowledged") for line in process.stdout), error.read_text()
        process.send_signal(number)
        process.stdout.read()
        code = process.wait()
        hung.cancel()
    assert code == 3, error.read_text()
    lines = [re.split(r"\s+", line.strip(), maxsplit=3) for line in trace.read_text().splitlines()]
    messages = [(parts[1], parts[3]) for parts in lines if len(parts) == 4 and parts[2] == ">"]
    assert "*TRG" in [text for _, text in messages]
    assert last_safe_words(messages) == {k: list(v) for k, v in SAFE_WORDS.items()}
