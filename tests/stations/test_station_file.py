"""Station files: every kind of mistake is found before an instrument is opened, all at once."""

from __future__ import annotations

import shutil
from importlib import resources
from pathlib import Path

import pytest

from cavitylab.instruments.errors import StationFileError
from cavitylab.instruments.roles import Aom
from cavitylab.instruments.station_file import load_station_file

SHIPPED = Path(str(resources.files("cavitylab.station_configs")))


@pytest.fixture
def station(tmp_path: Path) -> Path:
    """A copy of the shipped station file and its calibrations."""
    shutil.copytree(SHIPPED / "calibrations", tmp_path / "calibrations")
    shutil.copy(SHIPPED / "two_ensemble.yaml", tmp_path)
    return tmp_path / "two_ensemble.yaml"


def spoil(path: Path, *changes: tuple[str, str]) -> list[int]:
    """Replace pieces of the file; the lines where the new pieces begin."""
    text = path.read_text()
    lines = []
    for old, new in changes:
        assert text.count(old) >= 1, old
        lines.append(text[: text.index(old)].count("\n") + 1)
        text = text.replace(old, new, 1)
    path.write_text(text)
    return lines


def complaint(path: Path) -> str:
    """What the loader says of a file with mistakes."""
    with pytest.raises(StationFileError) as caught:
        load_station_file(path)
    return str(caught.value)


def test_the_shipped_station_is_sound(station: Path) -> None:
    """Five drivers, six roles, four calibrations; every file with its hash."""
    file = load_station_file(station)
    assert [entry.name for entry in file.instruments] == [
        "rf",
        "timing_box",
        "counter",
        "coil_supply",
        "laser_head",
    ]
    roles = {entry.name: entry.kind for entry in file.roles}
    assert roles["drive"] is roles["coupling"] is Aom
    assert sorted(file.calibrations) == ["coupling", "detector", "drive", "gradient"]
    assert len(file.files) == 5
    assert all(len(value) == 64 for value in file.files.values())


def test_the_shipped_station_says_nothing_of_a_simulation() -> None:
    """One station file serves both worlds and knows only the hardware."""
    text = (SHIPPED / "two_ensemble.yaml").read_text().lower()
    for word in ("simulat", "rehears", "laboratory file", "visalib", "@cavitylab", "truth"):
        assert word not in text


