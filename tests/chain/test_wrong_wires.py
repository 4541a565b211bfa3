"""Wrong wires in the laboratory's file, for each experiment: seen, or refused, with where to look.

Experiments run as they come, but for fewer atoms and shots. A laboratory wired as meant is not
flagged; a wrong one is flagged or refused with the words for the wire, and in no case does a run
without a flag leave the truth outside of what it says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cavitylab import Station, run
from cavitylab.instruments.shipped import find_file
from cavitylab.protocols import protocol_by_name
from cavitylab.protocols.engine import RunResult
from cavitylab.protocols.engine.shots import ApparatusRefusal

pytestmark = pytest.mark.slow

FAR = 4.5
"""Standard deviations: false alarm 7e-6 for each number of a run wired as meant."""

Changes = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Experiment:
    """A protocol in a small laboratory."""

    protocol: str
    station: str
    settings: Mapping[str, Any]
    laboratory: Changes = ()
    told: tuple[str, ...] = ()
    """Quantities that a laboratory wired as meant must find."""


@dataclass(frozen=True)
class Wrong:
    """What is wrong in the laboratory's file, and the words that must be said of it."""

    experiment: str
    name: str
    changes: Changes
    said: str
    more: Mapping[str, Any] = field(default_factory=dict)


PAIR: dict[str, Any] = {
    "atoms_per_ensemble": 2,
    "preparation_rabi_hz": 300.0,
    "detuning_hz": 300.0,
    "holds": 5,
    "last_hold": 5e-3,
    "shots_per_hold": 60,
    "passes": 1,
    "angles": 4,
    "shots_per_angle": 60,
    "length_shots": 60,
}
CRITICAL = ("critical_pump", "collective_decay")
EXPERIMENTS = {
    "ramsey": Experiment(
        "ramsey_ellipse",
        "two_ensemble",
        {"atoms_per_ensemble": 20, "preparation_rabi_hz": 2000.0, "shots": 150},
        (("atoms_per_ensemble: 100", "atoms_per_ensemble: 20"),),
        ("phase", "signal"),
    ),
    "preparation": Experiment(
        "dissipative_preparation",
        "dissipative_preparation",
        PAIR,
        (("atoms_per_ensemble: 6", "atoms_per_ensemble: 2"),),
        ("collective_decay", "rabi_frequency", "detuning_difference", "spin_length"),
    ),
    "scan": Experiment(
        "pumping_scan",
        "pumped_cavity",
        {"points": 9, "shots_per_point": 40, "passes": 1, "hold": 0.15},
        told=CRITICAL,
    ),
    "adaptive": Experiment(
        "pumping_adaptive",
        "pumped_cavity",
        {"rounds": 8, "shots_per_round": 10, "hold": 0.15},
        told=CRITICAL,
    ),
    "sweep": Experiment(
        "pumping_sweep",
        "pumped_cavity",
        {
            "atoms": 30,
            "rate": 4.0,
            "points": 7,
            "shots_per_point": 40,
            "passes": 1,
            "stair": 0.5,
        },
        (("    atoms: 100", "    atoms: 30"),),
        CRITICAL,
    ),
    "hold": Experiment(
        "pumping_hold",
        "pumped_cavity_fluorescence",
        {"rounds": 3, "shots_per_round": 20},
        told=CRITICAL,
    ),
}

PROBES = (
    ("timing_box.EF, to: probe.1", "timing_box.GH, to: probe.1"),
    ("timing_box.GH, to: probe.2", "timing_box.EF, to: probe.2"),
)
COIL = (("slope: {nominal: 250.0, spread: 0.015", "slope: {nominal: -250.0, spread: 0.0"),)
RF = (
    ("from: rf.ch1, to: drive.rf", "from: rf.ch1, to: coupling.rf"),
    ("from: rf.ch2, to: coupling.rf", "from: rf.ch2, to: drive.rf"),
)
SWITCHES = (
    ("from: timing_box.AB|CD, to: drive.switch", "from: timing_box.AB, to: drive.switch"),
    ("from: timing_box.AB, to: coupling.switch", "from: timing_box.AB|CD, to: coupling.switch"),
)
POWER = "      saturation_power: {nominal: 1.6, spread: 0.02, unit: W}"


def modulator(law: str, value: float, saturation: float, *, was: str) -> Changes:
    """A modulator that gives `value` at its maximum, at `saturation` W."""
    old = f"{law}: {{nominal: {was}, spread: 0.02, unit: Hz}}\n"
    new = f"{law}: {{nominal: {value}, spread: 0.0, unit: Hz}}\n"
    return ((old + POWER, new + POWER.replace("1.6", f"{saturation}")),)


PUMP = modulator("full_rate", 6.0, 0.25, was="20.0")
UNTRIGGERED = (("to: rf.SEQ1", "to: rf.SEQ2"),)
WINDOWS = (
    ("from: timing_box.AB, to: pump.switch", "from: timing_box.EF, to: pump.switch"),
    ("from: timing_box.EF, to: counter.gate", "from: timing_box.AB, to: counter.gate"),
)
DARK = (("from: timing_box.EF, to: probe}", "from: timing_box.GH, to: probe}"),)
DEAF = (("from: photons, to: counter.in1", "from: photons, to: counter.in2"),)

