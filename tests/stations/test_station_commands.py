"""`cavitylab station …`: in a rehearsal, and over TCP as if it were hardware."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import pyvisa
from qcodes.instrument import Instrument

from cavitylab.console.cli import main
from cavitylab.instruments.simulated.server import LaboratoryServer

SHIPPED = Path(str(resources.files("cavitylab.station_configs")))
ON_TWO = ("--rehearse", "two_ensemble")

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _nothing_stays_open() -> Iterator[None]:
    """A command that leaves an instrument open has failed."""
    yield
    left = [instrument.name for instrument in Instrument.instances()]
    Instrument.close_all()
    assert not left


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `cavitylab station …`: exit code, standard output, standard error."""

    def run(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            main(["station", *map(str, words)])
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out, err

    return run


def copied(folder: Path, *changes: tuple[str, str], faults: str = "") -> tuple[Path, Path]:
    """The shipped station with changes, and its laboratory with faults."""
    shutil.copytree(SHIPPED / "calibrations", folder / "calibrations")
    text = (SHIPPED / "two_ensemble.yaml").read_text()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    path, laboratory = folder / "two_ensemble.yaml", folder / "two_ensemble.lab.yaml"
    path.write_text(text)
    rules = f"faults:\n  - {faults}\n" if faults else "faults: []"
    text = (SHIPPED / "two_ensemble.lab.yaml").read_text()
    laboratory.write_text(text.replace("faults: []", rules))
    return path, laboratory


WANTED = (
    ("      ramp_rate: 4.0\n      settle", "      ramp_rate: 4.0\n      settle"),
    (
        "      tolerance: 0.02\n",
        "      tolerance: 0.02\n    wanted: {detuning_difference: 250.0}\n",
    ),
    (
        "      when_safe: keep            # a locked laser stays on; `off` switches the diode "
        "current off\n",
        "      when_safe: keep\n    wanted:\n      current: 0.11\n",
    ),
)


@contextmanager
def served(folder: Path, *changes: tuple[str, str]) -> Iterator[tuple[Path, Any]]:
    """The shipped laboratory behind TCP ports, and a station file that leads there."""
    path, laboratory_file = copied(folder, *changes)
    name = f"{laboratory_file}?seed=7&clock=real&session={folder.name}@cavitylab"
    manager = pyvisa.ResourceManager(name)
    laboratory = manager.visalib.laboratory  # type: ignore[attr-defined]
    text = path.read_text()
    with LaboratoryServer(laboratory) as server:
        for endpoint, last in zip(server.endpoints, range(21, 26), strict=True):
            text = re.sub(rf"192\.168\.10\.{last}::\d+", f"127.0.0.1::{endpoint.port}", text)
        path.write_text(text)
        yield path, laboratory


def changes_of(laboratory: Any) -> list[str]:
    """Messages that reached the simulated instruments and are no questions."""
    words = r"\?|^\(param-ref|^(INFO|VERSION|(MODE|LIMIT|FREQ|POW|PHASE|STATUS|TABLE,STATUS),\d)$"
    return [
        m.text for m in laboratory.journal if m.direction == ">" and not re.search(words, m.text)
    ]


# ---- check --------------------------------------------------------------------------


def test_check_identifies_and_asks_for_health(command: Command) -> None:
    """Every instrument with its identity, every role with its health."""
    code, out, _ = command("check", "two_ensemble", *ON_TWO, "--json")
    document = json.loads(out)
    assert code == 0 and document["ok"]
    assert document["instruments"]["coil_supply"]["vendor"] == "KEPCO"
    assert document["health"]["laser"]["ok"]
    assert document["wanted"] == []
    code, out, _ = command("check", "two_ensemble", *ON_TWO)
    assert code == 0 and "emitting, locked" in out


def test_check_without_connecting_opens_nothing(command: Command) -> None:
    """The file alone; a wrong one is exit code 2."""
    code, out, _ = command("check", "two_ensemble", "--no-connect")
    assert code == 0 and "valid, with 4 calibrations" in out
    code, _, err = command("check", "two_ensembel", "--no-connect")
    assert code == 2 and "did you mean `two_ensemble`" in err


def test_check_prints_the_difference_to_wanted_values(command: Command, tmp_path: Path) -> None:
    """What the file wants beside what the instruments say; exit code 1 while they differ."""
    path, laboratory = copied(tmp_path, *WANTED)
    code, out, _ = command("check", path, "--rehearse", laboratory)
    assert code == 1
    assert "gradient.detuning_difference = 250 Hz: is 0 Hz" in out
    assert "nothing was set" in out
    code, out, _ = command("check", path, "--rehearse", laboratory, "--apply")
    assert code == 0
    assert "gradient.detuning_difference = 250 Hz: set" in out


def test_check_writes_only_when_applying(command: Command, tmp_path: Path) -> None:
    """Over TCP: no message but questions; with --apply coil and laser are set and stay so."""
    with served(tmp_path, *WANTED) as (path, laboratory):
        assert command("check", path)[0] == 1
        assert changes_of(laboratory) == []
        code, out, _ = command("check", path, "--apply", "--json")
        assert code == 0
        wanted = {one["parameter"]: one for one in json.loads(out)["wanted"]}
        assert wanted["gradient.detuning_difference"]["found"] == pytest.approx(250.0, rel=1e-3)
        assert wanted["laser.current"]["agrees"]
        changed = changes_of(laboratory)
        assert "OUTP ON" in changed and "OUTP OFF" not in changed
        code, out, _ = command("get", path, "gradient.detuning_difference", "--json")
        assert json.loads(out)["value"] == pytest.approx(250.0, rel=1e-3)
        assert changes_of(laboratory) == changed
        code, out, _ = command("safe", path)
        assert code == 0 and "gradient: safe" in out
        assert "OUTP OFF" in changes_of(laboratory)


def test_wrong_wanted_values_are_refused_with_their_line(command: Command, tmp_path: Path) -> None:
    """Unknown parameters, words and impossible values, all at once, before anything is opened."""
    path, laboratory = copied(
        tmp_path,
        ("      tolerance: 0.02\n", "      tolerance: 0.02\n    wanted: {detuning: 1.0}\n"),
        ("      threshold: 1.0\n", "      threshold: 1.0\n    wanted: {counts: 5}\n"),
        ("      hold_after: 80.0e-6 ", "      hold_after: 80.0e-6\n    wanted: {amplitude: 1e9} "),
    )
    code, _, err = command("check", path, "--rehearse", laboratory)
    assert code == 2
    assert "3 mistakes" in err
    assert "unknown parameter `detuning` under `wanted` (possible: detuning_difference)" in err
    assert "this role has none to set" in err
    assert "`wanted.amplitude` of 1e+09 lies outside" in err
    for text in ("wanted: {detuning", "wanted: {counts", "wanted: {amplitude"):
        line = next(n for n, one in enumerate(path.read_text().splitlines(), 1) if text in one)
        assert f"{path}:{line}: " in err


# ---- safe ---------------------------------------------------------------------------


def test_safe_names_what_does_not_answer_and_exits_4(command: Command, tmp_path: Path) -> None:
    """A dead synthesizer: the coil goes off all the same, the RF is named loudly."""
    path, laboratory = copied(tmp_path, faults='{device: rf, kind: mute, match: "OFF|MODE"}')
    code, out, err = command("safe", path, "--rehearse", laboratory)
    assert code == 4
    assert "drive: NOT SAFE: " in out and "gradient: safe" in out
    assert "NOT SAFE: drive: LinkError: rf at TCPIP0::192.168.10.21" in err
    assert "look at these instruments NOW" in err


def test_safe_goes_on_without_instruments_that_cannot_be_opened(
    command: Command, tmp_path: Path
) -> None:
    """Two of five are gone: named, and the rest is safe; as JSON too."""
    path, laboratory = copied(tmp_path, ("10.21", "10.121"), ("10.25", "10.125"))
    code, out, err = command("safe", path, "--rehearse", laboratory, "--json")
    assert code == 4
    roles = {one["role"]: one for one in json.loads(out)["roles"]}
    assert [name for name, one in roles.items() if not one["ok"]] == ["drive", "coupling", "laser"]
    assert list(roles) == ["drive", "coupling", "gradient", "laser", "timing", "detector"]
    assert err.count("NOT SAFE: ") == 3


def test_safe_touches_nothing_of_a_station_in_use(command: Command, tmp_path: Path) -> None:
    """Another program holds the instruments and the duty: exit code 4, because nobody knows."""
    from cavitylab.instruments.station_file import load_station_file
    from cavitylab.instruments.station_lock import station_lock

    path, _ = copied(tmp_path, ("192.168.10.21", "127.98.11.21"))
    addresses = [str(entry.address) for entry in load_station_file(path).instruments]
    with station_lock(path, addresses):
        code, _, err = command("safe", path)
    assert code == 4 and "nothing was touched" in err


# ---- get and set --------------------------------------------------------------------


def test_get_and_set_keep_their_value_on_hardware(command: Command, tmp_path: Path) -> None:
    """Over TCP: set, read back, left so; the next command finds it; outside: nothing is sent."""
    with served(tmp_path) as (path, laboratory):
        code, out, _ = command("set", path, "gradient.detuning_difference", "-100")
        assert code == 0 and out.startswith("gradient.detuning_difference = -100")
        code, out, _ = command("get", path, "gradient.detuning_difference", "--json")
        assert json.loads(out) == {
            "parameter": "gradient.detuning_difference",
            "value": pytest.approx(-100.0, rel=1e-3),
            "unit": "Hz",
        }
        before = changes_of(laboratory)
        code, _, err = command("set", path, "gradient.detuning_difference", "3500")
        assert code == 1 and "lies outside [-3000, 3000] Hz" in err
        assert changes_of(laboratory) == before
        assert "OUTP OFF" not in before


def test_a_driver_can_be_read_not_set(command: Command) -> None:
    """Only roles have the laboratory's limits."""
    code, out, _ = command("get", "two_ensemble", "rf.ch1.limit", *ON_TWO)
    assert code == 0 and out == "rf.ch1.limit = 30 dBm\n"
    code, _, err = command("set", "two_ensemble", "rf.ch1.limit", "36", *ON_TWO)
    assert code == 1 and "belongs to a driver" in err
    code, _, err = command("set", "two_ensemble", "laser.emission", "1", *ON_TWO)
    assert code == 1 and "can only be read" in err


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("drive.amplitud", "did you mean `amplitude`"),
        ("driv.amplitude", "did you mean `drive`"),
        ("amplitude", "give ROLE.PARAMETER; the roles are coupling, detector, drive"),
        ("rf.ch3.power", "there is no `ch3`"),
    ],
)
def test_wrong_names_get_a_suggestion(command: Command, name: str, words: str) -> None:
    """Exit code 1 and the nearest name."""
    code, _, err = command("get", "two_ensemble", name, *ON_TWO)
    assert code == 1 and words in err


