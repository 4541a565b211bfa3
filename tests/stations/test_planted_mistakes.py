"""Planted mistakes: each refused with its line and a usable message, before a link is opened.

One sound station file, with every kind of role twice, gets one mistake after
another, and then all of them together.
"""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import pytest
import pyvisa
from qcodes.instrument import Instrument

from cavitylab.instruments.errors import StationFileError
from cavitylab.instruments.journal import Journal
from cavitylab.instruments.station import Station
from cavitylab.instruments.station_file import load_station_file

SHIPPED = Path(str(resources.files("cavitylab.station_configs")))

MORE_INSTRUMENTS = """\
  rf_2:
    type: cavitylab.instruments.drivers.moglabs_xrf.MOGLabsXRF
    address: TCPIP0::192.168.10.31::7802::SOCKET
  rf_3:
    type: cavitylab.instruments.drivers.moglabs_xrf.MOGLabsXRF
    address: TCPIP0::192.168.10.32::7802::SOCKET
  box_2:
    type: cavitylab.instruments.drivers.srs_dg645.SRSDG645
    address: TCPIP0::192.168.10.33::5025::SOCKET
  counter_2:
    type: cavitylab.instruments.drivers.keysight_53220a.Keysight53220A
    address: TCPIP0::192.168.10.34::5025::SOCKET
"""

AOM = """\
  {name}:
    type: cavitylab.instruments.roles.aom.Aom
    init:
      source: {source}
      calibration: calibrations/{name}.yaml
      frequency: 110.0e+6
      max_power: 29.0            # of {name}
    wanted: {{amplitude: 20.0}}  # of {name}
"""

MORE_ROLES = """\
  timing_2:
    type: cavitylab.instruments.roles.timing.Timing
    init:
      source: box_2
      outputs: {first: AB, second: CD}
  detector_2:
    type: cavitylab.instruments.roles.detector.Detector
    init:
      source: counter_2
      calibration: calibrations/detector_2.yaml
      detectors: [first, second]
"""