_CASES = [
    Wrong("ramsey", "coil reversed", COIL, "cables of the gradient coil"),
    Wrong("ramsey", "probes exchanged", PROBES, "gates of the two ensembles exchanged"),
    Wrong("ramsey", "RF cables exchanged", RF, "drive.rf|drive.switch|coupling"),
    Wrong("ramsey", "switches exchanged", SWITCHES, "its RF cable, and the RF switch"),
    Wrong(
        "ramsey",
        "drive saturated",
        modulator("full_rabi", 60e3, 0.9, was="60.0e3"),
        "modulator of the drive",
        {"shots": 400},
    ),
    Wrong(
        "ramsey",
        "coupling saturated",
        modulator("full_decay", 60.0, 1.6, was="200.0"),
        "coupling.rf",
    ),
    Wrong("preparation", "coil reversed", COIL, "cables of the gradient coil"),
    Wrong("preparation", "probes exchanged", PROBES, "which gate lights which"),
    Wrong(
        "preparation",
        "phase sign flipped",
        (("phase: {nominal: 0.0", "phase: {nominal: 3.14159265"),),
        "sign of the analysis pulse's phase",
    ),
    Wrong("preparation", "RF cables exchanged", RF, "drive.rf|coupling|RF tables"),
    Wrong("preparation", "switches exchanged", SWITCHES, "drive.switch|coupling.switch|modulator"),
    Wrong(
        "preparation",
        "drive saturated",
        modulator("full_rabi", 30e3, 0.9, was="30.0e3"),
        "modulator of the drive",
        {"holds": 8},
    ),
    Wrong(
        "preparation",
        "drive saturated at the pulse's power",
        modulator("full_rabi", 16e3, 0.455, was="30.0e3"),
        "modulator of the drive",
        {"shots_per_angle": 100},
    ),
    Wrong(
        "preparation",
        "coupling saturated",
        modulator("full_decay", 80.0, 1.6, was="200.0"),
        "modulator of the coupling",
    ),
    Wrong(
        "preparation",
        "coupling not triggered",
        (("timing_box.T0, to: rf.SEQ2", "timing_box.GH, to: rf.SEQ2"),),
        "RF tables start at T0",
    ),
    Wrong(
        "preparation",
        "ensemble 2 not lit",
        (("timing_box.GH, to: probe.2", "timing_box.CD, to: probe.2"),),
        r"probe\.2",
    ),
    *(
        Wrong(experiment, "pump saturated", PUMP, "modulator of the pump")
        for experiment in ("scan", "adaptive", "sweep", "hold")
    ),
    *(
        Wrong(experiment, "switch and gate exchanged", WINDOWS, r"counter\.gate|pump\.switch")
        for experiment in ("scan", "sweep", "hold")
    ),
    *(
        Wrong(experiment, "counter's other input", DEAF, "counter's input|detector")
        for experiment in ("scan", "adaptive", "sweep", "hold")
    ),
    *(
        Wrong(
            experiment, "table not triggered", UNTRIGGERED, "T0 starts the pump's table|RF switch"
        )
        for experiment in ("scan", "hold")
    ),
    Wrong("scan", "probe dark", DARK, "probe light"),
]
CASES = {f"{one.experiment}: {one.name}": one for one in _CASES}


def rehearse(folder: Path, experiment: Experiment, changes: Changes = (), **more: Any) -> RunResult:
    """One run in the shipped laboratory with these texts changed, each there once."""
    text = find_file(experiment.station, ".lab.yaml").read_text(encoding="utf-8")
    for old, new in (*experiment.laboratory, *changes):
        assert old in text, old
        text = text.replace(old, new, 1)
    path = folder / "laboratory.lab.yaml"
    path.write_text(text, encoding="utf-8")
    protocol = protocol_by_name(experiment.protocol)(**{**experiment.settings, **more})
    with Station.open(experiment.station, rehearse=path, seed=3) as station:
        return run(protocol, station, data=folder / "data", seed=3)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_laboratory_wired_as_meant_is_not_flagged(tmp_path: Path, name: str) -> None:
    """No flag, and every truth within 4.5 standard deviations."""
    experiment = EXPERIMENTS[name]
    result = rehearse(tmp_path, experiment)
    assert result.estimate is not None and result.truth is not None
    assert result.estimate.flags == ()
    for quantity in experiment.told:
        found = result.estimate[quantity]
        assert abs(found.value - result.truth[quantity]) < FAR * found.std, (quantity, found)


@pytest.mark.parametrize("name", CASES)
def test_a_wrong_wire_is_told_with_where_to_look(tmp_path: Path, name: str) -> None:
    """Flagged in the estimate, or refused before: never a number that looks like any other."""
    case = CASES[name]
    try:
        result = rehearse(tmp_path, EXPERIMENTS[case.experiment], case.changes, **case.more)
    except ApparatusRefusal as refusal:
        said = str(refusal)
    else:
        assert result.estimate is not None
        said = "\n".join(result.estimate.flags)
        assert "where to look" in said or "look at" in said, result.estimate
    assert re.search(case.said, said), said
