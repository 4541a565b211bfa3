"""Fitted means for the figure of a refit: what the model says for every shot of the records."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..estimators import Estimate, JointEllipses
from ..estimators.binomial_beliefs import EllipseAtoms
from ..models.pumped_superradiance import PumpedEnsemble, pumped_steady_state

Array = NDArray[np.float64]
Records = Mapping[str, Array]


def fitted_means(estimator: Any, name: str, records: Records, found: Estimate) -> Array | None:
    """(shots,) mean of every shot; None for models without a closed mean.

    Args:
        estimator: as fitted; it knows atom numbers and gates.
        name: of the estimator in the registry.
        records: columns of the good shots.
        found: the answer.
    """
    law = _LAWS.get(name)
    if law is not None:
        return law(estimator, records, found)
    return _steady_states(records, found)


def fitted_ellipses(estimator: JointEllipses, found: Estimate) -> list[tuple[Array, Array]]:
    """(m_1, m_2) of a full turn of the common phase, for every setting of independent atoms."""
    theta, curves = 2.0 * math.pi * np.arange(361) / 360, []
    for index, beliefs in enumerate(estimator.settings):
        if not isinstance(beliefs, EllipseAtoms):
            continue
        contrasts = [
            _value(found, f"contrast_{k + 1}", index, beliefs.contrasts[k]) for k in (0, 1)
        ]
        offsets = [_value(found, f"offset_{k + 1}", index, beliefs.offsets[k]) for k in (0, 1)]
        phase = found["phase"].value
        gain, background = beliefs.gain or 1.0, beliefs.background
        ports = [
            gain * n * (b + 0.5 * c * np.sin(phase + sign * theta)) + background
            for n, b, c, sign in zip(beliefs.atoms, offsets, contrasts, (1.0, -1.0), strict=True)
        ]
        curves.append((ports[0], ports[1]))
    return curves


def _value(found: Estimate, name: str, setting: int, known: float) -> float:
    for key in (name, f"{name}_of_setting_{setting}"):
        if key in found.quantities:
            return found[key].value
    return known


def _rabi(estimator: Any, records: Records, found: Estimate) -> Array:
    time, drive = records["time"], records.get("drive", np.ones(len(records["time"])))
    fall = np.exp(-found["decay_rate"].value * time)
    wave = np.cos(found["rabi_frequency"].value * drive * time)
    share = found["offset"].value - 0.5 * found["contrast"].value * fall * wave
    gain = _value(found, "gain", 0, 1.0)
    mean: Array = gain * estimator.beliefs.atoms * share + _value(found, "background", 0, 0.0)
    return mean


def _detuning(estimator: Any, records: Records, found: Estimate) -> Array:
    time = records["time"]
    shift = found["detuning_offset"].value + found["slope"].value * records["current"]
    angle = math.tau * shift * time + records.get("bias_phase", np.zeros(len(time)))
    fall = np.exp(-found["decay_rate"].value * time)
    share = found["offset"].value + 0.5 * found["contrast"].value * fall * np.cos(angle)
    mean: Array = estimator.beliefs.atoms * share
    return mean


def fringe_phase(records: Records, found: Estimate) -> Array:
    """(shots,) phase of the Ramsey fringe at the fitted detuning, within one turn."""
    shift = found["detuning_offset"].value + found["slope"].value * records["current"]
    turns = shift * records["time"]
    phase: Array = math.tau * turns + records.get("bias_phase", np.zeros(len(turns)))
    folded: Array = np.round(phase % math.tau, 9)
    return folded


def _aom(_: Any, records: Records, found: Estimate) -> Array:
    root = np.sqrt(records["power"] / found["saturation_power"].value)
    law = found["amplitude"].value * np.sin(0.5 * math.pi * root) ** 2
    mean: Array = law + found["background"].value
    return mean


def _settling(_: Any, records: Records, found: Estimate) -> Array:
    before, after = found["before"].value, found["after"].value
    late = np.maximum(records["time"] - found["delay"].value, 0.0)
    mean: Array = after + (before - after) * np.exp(-late / found["time_constant"].value)
    return mean


def _dead_time(estimator: Any, records: Records, found: Estimate) -> Array:
    rate = found["rate"].value * records["light"] + found["background_rate"].value
    mean: Array = estimator.gate * rate / (1.0 + rate * found["dead_time"].value)
    return mean


def _steady_states(records: Records, found: Estimate) -> Array | None:
    """Mean counts of steady states at each pump."""
    pump = records.get("pump")
    if pump is None or pump.ndim != 1 or np.any(pump <= 0.0):
        return None
    atoms = found.quantities.get("atoms")
    number = round(atoms.value) if atoms else _atoms_of(found)
    if number is None or not {"critical_pump", "gain"} <= set(found.quantities):
        return None
    background = found.quantities.get("background")
    floor = background.value if background else _background_of(found)
    critical, gain = found["critical_pump"].value, found["gain"].value
    knobs, place = np.unique(pump, return_inverse=True)
    excited = [
        pumped_steady_state(PumpedEnsemble(number, float(knob) / critical)).mean + 0.5 * number
        for knob in knobs
    ]
    mean: Array = gain * np.array(excited)[place] + floor
    return mean


def _atoms_of(found: Estimate) -> int | None:
    for line in found.assumptions:
        words = line.split()
        if len(words) > 1 and words[1].startswith("atoms") and words[0].isdigit():
            return int(words[0])
    return None


def _background_of(found: Estimate) -> float:
    for line in found.assumptions:
        words = line.split()
        if words[:2] == ["background", "of"]:
            return float(words[2])
    return 0.0


_LAWS: dict[str, Callable[[Any, Records, Estimate], Array]] = {
    "rabi_calibration": _rabi,
    "detuning_calibration": _detuning,
    "aom_calibration": _aom,
    "settling_calibration": _settling,
    "dead_time_calibration": _dead_time,
}
