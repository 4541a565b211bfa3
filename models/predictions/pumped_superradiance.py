"""Figures of merit of collectively pumped superradiance (Shimshi & Shahmoon Eqs. 1-8)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .._checks import not_negative, positive, whole
from ..pumped_superradiance import (
    PumpedEnsemble,
    PumpedSteadyState,
    pumped_steady_state,
    relaxation_rate_cumulant,
)
from ..pumped_superradiance_hysteresis import hysteresis
from ..pumped_superradiance_modes import integrated_correlation_time, relaxation_gap
from .shape import Model, Parameter, Predicted


def compute(values: Mapping[str, Any]) -> dict[str, Predicted]:
    """Steady state, relaxation and, with a rate, the hysteresis; rates in units of gamma."""
    atoms = whole(values["N"], "N", least=1)
    parameters = PumpedEnsemble(atoms, not_negative(values["w"], "w"))
    out = _static(pumped_steady_state(parameters)) | _relaxation(parameters)
    if values["rate"] is not None:
        out |= _scan(atoms, positive(values["rate"], "rate"))
    return out


def _static(state: PumpedSteadyState) -> dict[str, Predicted]:
    """Moments and information of the steady state."""
    information, uncertainty = state.fisher_information, state.pump_uncertainty
    seen = math.isfinite(information)
    unseen = "" if seen else "without pumping all atoms are down: information diverges as 1/w"
    return {
        "mean_jz": Predicted(
            state.mean, "", "Shimshi & Shahmoon Eq. 3, exact at any N (Eq. 4 is for large N)"
        ),
        "var_jz": Predicted(state.variance, "", "Shimshi & Shahmoon Eqs. 3, D3"),
        "fisher_information": Predicted(
            information if seen else None,
            "1/gamma^2",
            "of w, one readout of Jz: Var Jz/w^2, Shimshi & Shahmoon Eqs. D3, D6",
            unseen,
        ),
        "delta_w": Predicted(
            uncertainty if seen else None,
            "gamma",
            "w/sqrt(Var Jz), Shimshi & Shahmoon Eq. 5 for any w and N",
            unseen,
        ),
        "scaled_pump": Predicted(
            state.parameters.scaled_pump, "", "s = N (w/gamma - 1)/2; |s| < 1 in the transition"
        ),
        "flux": Predicted(
            state.flux, "gamma", "photons of either cavity mode per time, gamma <J+J->"
        ),
    }


def _relaxation(parameters: PumpedEnsemble) -> dict[str, Predicted]:
    """How fast the inversion relaxes."""
    return {
        "gap": Predicted(
            relaxation_gap(parameters), "gamma", "exact, Shimshi & Shahmoon Fig. 2b and App. C"
        ),
        "gap_cumulant": Predicted(
            relaxation_rate_cumulant(parameters),
            "gamma",
            "Shimshi & Shahmoon Eq. E5",
            ""
            if abs(parameters.excess) * parameters.atoms < 0.2
            else "no third cumulants: up to 67 % above the gap",
        ),
        "correlation_time": Predicted(
            integrated_correlation_time(parameters),
            "1/gamma",
            "integral of C_zz(t)/C_zz(0), C_zz of Shimshi & Shahmoon Eq. E1",
        ),
    }


def _scan(atoms: int, rate: float) -> dict[str, Predicted]:
    """The loop of scans up and down at |ds/dt| = rate."""
    source = "Shimshi & Shahmoon Fig. 4 computed; Eq. 8 is low by 1.6 to 2.6 for fast scans"
    try:
        loop = hysteresis(atoms, rate)
    except ValueError as error:
        return {
            name: Predicted(None, unit, source, str(error))
            for name, unit in (
                ("hysteresis_width", "gamma"),
                ("hysteresis_width_scaled", ""),
                ("hysteresis_midpoint", "gamma"),
            )
        }
    remark = "deterministic: scans up and down cancel it, it is no error bar"
    return {
        "hysteresis_width": Predicted(loop.pump_width, "gamma", source, remark),
        "hysteresis_width_scaled": Predicted(
            loop.width, "", "N/(2 gamma) times the width, the same for all large N (Fig. 4b)"
        ),
        "hysteresis_midpoint": Predicted(
            2.0 * loop.midpoint / atoms,
            "gamma",
            "mean of the two crossings less gamma, of order 1/N^2",
        ),
    }


MODEL = Model(
    name="pumped_superradiance",
    title="collectively pumped superradiance",
    paper="Shimshi & Shahmoon, Eqs. 1-8",
    parameters=(
        Parameter("N", "", "number of atoms"),
        Parameter("w", "gamma", "collective pumping rate; the transition lies at 1"),
        Parameter(
            "rate",
            "gamma",
            "scan rate r = (N/2 gamma) dw/dt; gives the hysteresis of scans up and down",
            optional=True,
        ),
    ),
    compute=compute,
    example={"N": "100", "w": "1", "rate": "16"},
)
