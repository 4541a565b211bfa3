"""The estimate of a dissipative preparation: rates, squeezing, and how dark the state is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

from ..estimators import (
    Calibrated,
    CloudBeliefs,
    Estimate,
    LightBeliefs,
    Quantity,
    RecordError,
    RelaxationBeliefs,
    RelaxationLight,
    SqueezingBeliefs,
    SqueezingTomography,
)
from .dissipative_preparation_checks import REVERSED, contradictions, points_back, wrong_pulse
from .dissipative_preparation_many import trace_of

Array = NDArray[np.float64]

POPULATIONS, TURNED, LENGTH = 0, 1, 2
"""Values of the column `analysis`: no pulse; turned about the spins' axis; spin length."""

RATES = ("collective_decay", "rabi_frequency", "detuning_difference")
SQUEEZING = ("xi2", "xi2_db", "spin_length")
DARK = "dark_output"
EXCHANGE = "exchange"
LIGHT = ("efficiency", "output_background")
"""What is fitted beside the rates where the cavity's output is counted."""

REMAINING = "remaining_light"

_ANGLE = 1e-6
_FEWEST = 20

_WHERE = (
    "where to look: whether the RF tables start at T0, the gates light the ensemble that they are "
    "named after, the RF switches open and close with the hold, and the modulators' calibrations "
    "(near its maximum a modulator bends the curve)"
)


_DARKER = "hold longer, or look for unequal drives, detunings or atom numbers"


@dataclass(frozen=True, slots=True)
class PreparationBeliefs:
    """What is known before a dissipative preparation.

    Attributes:
        rates: Of the relaxation, with the detector's calibration.
        squeezing: Of the tomography, with the same detector.
        output_window: Last part of the tomography's hold in which light is counted, s; where
            nothing counts it 0, and the rates' beliefs know no counter.
        pulse_relative_std: Of the analysis pulse's Rabi frequency by the drive's calibration.
    """

    rates: RelaxationBeliefs | CloudBeliefs
    squeezing: SqueezingBeliefs
    output_window: float = 0.0
    pulse_relative_std: float = 0.02

    @property
    def watched(self) -> bool:
        """Whether the light of the cavity is counted."""
        return isinstance(self.rates, LightBeliefs)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> PreparationBeliefs:
        """Beliefs as a run keeps them."""
        rates: dict[str, Any] = {
            name: Calibrated(**value) if isinstance(value, Mapping) else value
            for name, value in stored["rates"].items()
        }
        squeezing: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in stored["squeezing"].items()
        }
        kind = LightBeliefs if rates.get(LIGHT[0]) else RelaxationBeliefs
        return cls(
            CloudBeliefs(**rates) if "atoms" in rates else kind(**rates),
            SqueezingBeliefs(**squeezing),
            float(stored.get("output_window", 0.0)),
            float(stored.get("pulse_relative_std", 0.02)),
        )