def test_a_set_that_breaks_off_ends_safe(command: Command, tmp_path: Path) -> None:
    """The coil's supply stops obeying in the middle of a ramp: the error, and a safe station."""
    fault = '{device: coil_supply, kind: error_queue, match: "CURR 1.000", nth: 1}'
    path, laboratory = copied(tmp_path, faults=fault)
    code, _, err = command(
        "set", path, "gradient.detuning_difference", "1000", "--rehearse", laboratory
    )
    assert code == 1 and "coil_supply" in err and "NOT SAFE" not in err
    mute = '{device: coil_supply, kind: mute, match: "MEAS:CURR|OUTP"}'
    shutil.rmtree(tmp_path / "calibrations")
    path, laboratory = copied(tmp_path, faults=mute)
    code, _, err = command(
        "set", path, "gradient.detuning_difference", "1000", "--rehearse", laboratory
    )
    assert code == 4 and "NOT SAFE: gradient" in err


# ---- monitor ------------------------------------------------------------------------


def test_monitor_gives_counts_and_health(command: Command) -> None:
    """Three points; without drive the counts are those of the background, 10 000/s."""
    code, out, _ = command(
        "monitor", "two_ensemble", *ON_TWO, "--points", 3, "--shots", 400, "--interval", 0, "--json"
    )
    points = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and [one["point"] for one in points] == [1, 2, 3]
    for one in points:
        # 400 shots of mean 50, background drawn with 5 % spread: 25 % is 5 sigma of the draw
        assert one["rates"]["ensemble_1"] == pytest.approx(10e3, rel=0.25)
        assert one["problem"] is None and one["health"]["laser"]["ok"]
    code, out, _ = command("monitor", "two_ensemble", *ON_TWO, "--points", 1, "--gate", 1e-3)
    assert code == 0
    assert re.match(r"point 1: ensemble_1 \d+\.\d \+- .*all roles ok\neverything is safe\n", out)