AOMS = {"probe": "rf_2.ch1", "pump": "rf_2.ch2", "repump": "rf_3.ch1", "clear": "rf_3.ch2"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sound station file with its calibrations; each AOM has a file of its own."""
    shutil.copytree(SHIPPED / "calibrations", tmp_path / "calibrations")
    calibrations = tmp_path / "calibrations"
    for name in AOMS:
        shutil.copy(calibrations / "coupling_aom.yaml", calibrations / f"{name}.yaml")
    shutil.copy(calibrations / "detector.yaml", calibrations / "detector_2.yaml")
    text = (SHIPPED / "two_ensemble.yaml").read_text()
    mark = "  # ---- what a physicist sets"
    assert mark in text
    text = text.replace(mark, MORE_INSTRUMENTS + mark)
    text += "".join(AOM.format(name=name, source=source) for name, source in AOMS.items())
    (tmp_path / "station.yaml").write_text(text + MORE_ROLES)
    return tmp_path


@dataclass(frozen=True)
class Mistake:
    """`old` becomes `new` in `file`; the complaint is on the line of `marker` and has `words`."""

    old: str
    new: str
    marker: str
    words: str
    file: str = "station.yaml"
    alone: bool = False


MISTAKES: dict[str, Mistake] = {
    "a key at the top misspelt": Mistake(
        "instruments:\n", "instrumnets: {}\ninstruments:\n", "instrumnets: {}",
        "unknown key `instrumnets` (did you mean `instruments`?)"),
    "a key of an instrument misspelt": Mistake(
        "    address: TCPIP0::192.168.10.22", "    adress: TCPIP0::192.168.10.22", "    adress",
        "timing_box: unknown key `adress` (did you mean `address`?)"),
    "a driver misspelt": Mistake(
        "toptica_dlcpro.TopticaDLCpro", "toptica_dlcpro.TopticaDLCPro", "TopticaDLCPro",
        "(did you mean `cavitylab.instruments.drivers.toptica_dlcpro.TopticaDLCpro`?)"),
    "a role misspelt": Mistake(
        "roles.laser.Laser", "roles.laser.Lazer", "roles.laser.Lazer",
        "(did you mean `cavitylab.instruments.roles.laser.Laser`?)"),
    "a driver's option misspelt": Mistake(
        "      max_compliance: 20.0", "      max_complience: 20.0", "max_complience",
        "coil_supply: unknown key `max_complience` (did you mean `max_compliance`?)"),
    "a word instead of a driver's number": Mistake(
        "      max_current: 12.0\n      max_comp", "      max_current: twelve\n      max_comp",
        "max_current: twelve",
        "coil_supply: `max_current` must be a positive number, but is 'twelve'"),
    "a negative rate of a driver": Mistake(
        "20.0\n      ramp_rate: 4.0", "20.0\n      ramp_rate: -4.0", "ramp_rate: -4.0",
        "coil_supply: `ramp_rate` must be a positive number, but is -4.0"),
    "no VISA address": Mistake(
        "    address: TCPIP0::192.168.10.23::5025::SOCKET", "    address: the counter",
        "address: the counter", "counter: `the counter` is not a VISA address such as TCPIP0::"),
    "an impossible IP address": Mistake(
        "192.168.10.31", "192.168.10.331", "192.168.10.331",
        "192.168.10.331 is not an IP address (four numbers from 0 to 255)"),
    "an impossible port": Mistake(
        "192.168.10.21::7802", "192.168.10.21::78020", "78020",
        "rf: `TCPIP0::192.168.10.21::78020::SOCKET`: the port must be a number from 1 to 65535"),
    "an address used twice": Mistake(
        "192.168.10.34", "192.168.10.33", "::5025::SOCKET\n  # ---- what a phys",
        "counter_2: TCPIP0::192.168.10.33::5025::SOCKET is the address of `box_2`"),
    "a role's option misspelt": Mistake(
        "      compliance: 10.0", "      complience: 10.0", "      complience",
        "gradient: unknown key `complience` (did you mean `compliance`?)"),
    "a role's option missing": Mistake(
        "      frequency: 80.0e+6\n      max_power: 30.0\n", "      max_power: 30.0\n",
        "      source: rf.ch2\n", "coupling: key `frequency` is missing"),
    "a word instead of a role's number": Mistake(
        "max_power: 30.0            # 1 W", "max_power: a lot           # 1 W",
        "max_power: a lot", "drive: `max_power` must be a number, but is 'a lot'"),
    "a number in quotes": Mistake(
        "      settle_time: 0.2", '      settle_time: "0.2"', '"0.2"',
        "gradient: `settle_time` must be a number, but is '0.2'"),
    "a limit beyond the hardware": Mistake(
        "max_power: 29.0            # of pump", "max_power: 45.0            # of pump",
        "# of pump\n    wanted", "pump: `max_power` must be less than or equal to 36, but is 45.0"),
    "a negative tolerance": Mistake(
        "      tolerance: 0.02", "      tolerance: -0.02", "tolerance: -0.02",
        "gradient: `tolerance` must be greater than 0, but is -0.02"),
    "a limit that leaves nothing to set": Mistake(
        "max_power: 29.0            # of probe", "max_power: -40.0           # of probe",
        "# of probe\n    wanted", "probe: `max_power` of -40 dBm lies below the calibration's dom"),
    "an output that does not exist": Mistake(
        "        pulse: CD", "        pulse: XY", "pulse: XY",
        "timing: `outputs.pulse` must be 'AB', 'CD', 'EF' or 'GH', but is 'XY'"),
    "an output used twice": Mistake(
        "{first: AB, second: CD}", "{first: AB, second: AB}", "second: AB",
        "timing_2: `outputs` gives AB to more than one window"),
    "a calibration file misspelt": Mistake(
        "calibrations/repump.yaml", "calibrations/repunp.yaml", "repunp.yaml",
        "does not exist (did you mean `calibrations/repump.yaml`?)"),
    "the calibration of something else": Mistake(
        "calibrations/clear.yaml", "calibrations/detector_2.yaml",
        "detector_2.yaml\n      frequency",
        "clear: the calibration must be of kind aom_amplitude or aom_power, but is counts"),
    "a source misspelt": Mistake(
        "source: rf.ch1", "source: rff.ch1", "source: rff.ch1",
        "drive: source `rff.ch1`: `rff` is not in this file (did you mean `rf`?)"),
    "a source that is a role": Mistake(
        "source: counter\n", "source: drive\n", "source: drive",
        "detector: source `drive`: `drive` is a role"),
    "a source without its channel": Mistake(
        "source: rf_3.ch1", "source: rf_3", "source: rf_3\n",
        "repump: source `rf_3`: the channel of MOGLabsXRF is missing (possible: ch1, ch2)"),
    "a source of the wrong kind": Mistake(
        "source: box_2", "source: counter_2", "source: counter_2\n      outputs",
        "timing_2: source `counter_2`: Timing needs a SRSDG645, but this is a Keysight53220A"),
    "a source used twice": Mistake(
        "source: rf_2.ch2", "source: rf_2.ch1",
        "source: rf_2.ch1\n      calibration: calibrations/pu",
        "pump: source `rf_2.ch1` belongs to `probe` already"),
    "limits that would replace the driver's": Mistake(
        "      max_current: 12.0\n      comp",
        "      limits: [0, 90]\n      max_current: 12.0\n      comp",
        "limits: [0, 90]", "gradient: key `limits` is refused: QCoDeS would replace the driver's"),
    "a parameter changed behind its limits": Mistake(
        "  laser_head:\n", "    parameters: {current: {scale: 10}}\n  laser_head:\n",
        "parameters: {current", "coil_supply: key `parameters` is refused: QCoDeS would change"),
    "values written on loading": Mistake(
        "  coil_supply:\n    type",
        "    set_initial_values_on_load: true\n  coil_supply:\n    type",
        "set_initial_values_on_load", "counter: key `set_initial_values_on_load` is refused: load"),
    "a wanted parameter misspelt": Mistake(
        "wanted: {amplitude: 20.0}  # of repump", "wanted: {amplitud: 20.0}  # of repump",
        "# of repump\n  clear", "repump: unknown parameter `amplitud` under `wanted`"),
    "a wanted value that is a word": Mistake(
        "wanted: {amplitude: 20.0}  # of clear", "wanted: {amplitude: much}  # of clear",
        "amplitude: much", "clear: `wanted.amplitude` must be a number, but is 'much'"),
    "an entry that is no mapping": Mistake(
        "  timing_2:\n", "  nothing: yes\n  timing_2:\n", "nothing: yes",
        "`nothing` must be a mapping with `type` and more"),
    "an impossible name": Mistake(
        "  box_2:\n", "  3rd-box: {type: cavitylab.instruments.drivers.srs_dg645.SRSDG645, "
        "address: GPIB0::9::INSTR}\n  box_2:\n", "3rd-box",
        "the name `3rd-box` must begin with a letter and have letters, digits and _"),
    "a calibration that cannot be inverted": Mistake(
        "slope: {value: 250.0", "slope: {value: 0.0", "domain", "its slope is 0",
        file="calibrations/gradient_coil.yaml"),
    "a calibration in another unit": Mistake(
        "unit: W,", "unit: mW,", "unit: mW", "`input.unit` of kind `aom_amplitude` must be W",
        file="calibrations/drive_aom.yaml"),
    "a calibration's parameter misspelt": Mistake(
        "background: {", "backgruond: {", "backgruond",
        "unknown parameter `backgruond` of kind `counts` (did you mean `background`?)",
        file="calibrations/detector.yaml"),
    "a name used twice": Mistake(
        "  pump:\n", "  probe:\n", "  probe:\n    type: cavitylab.instruments.roles.aom.Aom\n"
        "    init:\n      source: rf_2.ch2", 'found duplicate key "probe"', alone=True),
    "a bracket left open": Mistake(
        "detectors: [first, second]", "detectors: [first, second", "", "not valid YAML",
        alone=True),
    "a wanted value out of reach": Mistake(
        "wanted: {amplitude: 20.0}  # of pump", "wanted: {amplitude: 2.0e+9}  # of pump",
        "amplitude: 2.0e+9", "pump: `wanted.amplitude` of 2e+09 lies outside [", alone=True),
}  # fmt: skip


def plant(folder: Path, mistake: Mistake) -> None:
    """Put one mistake into its file."""
    path = folder / mistake.file
    text = path.read_text()
    assert text.count(mistake.old) == 1 or mistake.file != "station.yaml", mistake.old
    path.write_text(text.replace(mistake.old, mistake.new, 1))


def place(folder: Path, mistake: Mistake) -> str:
    """File and line on which the complaint must be."""
    path = folder / mistake.file
    text = path.read_text()
    assert mistake.marker in text, mistake.marker
    return f"{path}:{text[: text.index(mistake.marker)].count(chr(10)) + 1}: "


@pytest.fixture
def watched(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """No VISA library may be opened, and no socket connected, while a file is refused."""

    def nobody(*_: object, **__: object) -> None:
        raise AssertionError("a link was opened for a file with mistakes")

    monkeypatch.setattr(pyvisa, "ResourceManager", nobody)
    monkeypatch.setattr(socket.socket, "connect", nobody)
    yield folder
    assert not Instrument.instances()


def refusal(folder: Path) -> str:
    """What opening the station says; the journal stays empty."""
    journal = Journal()
    with pytest.raises(StationFileError) as caught:
        Station.open(folder / "station.yaml", journal=journal)
    assert len(journal) == 0
    return str(caught.value)


def test_there_are_thirty_and_the_file_without_them_is_sound(folder: Path) -> None:
    """What is refused below is refused because of the mistake."""
    assert len(MISTAKES) >= 30
    file = load_station_file(folder / "station.yaml")
    assert len(file.instruments) == 9 and len(file.roles) == 12
    assert len({mistake.words for mistake in MISTAKES.values()}) == len(MISTAKES)


@pytest.mark.parametrize("name", MISTAKES)
def test_each_planted_mistake_is_refused_on_its_line(watched: Path, name: str) -> None:
    """The file and line of the mistake, what is wrong, and what would be right."""
    mistake = MISTAKES[name]
    plant(watched, mistake)
    lines = [line.strip() for line in refusal(watched).splitlines()]
    found = [line for line in lines if mistake.words in line]
    assert found, lines
    if mistake.marker:
        assert found[0].startswith(place(watched, mistake)), (found, place(watched, mistake))


def test_all_planted_mistakes_are_told_at_once(watched: Path) -> None:
    """Everything that can be wrong at the same time, in one message, each on its line."""
    together = {name: one for name, one in MISTAKES.items() if not one.alone}
    for mistake in together.values():
        plant(watched, mistake)
    lines = [line.strip() for line in refusal(watched).splitlines()]
    for name, mistake in together.items():
        if name in HIDDEN:
            continue
        found = [line for line in lines if mistake.words in line]
        assert found, name
        assert any(line.startswith(place(watched, mistake)) for line in found), (name, found)
    assert len(together) - len(HIDDEN) >= 30


HIDDEN = {
    # its role's calibration cannot be found, so nobody knows yet what can be wanted of it
    "a wanted parameter misspelt",
}


def test_dead_addresses_are_not_tried_before_the_file_is_right(folder: Path) -> None:
    """With nobody at any address: the mistake is told, not the missing instruments."""
    plant(folder, MISTAKES["an output used twice"])
    assert "could not be opened" not in refusal(folder)
