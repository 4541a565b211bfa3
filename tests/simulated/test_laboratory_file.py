"""Laboratory files: what they hold, and how mistakes are reported."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from cavitylab.instruments.errors import CavityLabError
from cavitylab.instruments.simulated.apparatus import build_apparatus
from cavitylab.instruments.simulated.laboratory_file import LaboratoryFileError, load_laboratory

SHIPPED = Path(str(files("cavitylab.station_configs") / "two_ensemble.lab.yaml"))


def edited(tmp_path: Path, *changes: tuple[str, str]) -> Path:
    """A copy of the shipped file with some text replaced."""
    text = SHIPPED.read_text(encoding="utf-8")
    for old, new in changes:
        assert text.count(old) >= 1, f"the shipped file no longer holds {old!r}"
        text = text.replace(old, new, 1)
    path = tmp_path / "edited.lab.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path: Path, **kwargs: object) -> str:
    """The message with which a file is refused."""
    with pytest.raises(LaboratoryFileError) as caught:
        load_laboratory(path, **kwargs)  # type: ignore[arg-type]
    assert isinstance(caught.value, CavityLabError) and isinstance(caught.value, ValueError)
    return str(caught.value)


def line_with(path: Path, text: str) -> int:
    """Number of the first line that holds `text`."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def test_shipped_laboratory_is_complete() -> None:
    """The demo's laboratory has the station's five instruments and drives every line."""
    laboratory = load_laboratory(SHIPPED)
    assert {device.name: device.addresses[0] for device in laboratory.devices} == {
        "rf": "TCPIP0::192.168.10.21::7802::SOCKET",
        "timing_box": "TCPIP0::192.168.10.22::5025::SOCKET",
        "counter": "TCPIP0::192.168.10.23::5025::SOCKET",
        "coil_supply": "TCPIP0::192.168.10.24::5025::SOCKET",
        "laser_head": "TCPIP0::192.168.10.25::1998::SOCKET",
    }
    targets = {wire.target for wire in laboratory.wires}
    assert {"drive.rf", "drive.switch", "coupling.rf", "coupling.switch"} <= targets
    assert {"gradient.current", "light", "probe.1", "probe.2", "counter.gate"} <= targets
    assert laboratory.drifts is not None


def test_seed_replaces_the_file_s_own() -> None:
    """A seed given at opening draws another truth; the file's own seed is the default."""
    assert load_laboratory(SHIPPED).seed == 20260
    assert load_laboratory(SHIPPED, seed=7).seed == 7
    first, second = (build_apparatus(load_laboratory(SHIPPED, seed=seed)) for seed in (7, 8))
    assert vars(first)["truth"] != vars(second)["truth"]


def test_drifts_can_be_switched_off(tmp_path: Path) -> None:
    """By the caller, or by `drifts: off` in the file."""
    assert load_laboratory(SHIPPED, drifts=False).drifts is None
    text = SHIPPED.read_text(encoding="utf-8")
    head, _, rest = text.partition("\ndrifts:")
    path = tmp_path / "quiet.lab.yaml"
    path.write_text(head + "\ndrifts: off\n" + rest[rest.index("# ---- faults") :], "utf-8")
    drifts = load_laboratory(path).drifts
    assert drifts is None or drifts.drive_amplitude.rms == drifts.coil_current.rms == 0.0


def test_all_mistakes_are_reported_at_once_with_their_lines(tmp_path: Path) -> None:
    """Mistakes in different sections come in one message, each with file and line."""
    path = edited(
        tmp_path,
        ("full_rabi:", "full_rabbi:"),
        (
            "saturation_power: {nominal: 1.6, spread: 0.02, unit: W}",
            "saturation_power: {nominal: 1.6, spread: 0.02, unit: mW}",
        ),
        ("spread: 0.015", "spread: some"),
        ("to: light", "to: lihgt"),
        (
            "faults: []",
            "faults:\n  - {device: timing_bx, kind: mute}\n  - {device: rf, kind: mutt}",
        ),
    )
    message = refusal(path)
    for words, place in [
        ("did you mean `full_rabi`", "full_rabbi:"),
        ("must be written in W", "unit: mW"),
        ("must be a number, but is 'some'", "spread: some"),
        ("did you mean `light`", "to: lihgt"),
        ("did you mean `timing_box`", "timing_bx"),
        ("did you mean `mute`", "mutt"),
    ]:
        (line,) = [one for one in message.splitlines() if words in one]
        assert line.strip().startswith(f"{path}:{line_with(path, place)}: "), line
    assert "7 mistakes" in message  # the missing key `full_rabi` too


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("format: 1", "format: 2", "must be 1, the format that this version reads"),
        ("seed: 20260", "seed: -1", "`seed`"),
        ("atoms_per_ensemble: 100", "atoms_per_ensemble: 400", "must be from 1 to 300"),
        ("nominal: 20.0e3", "nominal: -20.0e3", "must be above 0 1/s"),
        (
            "phase: {uniform: [0.02, 0.08], unit: rad}",
            "phase: {uniform: [0.08, 0.02]}",
            "low <= high",
        ),
        ("phase: {uniform: [0.02, 0.08], unit: rad}", "phase: {unit: rad}", "either nominal"),
        ("name: timing_box", "name: rf", "a second device is called `rf`"),
        ("192.168.10.22::5025", "192.168.10.21::7802", "each instrument needs its own"),
        ("from: rf.ch1", "from: rff.ch1", "unknown device `rff` (did you mean `rf`?)"),
        ("from: rf.ch1", "from: ch1", "must be `device.output`"),
        ("to: coupling.rf", "to: drive.rf", "a second wire drives `drive.rf`"),
        ("step: 20.0", "step: 0", "`drifts.step`"),
        ("kind: two_ensemble_cavity", "kind: two_ensembles", "`apparatus.kind`"),
        ("faults: []", "faults: [{device: rf, kind: mute, match: '('}]", "regular expression"),
        (
            "faults: []",
            "faults: [{device: rf, kind: mute, nth: 1, probability: 0.5}]",
            "nth or probability",
        ),
    ],
)
def test_each_mistake_says_what_is_allowed(tmp_path: Path, old: str, new: str, words: str) -> None:
    """A single mistake is refused with the rule it breaks."""
    assert words in refusal(edited(tmp_path, (old, new)))


def test_unknown_model_is_refused_when_the_models_are_known(tmp_path: Path) -> None:
    """The laboratory that builds the devices hands in the models it can build."""
    models = ("moglabs_xrf", "srs_dg645", "keysight_53220a", "kepco_bop", "toptica_dlcpro")
    load_laboratory(SHIPPED, models=models)
    path = edited(tmp_path, ("model: srs_dg645", "model: srs_dg535"))
    assert "did you mean `srs_dg645`?" in refusal(path, models=models)


def test_a_file_that_is_no_yaml_or_not_there_is_refused(tmp_path: Path) -> None:
    """Broken YAML is reported with its line, a missing file by name."""
    path = edited(tmp_path, ("format: 1", "format: [1"))
    assert f"{path}:" in refusal(path) and "not valid YAML" in refusal(path)
    assert "nowhere.lab.yaml" in refusal(tmp_path / "nowhere.lab.yaml")


def test_negative_seed_is_refused() -> None:
    """A seed given at opening must be 0 or more."""
    assert "must be 0 or more" in refusal(SHIPPED, seed=-3)