def test_monitor_goes_on_after_a_lost_gate(command: Command, tmp_path: Path) -> None:
    """A point without counts says why; the next one has them."""
    path, laboratory = copied(tmp_path, faults="{device: counter, kind: gate_lost, match: '<fire>',"
                              " nth: 2}")  # fmt: skip
    code, out, _ = command(
        "monitor", path, "--rehearse", laboratory, "--points", 3, "--interval", 0, "--json"
    )
    problems = [json.loads(line)["problem"] for line in out.splitlines()]
    assert code == 0
    assert problems[0] is None and problems[2] is None
    assert "39 readings instead of 40" in problems[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_monitor_stops_safely(number: signal.Signals) -> None:
    """Ctrl-C or SIGTERM between two points: everything goes safe, exit code 3."""
    words = [sys.executable, "-m", "cavitylab", "station", "monitor", "two_ensemble", *ON_TWO]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline().startswith("point 1: ")
            process.send_signal(number)
            rest, _ = process.communicate(timeout=250)
        finally:
            process.kill()
    assert process.returncode == 3
    assert rest.endswith("everything is safe\n")


def test_monitor_over_tcp(command: Command, tmp_path: Path) -> None:
    """The same on real sockets in real time, and the burst is the only thing that is armed."""
    with served(tmp_path) as (path, laboratory):
        code, out, _ = command("monitor", path, "--points", 1, "--shots", 5, "--json")
        assert code == 0
        assert json.loads(out)["counts"]["ensemble_2"] > 0
        sent = changes_of(laboratory)
    assert "*TRG" in sent
    assert not [text for text in sent if text.startswith(("TABLE,", "ON,", "OUTP ON"))]


# ---- verify -------------------------------------------------------------------------


def test_verify_tries_the_harmless_first_and_reports(command: Command, tmp_path: Path) -> None:
    """Questions before settings; every unverified fact is in the report, tried or to be seen."""
    from cavitylab.instruments.station_file import load_station_file
    from cavitylab.instruments.station_trials import untried_facts, unverified_facts

    report = tmp_path / "report.md"
    code, out, _ = command("verify", "two_ensemble", *ON_TWO, "--report", report, "--json")
    document = json.loads(out)
    assert code == 0 and document["ok"]
    effects = [one["effect"] for one in document["findings"]]
    assert effects == sorted(effects, key=["only asks", "changes a setting and puts it back"].index)
    text = report.read_text()
    assert "REHEARSAL: nothing is proven" in text
    for entry in load_station_file(SHIPPED / "two_ensemble.yaml").instruments:
        assert unverified_facts(entry.kind)
        for fact in untried_facts(entry.kind):
            assert f"- [ ] {fact}" in text


def test_verify_asks_before_an_output_changes(command: Command, tmp_path: Path) -> None:
    """Without a terminal and without --yes the shutter is left alone; with it it is tried."""
    shutter = (
        "  # ---- what a physicist sets",
        "  shutter:\n    type: cavitylab.instruments.drivers.thorlabs_sc10.ThorlabsSC10\n"
        "    address: ASRL9::INSTR\n  # ---- what a physicist sets",
    )
    path, laboratory = copied(tmp_path, shutter)
    device = "  - {name: shutter, model: thorlabs_sc10, addresses: ['ASRL9::INSTR']}\n"
    text = laboratory.read_text()
    laboratory.write_text(text.replace("devices:\n", f"devices:\n{device}", 1))
    words = ("verify", path, "--rehearse", laboratory, "--only", "shutter", "--json")
    outcomes = {}
    for extra in ((), ("--yes",)):
        code, out, _ = command(*words, "--report", tmp_path / "report.md", *extra)
        assert code == 0
        findings = {one["title"]: one for one in json.loads(out)["findings"]}
        outcomes[extra] = findings["Whether `ens` toggles"]["outcome"]
        assert findings["Wording of a refusal"]["outcome"] == "as expected"
    assert outcomes == {(): "left out", ("--yes",): "as expected"}


def test_verify_leaves_an_instrument_alone_that_is_not_as_expected(
    command: Command, tmp_path: Path
) -> None:
    """One wrong answer: told, and nothing that changes a setting is tried on that unit."""
    path, laboratory = copied(tmp_path, faults="{device: rf, kind: garbage, match: 'TABLE,STATUS'}")
    code, out, _ = command(
        "verify", path, "--rehearse", laboratory, "--report", tmp_path / "report.md", "--only", "rf"
    )
    assert code == 1
    assert "Wording of TABLE,STATUS: NOT AS EXPECTED: LinkError" in out
    assert "Switch of TABLE,REARM: left out: 'Wording of TABLE,STATUS' was not as expected" in out


def test_verify_refuses_what_it_cannot_do_beforehand(command: Command, tmp_path: Path) -> None:
    """No folder for the report, or no such instrument: exit code 2 before any trial."""
    code, _, err = command("verify", "two_ensemble", *ON_TWO, "--report", tmp_path / "no" / "r.md")
    assert code == 2 and "there is no folder" in err
    code, _, err = command("verify", "two_ensemble", *ON_TWO, "--only", "coil")
    assert code == 2 and "no such instrument" in err
