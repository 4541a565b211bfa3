"""Figures of merit of generalised two-mode squeezing (Mamaev et al.)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..two_mode_squeezing import TwoModeSqueezedState, two_mode_squeezed_spins
from ..two_mode_squeezing_dynamics import preparation_gap
from ..two_mode_squeezing_mean_field import (
    LocalNoise,
    MeanField,
    mean_field_best_time,
    mean_field_steady_state,
    squeezing_at_fixed_power,
    squeezing_from_dephasing,
    squeezing_from_relaxation,
)
from .shape import Model, Parameter, Predicted

# Rounding takes the exact gap's digits as e^{4r} grows; its cost grows as S^6. A transient
# under dephasing takes the longer to integrate the more its times differ.
_GAP_SPIN = 5.0
_GAP_SQUEEZING = 3.0
_TRANSIENT_SPIN = 5e3
_FEW_ATOMS = 100


def _static(state: TwoModeSqueezedState) -> dict[str, Predicted]:
    """The state itself, which is also the steady state without local noise."""
    atoms = 0 if state.atoms is None else state.atoms
    return {
        "xi2": Predicted(state.xi2, "", "Mamaev Eq. 8, in a stable form", "without local noise"),
        "xi2_limit": Predicted(3.0 / (atoms + 4.0), "", "Mamaev Eq. 9, r -> infinity"),
        "qfi_matrix": Predicted(
            state.qfi_matrix.tolist(), "1/rad^2", "Mamaev Eq. 4", "order X+, X-, Y+, Y-"
        ),
        "squeezed_variance": Predicted(
            state.squeezed_variance, "", "<X+^2> = <Y-^2>, Mamaev Eq. S70, in a stable form"
        ),
        "antisqueezed_variance": Predicted(
            state.antisqueezed_variance, "", "<X-^2> = <Y+^2>, Mamaev Eq. 4"
        ),
        "length": Predicted(state.length, "", "<Z1 + Z2>, Mamaev Eq. S70, in a stable form"),
    }


def _gap(spin: float, squeezing: float) -> Predicted:
    unit, source = "rate", "Mamaev Eq. S58, Fig. S4, the charge sector of all atoms down"
    if spin > _GAP_SPIN or squeezing > _GAP_SQUEEZING:
        return Predicted(
            None,
            unit,
            source,
            f"exact up to S = {_GAP_SPIN:g} and r = {_GAP_SQUEEZING:g} here; larger S takes longer "
            "than a second (models.two_mode_squeezing_dynamics.preparation_gap)",
        )
    atoms = round(2.0 * spin)
    return Predicted(preparation_gap(atoms, atoms, squeezing), unit, source)


def _noisy(spin: float, squeezing: float, relaxation: float, dephasing: float) -> MeanField:
    atoms = round(2.0 * spin)
    noise = LocalNoise(atoms, atoms, squeezing, relaxation, dephasing)
    transient = dephasing > 0.0 and relaxation == 0.0
    return mean_field_best_time(noise) if transient else mean_field_steady_state(noise)


def _with_local_noise(
    values: Mapping[str, Any], relaxation: float, dephasing: float
) -> dict[str, Predicted]:
    """Second-order mean field: steady with relaxation, else the best moment on the way."""
    source = "Mamaev Eqs. S60-S67, corrected"
    if dephasing > 0.0 and relaxation == 0.0 and values["S"] > _TRANSIENT_SPIN:
        reason = (
            f"with dephasing alone not integrated above S = {_TRANSIENT_SPIN:g} here; use "
            "models.two_mode_squeezing_mean_field, or cooperativity for N -> infinity"
        )
        return {"xi2_local": Predicted(None, "", source, reason)}
    found = _noisy(values["S"], values["r"], relaxation, dephasing)
    doubts = []
    if found.atoms < _FEW_ATOMS:
        doubts.append(f"N = {found.atoms} is few for a mean field, some 45 % high at N = 8")
    if 4.0 * math.exp(2.0 * values["r"]) > found.atoms:
        doubts.append(
            "e^{2r} above N/4, where the mean field saturates, and where relaxation, however weak, "
            "in the end takes the total spins"
        )
    kind = "steady state" if math.isinf(found.time) else "least over time"
    out = {
        "xi2_local": Predicted(found.xi2, "", source, "; ".join([kind, *doubts])),
        "squeezed_variance_local": Predicted(found.x_plus_square, "", source, kind),
        "length_local": Predicted(found.z1 + found.z2, "", source, kind),
    }
    reason = "" if math.isfinite(found.time) else "a steady state, at any late time"
    best = None if reason else found.time
    return out | {"best_time": Predicted(best, "1/rate", "Mamaev Fig. 3b", reason)}


def _large(cooperativity: float) -> dict[str, Predicted]:
    """What the cooperativity alone says, for N -> infinity."""
    source, remark = "limit of Mamaev Fig. 3", "N -> infinity, best r"
    return {
        "xi2_relaxation": Predicted(
            squeezing_from_relaxation(cooperativity), "", source, f"{remark}; C = N gamma/gamma_-"
        ),
        "xi2_dephasing": Predicted(
            squeezing_from_dephasing(cooperativity),
            "",
            source,
            f"{remark} and best time; C = N gamma/gamma_z",
        ),
        "xi2_fixed_power": Predicted(
            squeezing_at_fixed_power(cooperativity),
            "",
            "Mamaev Eq. 10 with gamma = gamma_0/cosh^2 r",
            f"{remark}, relaxation; C = N gamma_0/gamma_-",
        ),
    }


def compute(values: Mapping[str, Any]) -> dict[str, Predicted]:
    """The state, its preparation, and local noise where asked for; rates in units of gamma."""
    out = _static(two_mode_squeezed_spins(values["S"], values["r"]))
    out["gap"] = _gap(values["S"], values["r"])
    relaxation, dephasing = values["gamma_minus"], values["gamma_z"]
    if relaxation is not None or dephasing is not None:
        out |= _with_local_noise(values, relaxation or 0.0, dephasing or 0.0)
    if values["cooperativity"] is not None:
        out |= _large(values["cooperativity"])
    return out


MODEL = Model(
    name="two_mode_squeezing",
    title="generalised two-mode squeezing of two ensembles",
    paper="Mamaev et al.",
    parameters=(
        Parameter("S", "", "spin of each ensemble (2S atoms)"),
        Parameter("r", "", "squeezing parameter"),
        Parameter("gamma_minus", "rate", "relaxation of every atom on its own", optional=True),
        Parameter(
            "gamma_z", "rate", "dephasing of every atom, D[sigma^z] with Pauli's", optional=True
        ),
        Parameter("cooperativity", "", "N gamma over the rate of one atom", optional=True),
    ),
    compute=compute,
    example={"S": "500", "r": "1", "gamma_minus": "1", "cooperativity": "1000"},
)