MISTAKES: dict[str, tuple[str, str, str]] = {
    "unknown key at the top": ("instruments:", "instrument: {}\ninstruments:", "did you mean `in"),
    "unknown key of an instrument": (
        "    address: TCPIP0::192.168.10.21",
        "    adress: TCPIP0::192.168.10.21",
        "rf: unknown key `adress` (did you mean `address`?)",
    ),
    "unknown key of a driver": (
        "      max_compliance: 20.0",
        "      max_complience: 20.0",
        "coil_supply: unknown key `max_complience` (did you mean `max_compliance`?)",
    ),
    "unknown key of a role": (
        "      ramp_rate: 4.0\n      settle_time",
        "      ramprate: 4.0\n      settle_time",
        "gradient: unknown key `ramprate` (did you mean `ramp_rate`?)",
    ),
    "missing key of a role": ("      frequency: 80.0e+6\n", "", "drive: key `frequency` is miss"),
    "unknown driver": (
        "moglabs_xrf.MOGLabsXRF",
        "moglabs_xrf.MoglabsXRF",
        "did you mean `cavitylab.instruments.drivers.moglabs_xrf.MOGLabsXRF`",
    ),
    "unknown role": (
        "roles.timing.Timing",
        "roles.timing.Timer",
        "did you mean `cavitylab.instruments.roles.timing.Timing`",
    ),
    "wrong type": (
        "      max_power: 30.0            # 1 W into the AOM",
        "      max_power: a lot",
        "drive: `max_power` must be a number, but is 'a lot'",
    ),
    "number in quotes": (
        "      settle_time: 0.2",
        '      settle_time: "0.2"',
        "gradient: `settle_time` must be a number, but is '0.2'",
    ),
    "wrong type for a driver": (
        "      max_compliance: 20.0",
        "      max_compliance: twenty",
        "coil_supply: `max_compliance` must be a positive number, but is 'twenty'",
    ),
    "no address": (
        "    address: TCPIP0::192.168.10.22::5025::SOCKET",
        "    address: timing box",
        "`timing box` is not a VISA address",
    ),
    "impossible IP address": ("192.168.10.23", "192.168.10.323", "is not an IP address"),
    "impossible port": ("::7802::", "::78020::", "port must be a number from 1 to 65535"),
    "address used twice": (
        "192.168.10.24",
        "192.168.10.23",
        "coil_supply: TCPIP0::192.168.10.23::5025::SOCKET is the address of `counter`",
    ),
    "limit beyond the hardware": (
        "      max_power: 30.0            # 1 W into the AOM",
        "      max_power: 45.0",
        "drive: `max_power` must be less than or equal to 36, but is 45",
    ),
    "negative limit": (
        "      tolerance: 0.02",
        "      tolerance: -0.02",
        "gradient: `tolerance` must be greater than 0, but is -0.02",
    ),
    "limit that excludes the calibration": (
        "      max_power: 30.0            # 1 W into the AOM",
        "      max_power: -40.0",
        "lies below the calibration's domain",
    ),
    "output used twice": ("pulse: CD", "pulse: AB", "gives AB to more than one window"),
    "unknown output": ("pulse: CD", "pulse: XY", "`outputs.pulse` must be 'AB', 'CD', 'EF'"),
    "missing calibration file": (
        "calibrations/drive_aom.yaml",
        "calibrations/drive_amo.yaml",
        "did you mean `calibrations/drive_aom.yaml`",
    ),
    "calibration of another kind": (
        "calibrations/gradient_coil.yaml",
        "calibrations/detector.yaml",
        "gradient: the calibration must be of kind linear, but is counts",
    ),
    "dangling source": (
        "source: rf.ch1",
        "source: rff.ch1",
        "drive: source `rff.ch1`: `rff` is not in this file (did you mean `rf`?)",
    ),
    "source that is a role": ("source: counter", "source: drive", "`drive` is a role"),
    "source without its channel": ("source: rf.ch1", "source: rf", "possible: ch1, ch2"),
    "unknown channel": ("source: rf.ch1", "source: rf.ch3", "did you mean `ch"),
    "channel of an instrument without": (
        "source: coil_supply",
        "source: coil_supply.ch1",
        "KepcoBOP is used as a whole",
    ),
    "source of the wrong kind": (
        "source: timing_box",
        "source: counter",
        "Timing needs a SRSDG645, but this is a Keysight53220A",
    ),
    "source used twice": ("source: rf.ch2", "source: rf.ch1", "belongs to `drive` already"),
    "limits of QCoDeS": (
        "      max_compliance: 20.0",
        "      max_compliance: 20.0\n    parameters:\n      current: {limits: [-90, 90]}",
        "coil_supply: key `parameters` is refused: QCoDeS would change",
    ),
    "scale of QCoDeS": (
        "      ramp_rate: 4.0\n      settle_time",
        "      ramp_rate: 4.0\n      scale: 1000\n      settle_time",
        "gradient: key `scale` is refused: QCoDeS' `scale` is applied behind the validator",
    ),
    "limits of a role": (
        "      ramp_rate: 4.0\n      settle_time",
        "      limits: [0, 1]\n      settle_time",
        "gradient: key `limits` is refused: QCoDeS would replace",
    ),
    "writing on loading": (
        "  # ---- what a physicist sets",
        "    set_initial_values_on_load: true\n  # ---- what a physicist sets",
        "laser_head: key `set_initial_values_on_load` is refused: loading a station never writes",
    ),
    "the world in the file": (
        "      max_compliance: 20.0",
        "      max_compliance: 20.0\n      visalib: some@sim",
        "coil_supply: key `visalib` is refused",
    ),
    "name twice": ("  coupling:", "  drive:", 'found duplicate key "drive"'),
    "no YAML": ("    init:\n      source: counter", "    init: [\n", "not valid YAML"),
    "bad name": ("  rf:", "  r-f:", "the name `r-f` must begin with a letter"),
    "entry without a mapping": ("  timing:", "  spare: yes\n  timing:", "`spare` must be a map"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_each_kind_of_mistake_is_named(station: Path, name: str) -> None:
    """The message has the file, a line, what is wrong and what would be right."""
    old, new, words = MISTAKES[name]
    spoil(station, (old, new))
    text = complaint(station)
    assert words in text, text
    assert f"{station}:" in text


@pytest.mark.parametrize(
    ("name", "offset"),
    [
        ("unknown key of a role", 0),
        ("unknown output", 0),
        ("impossible port", 0),
        ("dangling source", 0),
        ("scale of QCoDeS", 1),
        ("missing calibration file", 0),
        ("wrong type for a driver", 0),
    ],
)
def test_the_line_is_the_line_of_the_mistake(station: Path, name: str, offset: int) -> None:
    """An editor that follows file:line lands on the wrong value."""
    old, new, words = MISTAKES[name]
    [line] = spoil(station, (old, new))
    found = [one for one in complaint(station).splitlines() if words in one]
    assert found[0].strip().startswith(f"{station}:{line + offset}: ")


def test_all_mistakes_come_at_once(station: Path) -> None:
    """Six mistakes of different kinds, in the station file and in a calibration: six lines."""
    names = ["impossible port", "wrong type", "unknown output", "unknown key of a driver"]
    spoil(station, *(MISTAKES[name][:2] for name in names))
    spoil(station, ("source: coil_supply", "source: coil_suply"))
    coil = station.parent / "calibrations" / "gradient_coil.yaml"
    coil.write_text(coil.read_text().replace("slope: {value: 250.0", "slope: {value: 0.0"))
    text = complaint(station)
    assert "6 mistakes" in text
    for name in names:
        assert MISTAKES[name][2] in text
    assert "did you mean `coil_supply`" in text
    assert f"{coil}:" in text
    assert "its slope is 0" in text


def test_an_empty_file_and_a_missing_one_are_told_apart(tmp_path: Path) -> None:
    """Both are errors of the station file, with the path."""
    empty = tmp_path / "empty.yaml"
    empty.write_text("")
    assert "must be a mapping" in complaint(empty)
    empty.write_text("instruments:\n")
    assert "must name at least one instrument" in complaint(empty)
    assert "cannot be read" in complaint(tmp_path / "nowhere.yaml")


def test_a_calibration_path_may_be_written_with_backslashes(station: Path) -> None:
    """A file from a Windows computer is read everywhere."""
    spoil(station, ("calibrations/drive_aom.yaml", "calibrations\\drive_aom.yaml"))
    assert "drive" in load_station_file(station).calibrations


def test_drivers_of_others_are_taken_on_trust(station: Path) -> None:
    """Any VISA driver that QCoDeS can load may stand in a station file."""
    spoil(
        station,
        (
            "cavitylab.instruments.drivers.kepco_bop.KepcoBOP",
            "qcodes.instrument_drivers.yokogawa.YokogawaGS200",
        ),
        (
            "    init:\n      max_current: 12.0\n      max_compliance: 20.0\n"
            "      ramp_rate: 4.0\n"
            "      list_step: 0.5             # largest jump within a list, A\n",
            "",
        ),
    )
    assert load_station_file(station).instruments[3].kind.__name__ == "YokogawaGS200"
