"""Panels of pumping scans, relaxing ensembles and calibrations by pulses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..estimators import Estimate, RampBeliefs
from ..estimators.calibrations_counting import CountedCurve
from ..estimators.calibrations_flops import LevelCurve
from ..estimators.pumping_chain import ChainValues, Ramp
from ..estimators.pumping_moments import expected_counts, merged
from ..estimators.pumping_ramps_model import RampLikelihood, Stairs
from ..estimators.relaxation_clouds import CloudBeliefs, count_moments
from ..estimators.relaxation_trace import outcomes_at
from ..models.pumped_superradiance import PumpedEnsemble, pumped_steady_state
from .refit_series import Array, Panel, Series, by_place

Columns = dict[str, Array]

_WAYS = {1: "up", -1: "down"}
_FINE = 60


def sweeps(estimator: Any, columns: Columns, found: Estimate) -> Panel:
    """Mean counts along the ramps up and down, bins merged, errors with the light's correlation."""
    values = ChainValues(
        *(found[name].value for name in ("critical_pump", "decay", "half_rate", "background"))
    )
    series = []
    ramps = np.column_stack([columns["pump"], columns["time"]])
    for start, stop, time in np.unique(ramps, axis=0):
        rows = np.all(ramps == (start, stop, time), axis=1)
        binned = merged(Ramp(float(start), float(stop), float(time), columns["counts"][rows]))
        mean, _, noise = expected_counts(estimator.beliefs.atoms, binned, values, covariance=True)
        middle = 0.5 * (binned.edges[1:] + binned.edges[:-1])
        error = np.sqrt(np.diag(noise) / binned.sweeps)
        label = _WAYS[1 if stop > start else -1]
        series.append(
            Series(start + (stop - start) * middle, binned.means, error, mean, label=label)
        )
    return Panel(series, "pump (unit of the knob)", "counts in a bin")


def ramps(estimator: Any, columns: Columns, found: Estimate) -> Panel:
    """Mean counts after each number of stairs."""
    beliefs: RampBeliefs = estimator.beliefs
    seen: dict[Stairs, dict[int, int]] = {}
    counts = columns["counts"].ravel()
    for way, climbed, count in zip(columns["direction"], columns["stairs"], counts, strict=True):
        at = seen.setdefault(Stairs(int(way), int(climbed)), {})
        at[int(count)] = at.get(int(count), 0) + 1
    likelihood = RampLikelihood(beliefs, seen)
    values = [found[n].value for n in ("critical_pump", "decay", "gain", "background")]
    mean, variance, _ = likelihood.moments(*values)
    means, shots = likelihood.means()
    series = []
    for way, label in _WAYS.items():
        rows = np.array([place.direction == way for place in likelihood.places])
        pumps = beliefs.up if way > 0 else beliefs.down
        x = np.array([pumps[p.climbed] for p in likelihood.places if p.direction == way])
        if rows.any():
            error = np.sqrt(variance / shots)[rows]
            series.append(Series(x, means[rows], error, mean[rows], label=label))
    return Panel(series, "pump (unit of the knob)", "counts")


def hold(estimator: Any, columns: Columns, found: Estimate) -> Panel:
    """Count rate at each pump, and the steady state's."""
    critical, half, background = (
        found[name].value for name in ("critical_pump", "half_rate", "background")
    )
    atoms = estimator.beliefs.atoms

    def rate(pumps: Array) -> Array:
        level = [
            pumped_steady_state(PumpedEnsemble(atoms, max(float(u), 1e-9) / critical)).mean
            for u in pumps
        ]
        rates: Array = half * (1.0 + 2.0 * np.array(level) / atoms) + background
        return rates

    pump = columns["pump"]
    seen = columns["counts"].ravel() / columns["time"]
    settings, place = np.unique(pump, return_inverse=True)
    one = by_place(pump, seen, rate(settings)[place])
    width = 8.0 / atoms * float(settings.mean())
    fine = np.linspace(max(settings[0] - width, 1e-9), settings[-1] + width, _FINE)
    series = Series(one.x, one.y, one.error, one.fit, (fine, rate(fine)))
    return Panel([series], "pump (unit of the knob)", "counts per unit of time")


