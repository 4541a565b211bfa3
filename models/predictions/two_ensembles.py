"""Figures of merit of two ensembles under detuned collective decay (Chu Sec. III)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..two_ensembles import (
    SteadyState,
    TwoEnsembles,
    relaxation_time_bound,
    relaxation_time_estimate,
    steady_state,
)
from .shape import Model, Parameter, Predicted

_INFIDELITY = 1e-3


def _static(state: SteadyState) -> dict[str, Predicted]:
    return {
        "xi2": Predicted(state.xi2, "", "Chu Eq. 12"),
        "qfi": Predicted(state.qfi, "1/rad^2", "Chu Eq. 10"),
        "spin_length": Predicted(state.spin_length, "", "Chu Eq. 11"),
        "variance": Predicted(state.variance, "", "Var(S1y+S2y) = <J>/2, text before Chu Eq. 10"),
        "mean_J": Predicted(state.mean_J, "", "Chu Eqs. 8, 9"),
    }


def compute(values: Mapping[str, Any]) -> dict[str, Predicted]:
    """Steady state, times; rates in one unit, times in its inverse."""
    parameters = TwoEnsembles(
        spin=values["S"],
        rabi_frequency=values["Omega"],
        detuning_difference=values["Delta"],
        exchange=values["chi"],
        collective_decay=values["Gamma"],
    )
    state = steady_state(parameters)
    out = _static(state)
    out["t_ss_bound"] = Predicted(
        relaxation_time_bound(state, _INFIDELITY),
        "1/rate",
        "ln(1/eps)/(4 Gamma Var), sharper than Chu Eq. 13",
    )
    if values["chi"] == 0.0:
        out["t_ss"] = Predicted(
            relaxation_time_estimate(state, _INFIDELITY), "1/rate", "5-8/(Gamma Var), fitted rule"
        )
    return out


MODEL = Model(
    name="two_ensembles",
    title="two ensembles, detuned collective decay",
    paper="Chu et al., Sec. III",
    parameters=(
        Parameter("S", "", "spin of each ensemble (2S atoms)"),
        Parameter("Omega", "rate", "Rabi frequency of the common drive"),
        Parameter("Delta", "rate", "detuning difference of the ensembles"),
        Parameter("chi", "rate", "chiral exchange", 0.0),
        Parameter("Gamma", "rate", "collective decay", 1.0),
    ),
    compute=compute,
    example={"S": "50", "Omega": "100", "Delta": "10"},
)