class PreparationEstimate:
    """`RelaxationTrace` of the populations, `SqueezingTomography` of the turned states.

    Of many atoms `RelaxationCumulants` of the populations alone.

    "dark_output" is <J+ J->, photons leaving the cavity in a time 1/Gamma, measured by the same
    turned states: <Jx^2> + <Jy^2> + <Jz>, detection noise subtracted. It vanishes in the pure
    dark state and in no other. Where the cavity's output is counted the rates come from
    `RelaxationLight`, and "remaining_light" is the same number, seen as light in the last part of
    the tomography's hold.
    """

    def __init__(self, beliefs: PreparationBeliefs) -> None:
        self._beliefs = beliefs
        rates = beliefs.rates
        self._rates = RelaxationLight(rates) if isinstance(rates, LightBeliefs) else trace_of(rates)
        self._late: list[Array] = []
        self._turned: list[Array] = []
        self._holds: list[Array] = []
        self._shots = 0

    def update(self, records: Mapping[str, ArrayLike]) -> None:
        """Take in a block.

        Args:
            records: "counts" (shots, 2), before them the column of the light where it is counted;
                "hold" (shots,) in s; "analysis", "angle" and
                "pulse_phase" (shots,) as of the set-points; "status" (shots,).

        Raises:
            RecordError: On columns that cannot be used.
        """
        counts = np.asarray(records["counts"], dtype=np.float64)
        shots, watched = len(counts), self._beliefs.watched
        if counts.shape != (shots, 2 + watched):
            raise RecordError(
                f"Column `counts` must have {2 + watched} columns, has {counts.shape}."
            )
        light, counts = counts[:, :-2], counts[:, -2:]
        status = np.asarray(records.get("status", np.ones(shots)))
        columns = [np.asarray(records[name], dtype=np.float64) for name in _COLUMNS]
        if any(column.shape != (shots,) for column in columns) or status.shape != (shots,):
            raise RecordError(f"Every column must have {shots} entries, one for each shot.")
        hold, analysis = columns[:2]
        plain = analysis == POPULATIONS
        if plain.any():
            block = {"counts": counts[plain], "time": hold[plain], "status": status[plain]}
            if watched:
                block["light"] = light[plain, 0]
            self._rates.update(block)
            self._holds.append(hold[plain & (status == 1)])
        rest = ~plain & (status == 1)
        if rest.any():
            self._turned.append(np.column_stack([*columns, counts])[rest])
            self._late.append(light[rest & (np.abs(columns[2]) < _ANGLE)])
        self._shots += int(np.sum(status == 1))

    def estimate(self, level: float = 0.95) -> Estimate:
        """All quantities from everything taken in so far."""
        found = self._rates.estimate(level)
        flags = [*found.flags]
        nothing = found.goodness_of_fit is None and found.shots >= _FEWEST
        if nothing or any("does not describe" in flag for flag in flags):
            flags.append(_WHERE)
        flags += contradictions(found, self._beliefs.rates)
        more, said, facts = self._squeezing(found, level)
        if self._beliefs.watched:
            more[REMAINING] = self._remaining(found, level)
            if more[REMAINING].interval[0] > 0.0:
                said.append(
                    f"light is still leaving the cavity at the end of the hold: <J+ J-> = "
                    f"{more[REMAINING]} there; {_DARKER}"
                )
        holds, shots = np.unique(np.concatenate([np.zeros(0), *self._holds]), return_counts=True)
        return replace(
            found,
            estimator="dissipative_preparation",
            shots=self._shots,
            quantities={**found.quantities, **more},
            diagnostics={
                **found.diagnostics,
                **facts,
                "flags": [*flags, *said],
                "holds": holds.tolist(),
                "hold_shots": shots.tolist(),
            },
        )

    def _squeezing(
        self, found: Estimate, level: float
    ) -> tuple[dict[str, Quantity], list[str], dict[str, Any]]:
        """xi^2 and the dark output; their whole range while nothing was turned yet."""
        if not self._turned:
            return self._unknown(level), [], {}
        gain, background = found["gain"], found["background"]
        beliefs = replace(
            self._beliefs.squeezing,
            gain=gain.value,
            background=background.value,
            gain_std=gain.std / gain.value,
            background_std=background.std,
        )
        table = np.concatenate(self._turned)
        tomography = SqueezingTomography(beliefs)
        tomography.update(
            {
                "counts": table[:, 4:],
                "angle": table[:, 2],
                "setting": np.where(table[:, 1] == LENGTH, 1, 0),
            }
        )
        try:
            turned = tomography.estimate(level)
        except RecordError as error:
            return self._unknown(level), [f"no squeezing yet: {error}"], {}
        quantities = {name: turned[name] for name in SQUEEZING}
        quantities[DARK] = _dark_output(table, beliefs, level)
        fit = turned.goodness_of_fit
        facts = {name: turned.diagnostics[name] for name in ("a", "c1", "c2", "kurtosis")}
        facts["tomography_p_value"] = None if fit is None else fit.p_value
        undirected = "angle undetermined"
        said = [f"squeezing: {flag}" for flag in turned.flags if undirected not in flag]
        if points_back(table, LENGTH):
            said.append(REVERSED)
        wrong = wrong_pulse(table, TURNED, beliefs, self._beliefs.pulse_relative_std)
        said += [] if wrong is None else [wrong]
        if quantities[DARK].interval[0] > 0.0:
            said.append(
                f"the cavity is not dark at the end of the hold: <J+ J-> = {quantities[DARK]}; "
                + _DARKER
            )
        return quantities, said, facts

    def _remaining(self, found: Estimate, level: float) -> Quantity:
        """<J+ J-> by the light of the last part of the hold; its upper limit where there is none.

        Counts in excess of the background over efficiency, decay rate and window; bunching is in
        their scatter. An interval that would reach below zero is that of a flat prior above it.
        """
        seen = np.concatenate([np.zeros((0, 1)), *self._late]).ravel()
        atoms = self._beliefs.squeezing.atoms
        if seen.size < _FEWEST or found.goodness_of_fit is None:
            return _somewhere(0.0, 0.25 * atoms * (atoms + 2.0), level)
        efficiency, dark = (found[name] for name in LIGHT)
        window, decay = self._beliefs.output_window, found[RATES[0]]
        per_photon = efficiency.value * 2.0 * math.pi * decay.value * window
        excess = float(seen.mean()) - dark.value * window
        noise = max(float(seen.var(ddof=1)), dark.value * window) / seen.size
        value = excess / per_photon
        scale = math.hypot(efficiency.std / efficiency.value, decay.std / decay.value)
        std = math.sqrt(noise + (dark.std * window) ** 2) / per_photon
        std = math.hypot(std, value * scale)
        return Quantity(value, std, _above_zero(value, std, level), level, "")

    def _unknown(self, level: float) -> dict[str, Quantity]:
        atoms = self._beliefs.squeezing.atoms
        ranges = {
            "xi2": (0.0, 1e6, ""),
            "xi2_db": (-60.0, 60.0, "dB"),
            "spin_length": (0.0, 0.5 * atoms, ""),
            DARK: (0.0, 0.25 * atoms * (atoms + 2.0), ""),
        }
        return {
            name: _somewhere(low, high, level, unit) for name, (low, high, unit) in ranges.items()
        }