def relaxation(estimator: Any, columns: Columns, found: Estimate) -> Panel:
    """Mean counts of both ensembles after each hold."""
    beliefs, time, counts = estimator.beliefs, columns["time"], columns["counts"]
    holds, place = np.unique(time, return_inverse=True)
    fine = np.linspace(0.0, holds[-1], _FINE)
    mean = _relaxing_means(beliefs, np.concatenate([holds, fine]), found)
    series = []
    for j in (0, 1):
        one = by_place(time, counts[:, j], mean[: holds.size, j][place], f"ensemble {j + 1}")
        curve = (fine, mean[holds.size :, j])
        series.append(Series(one.x, one.y, one.error, one.fit, curve, one.label))
    return Panel(series, "hold (s)", "counts")


def _relaxing_means(beliefs: Any, times: Array, found: Estimate) -> Array:
    """(T, 2) mean counts of the two ensembles."""
    distinct, back = np.unique(times, return_inverse=True)
    names = ["collective_decay", "rabi_frequency", "detuning_difference"]
    if isinstance(beliefs, CloudBeliefs):
        coordinates = beliefs.coordinates()
        x = np.array(
            [
                found[c.name].value if c.linear else math.log(found[c.name].value)
                for c in coordinates.all
            ]
        )
        clouds: Array = count_moments(beliefs, x, distinct).mean[back, :2]
        return clouds
    rates = [found[name].value for name in names]
    if beliefs.free_exchange:
        rates.append(found["exchange"].value - beliefs.exchange)
    tables = outcomes_at(beliefs, np.array(rates), distinct).probability
    number = np.arange(tables.shape[1])
    atoms = np.stack([np.einsum("tij,i->t", tables, number), np.einsum("tij,j->t", tables, number)])
    exact: Array = (found["gain"].value * atoms.T + found["background"].value)[back]
    return exact


def drive(estimator: Any, columns: Columns, found: Estimate) -> Panel:
    """Flops against the length of the pulse, one series a power."""
    curve = estimator.curve(columns["power"], columns["pulse_time"])
    return _pulsed(estimator, columns, found, curve, ("pulse_time", "pulse (s)"), "power", "W")


def spectroscopy(estimator: Any, columns: Columns, found: Estimate) -> Panel:
    """The line against the current, one series a length of the pulse."""
    curve = estimator.curve(columns["current"], columns["pulse_time"])
    return _pulsed(estimator, columns, found, curve, ("current", "current (A)"), "pulse_time", "s")


def levels(estimator: Any, columns: Columns, found: Estimate) -> Panel:
    """Counts at every level."""
    curve = LevelCurve.of(columns["level"])
    return _pulsed(estimator, columns, found, curve, ("level", "level"), "", "")


def decay(estimator: Any, columns: Columns, found: Estimate) -> Panel:
    """Sum of both gates against the time of the decay, one series a power."""
    curve = estimator.curve(columns["power"], columns["decay_time"], columns["pulse_time"])
    theta = np.array([found[one.name].value for one in curve.parameters])
    counts = columns["counts"]
    seen = counts.sum(axis=1) if counts.ndim == 2 else counts
    mean = curve.evaluate(theta).mean
    # flops that do not decay stand at the left, each length of the pulse by itself
    settings = np.unique(columns["pulse_time"])
    step = 0.012 * float(columns["decay_time"].max() or 1.0)
    x = columns["decay_time"] + step * np.searchsorted(settings, columns["pulse_time"])
    series = [
        by_place(x[rows], seen[rows], mean[rows], f"{power:.3g} W", joined=False)
        for power in np.unique(columns["power"])
        for rows in [columns["power"] == power]
    ]
    return Panel(series, "decay (s), shifted by the number of the pulse", "counts of both gates")


def _pulsed(
    estimator: Any,
    columns: Columns,
    found: Estimate,
    source: Any,
    against: tuple[str, str],
    series_of: str,
    unit: str,
) -> Panel:
    curve = CountedCurve(source, estimator.counting)
    theta = np.array([found[one.name].value for one in curve.parameters])
    mean: Array = curve.evaluate(theta).mean
    counts = columns["counts"]
    readings = counts if counts.ndim == 2 else counts[:, None]
    key, label = against
    kinds = columns[series_of] if series_of else np.zeros(len(readings))
    several = np.unique(kinds).size > 1
    series = []
    for kind in np.unique(kinds):
        rows: NDArray[np.bool_] = kinds == kind
        times = readings.shape[1]
        x, fit = np.repeat(columns[key][rows], times), np.repeat(mean[rows], times)
        name = f"{kind:.3g} {unit}" if several else ""
        joined = key == "current" and np.unique(x).size > 3
        series.append(by_place(x, readings[rows].ravel(), fit, name, joined=joined))
    return Panel(series, label, "counts of one ensemble")
