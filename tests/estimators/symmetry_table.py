"""The table of symmetries that tests/estimators/test_symmetries.py goes through."""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cavitylab.estimators import (
    Calibrated,
    CloudBeliefs,
    LightBeliefs,
    ScheduleBeliefs,
    draw_relaxation,
    draw_relaxation_clouds,
    draw_relaxation_light,
)

_SPEC = importlib.util.spec_from_file_location(
    "every_estimator", Path(__file__).with_name("every_estimator.py")
)
assert _SPEC is not None and _SPEC.loader is not None
every_estimator = importlib.util.module_from_spec(_SPEC)
sys.modules[_SPEC.name] = every_estimator
_SPEC.loader.exec_module(every_estimator)
CASES = every_estimator.CASES

Records = dict[str, np.ndarray]
CLOSE = 1e-6
HALF, QUARTER = math.pi, math.pi / 2.0


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        name: of the estimator.
        change: in words.
        records: what becomes of the columns.
        answer: quantity -> (quantity of the plain fit, factor, shift).
        beliefs: what becomes of the beliefs; None: they stay.
        plain: beliefs of the plain fit that differ from those of `CASES`.
        within: tolerance in standard deviations.
        checked: whether the p-value stays, too; where cells are made in order, or draws from the
            fit are part of the check, it need not.
    """

    name: str
    change: str
    records: Callable[[Records], Records]
    answer: Mapping[str, tuple[str, float, float]] = field(default_factory=dict)
    beliefs: Mapping[str, Any] = field(default_factory=dict)
    plain: Mapping[str, Any] = field(default_factory=dict)
    within: float = CLOSE
    checked: bool = True


# ---- what is done to records -----------------------------------------------------------------


def exchanged(records: Records) -> Records:
    """The ensembles in the opposite order."""
    return {**records, "counts": np.asarray(records["counts"])[:, ::-1]}


def flipped(top: float, *ports: int) -> Callable[[Records], Records]:
    """Ports that count the other state: n becomes top - n."""

    def change(records: Records) -> Records:
        counts = np.array(records["counts"], dtype=float)
        counts[:, ports] = top - counts[:, ports]
        return {**records, "counts": counts}

    return change


def scaled(**factors: float) -> Callable[[Records], Records]:
    """Columns in another unit, or with another sign."""
    return lambda records: {
        name: factors[name] * np.asarray(column) if name in factors else column
        for name, column in records.items()
    }


def shifted(**by: float) -> Callable[[Records], Records]:
    """Columns from another origin."""
    return lambda records: {
        name: by[name] + np.asarray(column) if name in by else column
        for name, column in records.items()
    }


def backwards(records: Records) -> Records:
    """The last shot first."""
    return {name: np.asarray(column)[::-1] for name, column in records.items()}


def renumbered(records: Records) -> Records:
    """Two settings with their numbers exchanged."""
    return {**records, "setting": 1 - np.asarray(records["setting"])}


# ---- what becomes of the answer --------------------------------------------------------------


def times(factor: float, *names: str, shift: float = 0.0) -> dict[str, tuple[str, float, float]]:
    """Quantities that change their unit, or sign and origin."""
    return {name: (name, factor, shift) for name in names}


def swapped(*pairs: tuple[str, str]) -> dict[str, tuple[str, float, float]]:
    """Quantities that exchange their places."""
    return {a: (b, 1.0, 0.0) for pair in pairs for a, b in (pair, pair[::-1])}


PORTS = swapped(("contrast_1", "contrast_2"), ("offset_1", "offset_2"))
TURNED = times(-1.0, "phase", "signal", shift=QUARTER)


JOINT_PORTS = swapped(
    *(
        (f"{one}_1_of_setting_{place}", f"{one}_2_of_setting_{place}")
        for one in ("contrast", "offset")
        for place in (0, 1)
    )
)
RENUMBERED = swapped(
    *(
        (f"{one}_{port}_of_setting_0", f"{one}_{port}_of_setting_1")
        for one in ("contrast", "offset")
        for port in (1, 2)
    )
)
JOINT_TURNED = {
    **TURNED,
    **times(-1.0, "offset_2_of_setting_0", "offset_2_of_setting_1", shift=1.0),
}


# ---- records that determine what is asked, where those of `CASES` leave it open --------------


def two_modes(rng: np.random.Generator) -> Records:
    """Both quadratures of a squeezed pair, and its length."""
    quiet, loud = rng.normal(0.0, 2.0, (2, 40)), rng.normal(0.0, 8.0, (2, 40))
    sums = np.r_[quiet[0], loud[0], np.full(20, 90.0)]
    off = np.r_[loud[1], quiet[1], np.zeros(20)]
    atoms = 50.0 + np.column_stack([sums + off, sums - off]) / 2.0
    return {
        "counts": rng.poisson(100.0 * atoms + 50.0),
        "setting": np.repeat([0, 3, 1], [40, 40, 20]),
    }


def waves(rng: np.random.Generator) -> Records:
    """A variance that depends on the angle, least at 1.2, away from the ends of its range."""
    angle = np.repeat(np.linspace(0.0, math.pi, 9)[:-1], 20)
    sums = np.sqrt(40.0 - 34.0 * np.cos(2.0 * (angle - 1.2))) * rng.standard_normal(160)
    sums, off = np.r_[sums, np.zeros(20)], np.r_[np.zeros(160), np.full(20, 90.0)]
    atoms = 50.0 + np.column_stack([sums + off, sums - off]) / 2.0
    return {
        "counts": rng.poisson(100.0 * atoms + 50.0),
        "setting": np.repeat([0, 1], [160, 20]),
        "angle": np.r_[angle, np.zeros(20)],
    }


def four(rng: np.random.Generator) -> Records:
    """Four ensembles with g = .11, k = -.2."""
    theta, bias = rng.uniform(0.0, math.tau, (150, 1)), np.array([0.0, 0.5, 0.5, 0.0]) * math.pi
    bent = 0.11 * np.array([1.5, 0.5, -0.5, -1.5]) - 0.2 * np.array([1, -1, -1, 1])
    return {"counts": rng.binomial(50, 0.5 + 0.47 * np.sin(theta + bias + bent))}


RATES = ("collective_decay", "rabi_frequency", "detuning_difference")
TRUTH = {
    **dict(zip(RATES, (100.0, 300.0, 250.0), strict=True)),
    "gain": 40.0,
    "background": 20.0,
    "efficiency": 0.4,
    "output_background": 100.0,
}
HOLDS = np.repeat(np.linspace(0.4e-3, 4e-3, 5), 30)
RELAXED = {
    name: Calibrated(value, 0.05 * value)
    for name, value in TRUTH.items()
    if name not in ("efficiency", "output_background")
}
COUNTED = {
    name: Calibrated(TRUTH[name], 0.05 * TRUTH[name]) for name in TRUTH if name not in RELAXED
}
LIT = LightBeliefs(0.5, **RELAXED, **COUNTED)
CLOUD_TRUTH = {**TRUTH, **dict(zip(RATES, (0.1, 200.0, 100.0), strict=True)), "gain": 40.0}
CLOUDS = CloudBeliefs(
    2000.0, **{n: Calibrated(value, 0.05 * value) for n, value in CLOUD_TRUTH.items()}
)

RECORDS: dict[str, Callable[[np.random.Generator], Records]] = {
    "gradient_curvature": four,
    "pumping_sweeps": lambda rng: CASES["pumping_sweeps"].draw(rng, 12),
    "relaxation_cumulants": lambda rng: dict(
        draw_relaxation_clouds(2000.0, CLOUD_TRUTH, HOLDS, rng)
    ),
    "relaxation_light": lambda rng: dict(draw_relaxation_light(0.5, TRUTH, HOLDS, rng)),
    "relaxation_trace": lambda rng: dict(draw_relaxation(0.5, TRUTH, HOLDS, rng)),
    "squeezing_tomography": waves,
    "two_mode_squeezing": two_modes,
}
BELIEFS: dict[str, Mapping[str, Any]] = {
    "relaxation_cumulants": {"beliefs": CLOUDS},
    "relaxation_light": {"beliefs": LIT},
    "relaxation_trace": {"spin": 0.5, **RELAXED},
}


# ---- beliefs that change with the records ----------------------------------------------------

SQUEEZED = every_estimator.SQUEEZED
NO_NOISE = {"beliefs": replace(SQUEEZED, detection="none")}  # counting noise knows no scale
TRIPLED = {"beliefs": replace(SQUEEZED, detection="none", gain=300.0, background=150.0)}
FULL = 2.0 * 50.0 * 100.0 + 2.0 * 50.0  # n -> 2S - n of 100 atoms with gain 100, background 50
SCHEDULE: ScheduleBeliefs = every_estimator.SCHEDULE


def slower(known: Any, *names: str) -> dict[str, Calibrated]:
    """Rates per millisecond instead of per second."""
    pairs = {n: known[n] if isinstance(known, Mapping) else getattr(known, n) for n in names}
    return {n: Calibrated(1e-3 * one.value, 1e-3 * one.std) for n, one in pairs.items()}


RAMPS = every_estimator.RAMPS
OTHER_KNOB = replace(
    RAMPS, up=tuple(0.2 * u for u in RAMPS.up), down=tuple(0.2 * u for u in RAMPS.down),
    critical_pump=0.2,
)  # fmt: skip
DARKER = (*RATES, "output_background")

ONE_WAY = ("drift_filter", "squeezing_certificate", "squeezing_matrix")
EXCHANGE = "ensembles exchanged"
UNIT, ORDER = "unit", "order reversed"
SCALE, THREE = "counts and gain times three", scaled(counts=3.0)
SLOWER, MIRROR, TURN = scaled(time=1e3), scaled(current=-1.0), scaled(angle=-1.0)
ORIGIN = "another origin"

TABLE = (
    # Two ensembles play the same part.
    Row("adaptive_phase", EXCHANGE, exchanged),
    Row("decay_calibration", EXCHANGE, exchanged),
    Row("drive_calibration", EXCHANGE, exchanged),
    Row("ellipse_contrasts", EXCHANGE, exchanged, PORTS),
    Row("ellipse_phase", EXCHANGE, exchanged),
    Row("ellipse_schedule", EXCHANGE, exchanged),
    Row("gain_calibration", EXCHANGE, exchanged),
    Row("joint_ellipses", EXCHANGE, exchanged, JOINT_PORTS),
    Row("relaxation_cumulants", EXCHANGE, exchanged),
    Row("relaxation_light", EXCHANGE, exchanged),
    Row("relaxation_trace", EXCHANGE, exchanged),
    Row("spectroscopy_calibration", EXCHANGE, exchanged),
    Row("squeezing_certificate", EXCHANGE, exchanged),
    Row("squeezing_matrix", EXCHANGE, exchanged),
    Row("squeezing_tomography", EXCHANGE, exchanged),
    Row("two_mode_squeezing", EXCHANGE, exchanged),
    Row("wineland_from_shots", EXCHANGE, exchanged),
    # Three in a row with direction (1, -2, 1), four with a gradient, a chain: mirrored.
    Row("combined_phase", "ensembles mirrored", exchanged, swapped(("phase_1", "phase_3"))),
    Row("gradient_curvature", "ensembles mirrored", exchanged, times(-1.0, "gradient")),
    Row("string_order", "chain mirrored", exchanged),
    # A port that counts the other state: phi becomes pi/2 - phi.
    Row(
        "adaptive_phase",
        "one port flipped",
        flipped(20, 1),
        times(-1.0, "signal", shift=QUARTER),
        plain={"signal_range": (0.0, QUARTER)},
        within=1e-4,  # stray shots are spread over pairs without order
        checked=False,
    ),
    Row(
        "ellipse_contrasts",
        "one port flipped",
        flipped(20, 1),
        {**TURNED, **times(-1.0, "offset_2", shift=1.0)},
        checked=False,
    ),
    Row("joint_ellipses", "one port flipped", flipped(20, 1), JOINT_TURNED, checked=False),
    # All ports flipped: the common phase moves by pi, or the spins point down.
    Row(
        "ellipse_contrasts",
        "both ports flipped",
        flipped(20, 0, 1),
        times(-1.0, "offset_1", "offset_2", shift=1.0),
        checked=False,
    ),
    Row(
        "combined_phase",
        "all ports flipped",
        flipped(100.0 * 100.0, 0, 1, 2),
        beliefs={"slopes": (45.0,) * 3},
    ),
    Row("string_order", "all ports flipped", flipped(1, *range(8))),
    Row("squeezing_tomography", "all ports flipped", flipped(FULL, 0, 1), plain=NO_NOISE),
    Row("two_mode_squeezing", "all ports flipped", flipped(FULL, 0, 1), plain=NO_NOISE),
    Row("wineland_from_shots", "all ports flipped", flipped(FULL, 0, 1), plain=NO_NOISE),
    Row("two_parameters", "half a turn", scaled(x=-1, y=-1), times(-1.0, "angle_a", "angle_b")),
    # Counts (or readings) and gain multiplied together.
    Row("combined_phase", SCALE, THREE, beliefs={"gain": 300.0}),
    Row("squeezing_matrix", SCALE, THREE, beliefs={"gain": 300.0}, plain={"counting_noise": False}),
    *(
        Row(name, SCALE, THREE, beliefs=TRIPLED, plain=NO_NOISE)
        for name in ("squeezing_tomography", "two_mode_squeezing", "wineland_from_shots")
    ),
    Row(
        "aom_calibration",
        "readings times three",
        scaled(reading=3.0),
        times(3.0, "amplitude", "background", "reading_std"),
    ),
    Row(
        "settling_calibration",
        "readings times minus three",
        scaled(reading=-3.0),
        {**times(-3.0, "before", "after"), **times(3.0, "reading_std")},
    ),
    Row(
        "drift_filter",
        "values times minus three",
        scaled(value=-3.0, std=3.0),
        times(-3.0, "value"),
        beliefs={"diffusion": 9e-3, "start": (0.0, 3.0)},
    ),
    # A unit of the knob or of time.
    Row("aom_calibration", UNIT, scaled(power=0.2), times(0.2, "saturation_power")),
    Row("dead_time_calibration", UNIT, scaled(light=1e3), times(1e-3, "rate")),
    Row("detector_calibration", UNIT, scaled(light=1e3)),
    Row(
        "settling_calibration", UNIT, SLOWER, times(1e3, "time_constant", "delay", "settled_after")
    ),
    Row("pumping_hold", UNIT, scaled(pump=0.2), times(0.2, "critical_pump")),
    Row("pumping_snapshots", UNIT, scaled(pump=0.2), times(0.2, "critical_pump")),
    Row("pumping_sweeps", UNIT, scaled(pump=0.2), times(0.2, "critical_pump")),
    Row(
        "pumping_ramps",
        UNIT,
        scaled(),
        times(0.2, "critical_pump", "midpoint", "hysteresis_width"),
        beliefs={"beliefs": OTHER_KNOB},
    ),
    Row("relaxation_trace", UNIT, SLOWER, times(1e-3, *RATES), beliefs=slower(RELAXED, *RATES)),
    Row(
        "relaxation_light",
        UNIT,
        SLOWER,
        times(1e-3, *DARKER),
        beliefs={"beliefs": replace(LIT, **slower(LIT, *DARKER))},
    ),
    Row(
        "relaxation_cumulants",
        UNIT,
        SLOWER,
        times(1e-3, *DARKER),
        beliefs={"beliefs": replace(CLOUDS, **slower(CLOUDS, *DARKER))},
    ),
    # A scan from the other side.
    Row(
        "detuning_calibration",
        "current reversed",
        MIRROR,
        times(-1.0, "slope"),
        checked=False,
    ),
    Row("spectroscopy_calibration", "current reversed", MIRROR, times(-1.0, "offset")),
    Row("squeezing_tomography", "angle reversed", TURN, times(-1.0, "angle", shift=HALF)),
    Row("squeezing_tomography", ORIGIN, shifted(angle=0.1), times(1.0, "angle", shift=0.1)),
    Row("drift_filter", ORIGIN, shifted(time=1e3)),
    Row(
        "ellipse_schedule",
        "settings renumbered",
        renumbered,
        beliefs={"beliefs": replace(SCHEDULE, settings=SCHEDULE.settings[::-1])},
    ),
    Row("joint_ellipses", "settings renumbered", renumbered, RENUMBERED),
    # The same scan taken from its end: all but what follows a drift, or finds a direction on
    # every other shot and pairs with neighbours.
    *(Row(name, ORDER, backwards) for name in sorted(CASES) if name not in ONE_WAY),
)