def _above_zero(value: float, std: float, level: float) -> tuple[float, float]:
    """Interval of a number that cannot be negative, from a normal estimate of it.

    Where the plain interval reaches below zero: from zero to the limit below which the share
    `level` of what the estimate allows above zero lies.
    """
    reach = float(ndtri(0.5 + 0.5 * level)) * std
    if value - reach > 0.0:
        return value - reach, value + reach
    allowed = float(ndtr(value / std))
    return 0.0, value - std * float(ndtri((1.0 - level) * allowed))


_COLUMNS = ("hold", "analysis", "angle", "pulse_phase")


def _dark_output(table: Array, beliefs: SqueezingBeliefs, level: float) -> Quantity:
    """<Jx^2> + <Jy^2> + <Jz> from shots turned by 0 and pi/2 about x, and by pi/2 about y."""
    sums = table[:, 4:].sum(axis=1)
    offset = 2.0 * beliefs.background
    total = (sums - offset) / beliefs.gain - beliefs.atoms / 2.0
    square = total**2 - sums / beliefs.gain**2
    turned, angle = table[:, 1] == TURNED, table[:, 2]
    quarter = np.abs(angle - 0.5 * math.pi) < _ANGLE
    parts = [
        total[turned & (np.abs(angle) < _ANGLE)],
        square[turned & quarter],
        square[~turned & quarter],
    ]
    if min(part.size for part in parts) < _FEWEST:
        most = 0.25 * beliefs.atoms * (beliefs.atoms + 2.0)
        return _somewhere(0.0, most, level)
    value = sum(float(part.mean()) for part in parts)
    variance = sum(float(part.var(ddof=1)) / part.size for part in parts)
    calibration = beliefs.gain_std * abs(parts[0].mean()) + beliefs.background_std / beliefs.gain
    std = math.hypot(math.sqrt(variance), float(calibration))
    reach = float(ndtri(0.5 + 0.5 * level)) * std
    return Quantity(value, std, (value - reach, value + reach), level, "")


def _somewhere(low: float, high: float, level: float, unit: str = "") -> Quantity:
    """A quantity that the data say nothing of: its whole range."""
    return Quantity(0.5 * (low + high), (high - low) / math.sqrt(12.0), (low, high), level, unit)
