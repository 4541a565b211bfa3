"""Settings of the dissipative preparation, with their bounds and units."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..estimators import Calibrated, CloudBeliefs, LightBeliefs, RelaxationBeliefs
from ..models.two_ensembles import TwoEnsembles, steady_state
from .dissipative_preparation_many import MOST_EXACT, many_defaults

STEEPEST = 0.02
"""Largest half detuning over the pulse's Rabi frequency: the spin length, turned into the sum by as
much, adds its square to the second moments."""


class DissipativePreparationSettings(BaseModel):
    """Settings of the dissipative preparation; frequencies are ordinary (Hz), not angular."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    atoms_per_ensemble: int = Field(
        6,
        ge=1,
        le=1_000_000,
        description="atoms 2S in each ensemble; up to 12 are solved exactly, more by cumulant "
        "equations, with other defaults: Omega = N Gamma, the first swings, no tomography",
    )
    preparation_rabi_hz: float = Field(
        600.0, gt=0, le=1e6, description="Rabi frequency of the drive during the preparation, Hz"
    )
    detuning_hz: float = Field(
        400.0, gt=0, le=1e6, description="detuning difference of the ensembles, Hz"
    )
    collective_decay_hz: float = Field(
        100.0, gt=0, le=1e6, description="believed collective decay rate Gamma/2pi, Hz"
    )
    exchange_hz: float = Field(
        0.0, ge=-1e6, le=1e6, description="believed exchange chi/2pi, signed, Hz"
    )
    exchange_std_hz: float = Field(
        0.0,
        ge=0,
        le=1e6,
        description="standard deviation of that belief, Hz; above 0 the exchange is fitted",
    )
    holds: int = Field(12, ge=2, le=200, description="lengths of the preparation that are counted")
    first_hold: float = Field(0.3e-3, gt=0, le=10.0, description="shortest of them, s")
    last_hold: float = Field(6e-3, gt=0, le=10.0, description="longest of them, s")
    shots_per_hold: int = Field(
        200, ge=1, le=1_000_000, description="good shots at each of them, on average"
    )
    passes: int = Field(4, ge=1, le=10_000, description="passes over the holds, in random order")
    adaptive: bool = Field(
        False,
        description="whether passes after the first go where they tell most of `adaptive_for`",
    )
    adaptive_for: Literal[
        "collective_decay", "rabi_frequency", "detuning_difference", "exchange"
    ] = Field("collective_decay", description="quantity whose error adaptive passes lower")
    angles: int = Field(
        8, ge=0, le=180, description="analysis angles from 0 to pi; even; 0: no tomography"
    )
    shots_per_angle: int = Field(150, ge=2, le=1_000_000, description="good shots at each of them")
    length_shots: int = Field(
        300, ge=20, le=1_000_000, description="good shots for the spin length"
    )
    tomography_hold: float = Field(
        12e-3, gt=0, le=10.0, description="preparation before the tomography, s"
    )
    pulse_rabi_hz: float = Field(
        25e3,
        gt=0,
        le=1e7,
        description="Rabi frequency of the analysis pulse, Hz; far above the detuning, which tilts "
        "its axis",
    )
    gate: float = Field(5e-3, gt=0, le=10.0, description="length of each counting gate, s")
    shot_period: float = Field(25e-3, gt=0, le=40.0, description="time from shot to shot, s")
    cavity_output: bool = Field(
        False,
        description="whether the light of the cavity is counted during the holds; needs a station "
        "with the gate cavity_output",
    )
    output_efficiency: float = Field(
        0.3, gt=0, le=1, description="believed counts of each photon that leaves the cavity"
    )
    output_efficiency_std: float = Field(
        0.015, gt=0, le=0.3, description="standard deviation of that belief"
    )
    output_background_rate: float = Field(
        100.0, gt=0, le=1e7, description="believed counts per second without such photons, 1/s"
    )
    output_background_std: float = Field(
        5.0, gt=0, le=1e6, description="standard deviation of that belief, 1/s"
    )
    output_window: float = Field(
        5e-3,
        gt=0,
        le=10.0,
        description="last part of the tomography's hold in which the remaining light is counted, s",
    )
    cooperativity: float | None = Field(
        None, gt=0, description="Gamma/gamma of the atoms: the plan names the best drive for it"
    )

    @model_validator(mode="before")
    @classmethod
    def _of_many(cls, given: Any) -> Any:
        return many_defaults(given) if isinstance(given, Mapping) else given

    @model_validator(mode="after")
    def _without_pulses(self) -> DissipativePreparationSettings:
        if self.many and self.angles:
            raise ValueError(
                f"angles = {self.angles} must be 0 for more than {MOST_EXACT} atoms: their "
                "tomography is not described on the way; ramsey_ellipse uses the dark state of many"
            )
        if self.many and self.cavity_output:
            raise ValueError(
                f"cavity_output must be false for more than {MOST_EXACT} atoms: the simulated "
                "laboratory has no light of so many (the estimator RelaxationCumulants takes it)"
            )
        return self

    @model_validator(mode="after")
    def _consistent(self) -> DissipativePreparationSettings:
        if self.last_hold <= self.first_hold:
            raise ValueError(
                f"last_hold = {self.last_hold:g} s must be longer than first_hold = "
                f"{self.first_hold:g} s"
            )
        if self.passes > self.shots_per_hold:
            raise ValueError(
                f"passes = {self.passes} is more than shots_per_hold = {self.shots_per_hold}: "
                "each pass takes at least one shot of every hold"
            )
        if self.adaptive_for == "exchange" and not self.exchange_std_hz:
            raise ValueError(
                "adaptive_for = exchange needs exchange_std_hz above 0: otherwise it is not fitted"
            )
        if self.angles and (self.angles < 4 or self.angles % 2):
            raise ValueError(
                f"angles = {self.angles} must be 0, or even and at least 4: a quarter turn must "
                "be among them"
            )
        return self

    @model_validator(mode="after")
    def _upright_pulse(self) -> DissipativePreparationSettings:
        tilt = 0.5 * self.detuning_hz / self.pulse_rabi_hz
        if self.angles and tilt > STEEPEST:
            raise ValueError(
                f"pulse_rabi_hz = {self.pulse_rabi_hz:g} is too weak: half the detuning tilts the "
                f"axis of the analysis pulse by {tilt:.3g}, and at most {STEEPEST:g} is allowed; "
                f"take at least {0.5 * self.detuning_hz / STEEPEST:.4g} Hz"
            )
        return self

    @model_validator(mode="after")
    def _late_window(self) -> DissipativePreparationSettings:
        if self.cavity_output and self.output_window > self.tomography_hold:
            raise ValueError(
                f"output_window = {self.output_window:g} s must not be longer than tomography_hold "
                f"= {self.tomography_hold:g} s: it is the last part of it"
            )
        return self

    @property
    def many(self) -> bool:
        """Whether there are too many atoms for the exact equations."""
        return self.atoms_per_ensemble > MOST_EXACT

    @property
    def spin(self) -> float:
        """Collective spin S of each ensemble."""
        return self.atoms_per_ensemble / 2

    @property
    def pair(self) -> TwoEnsembles:
        """The pair as it is believed, angular rates."""
        rates = (
            self.preparation_rabi_hz,
            self.detuning_hz,
            self.exchange_hz,
            self.collective_decay_hz,
        )
        return TwoEnsembles(self.spin, *(2.0 * math.pi * rate for rate in rates))

    @property
    def axis(self) -> float:
        """Phase at which a pulse turns about the believed dark state's spins, rad.

        The spins of ensemble 1 point along -x for a positive detuning; exchange turns them.
        """
        return math.remainder(steady_state(self.pair).azimuth - math.pi, 2.0 * math.pi)

    @property
    def late(self) -> tuple[float, float]:
        """Part of the tomography's hold in which the remaining light is counted, s."""
        return self.tomography_hold - self.output_window, self.tomography_hold

    def believed(
        self,
        decay: Calibrated,
        rabi: Calibrated,
        detuning: Calibrated,
        gain: Calibrated,
        background: Calibrated,
    ) -> RelaxationBeliefs | CloudBeliefs:
        """What is believed of the rates, and of the counter of the light where there is one."""
        known = (decay, rabi, detuning, gain, background)
        chi, error = self.exchange_hz, self.exchange_std_hz
        if self.many:
            return CloudBeliefs(self.atoms_per_ensemble, *known, exchange=chi, exchange_std=error)
        if not self.cavity_output:
            return RelaxationBeliefs(self.spin, *known, exchange=chi, exchange_std=error)
        return LightBeliefs(
            self.spin,
            *known,
            exchange=chi,
            exchange_std=error,
            efficiency=Calibrated(self.output_efficiency, self.output_efficiency_std),
            output_background=Calibrated(self.output_background_rate, self.output_background_std),
        )

    @property
    def hold_grid(self) -> tuple[float, ...]:
        """Lengths of the preparation, s, on the microsecond."""
        grid = np.linspace(self.first_hold, self.last_hold, self.holds)
        return tuple(round(float(hold) * 1e6) / 1e6 for hold in grid)

    @property
    def turns(self) -> tuple[float, ...]:
        """Pulse areas of the tomography, rad."""
        return tuple(math.pi * k / self.angles for k in range(self.angles))

    @property
    def population_shots(self) -> int:
        """Good shots without a pulse."""
        return self.holds * self.shots_per_hold

    def visit(self, number: int) -> int:
        """Shots of one hold in pass ``number``."""
        return (
            self.shots_per_hold * (number + 1) // self.passes
            - self.shots_per_hold * number // self.passes
        )
