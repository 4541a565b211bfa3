"""Figures of merit of L ensembles with paired detunings and chiral exchange (Chu Sec. IV)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._checks import positive
from ..distributed_sensing import (
    COMMON,
    CURVATURE,
    GRADIENT,
    PATTERNS,
    FourEnsembles,
    Pattern,
    sensing_qfi_matrix,
)
from ..many_ensembles import ManyEnsembles, ManyEnsembleState, many_ensemble_state
from ..many_ensembles_metrology import (
    dephased_qfi,
    entanglement_entropies,
    entanglement_entropy,
    qfi_matrix,
    weighted_qfi,
)
from ..spins import magnetic_numbers
from .shape import Model, Parameter, Predicted

_INFIDELITY = 1e-3
_MOST_AMPLITUDES = 250_000  # four spins of 10.5: beyond, the entropies take seconds
_LARGEST_SPIN = 1000  # of the closed forms: the table of 6j symbols has (2S+1)^2 entries
_MOST_BIPARTITIONED = 8  # ensembles of which all 2^(L-1) - 1 bipartitions are given

_PATTERN_NAMES: dict[Pattern, tuple[str, str]] = {
    "++++": ("qfi_common", "C7"),
    "++--": ("qfi_halves", "C8"),
    "+-+-": ("qfi_alternating", "C9"),
    "+--+": ("qfi_curvature", "C10"),
}
_NOT_FOUR = "only for the four detunings A, B, -B, -A"
_TOO_LARGE = "the state is too large for a prompt answer; take a smaller S"


def compute(values: Mapping[str, Any]) -> dict[str, Predicted]:
    """Information, entanglement and least time; the state depends on ratios of rates only."""
    parameters = ManyEnsembles(
        spin=values["S"],
        rabi_frequency=values["Omega"],
        detunings=values["deltas"],
        exchange=values["chi"],
    )
    sensor = _sensor(parameters)
    state: ManyEnsembleState | None = None
    amplitudes = float(parameters.dimension) ** parameters.ensembles
    if amplitudes <= _MOST_AMPLITUDES:
        state = many_ensemble_state(parameters)
        matrix = qfi_matrix(state)
    elif (
        sensor is not None
        and parameters.rabi_frequency == math.inf
        and parameters.spin <= _LARGEST_SPIN
    ):
        matrix = sensing_qfi_matrix(sensor)
    else:
        raise ValueError(
            f"Argument `S` must leave at most {_MOST_AMPLITUDES} amplitudes (2S+1)^L for an answer "
            f"in a second, but {parameters.ensembles} ensembles of spin {parameters.spin:g} have "
            f"{amplitudes:.3g}: use many_ensemble_state, or Omega=inf with the detunings "
            f"A, B, -B, -A (S up to {_LARGEST_SPIN})."
        )
    out = {
        "qfi_matrix": Predicted(matrix.tolist(), "1/rad^2", "Chu Eq. 27"),
        "qfi_sql": Predicted(
            2.0 * parameters.spin * parameters.ensembles,
            "1/rad^2",
            "2 S L: uncorrelated atoms, weights of +-1",
        ),
    }
    out |= _entanglement(state)
    out |= _relaxation(parameters, state, values["Gamma"])
    out |= _sensing(sensor, matrix, state)
    return out


def _sensor(parameters: ManyEnsembles) -> FourEnsembles | None:
    """Four ensembles with the detunings A, B, -B, -A, or None."""
    d = parameters.detunings
    if len(d) != 4 or not np.allclose(d[:2], [-d[3], -d[2]], rtol=1e-9, atol=0.0):
        return None
    return FourEnsembles(
        parameters.spin, 2.0 * d[0], 2.0 * d[1], parameters.exchange, parameters.rabi_frequency
    )


def _entanglement(state: ManyEnsembleState | None) -> dict[str, Predicted]:
    """Entropies of the bipartitions, and which ensembles each belongs to."""
    source, down = "Chu Fig. 5c-d", "Chu Sec. IV A, product state at weak drive"
    if state is None:
        return {
            "entropies": Predicted(None, "nat", source, _TOO_LARGE),
            "bipartitions": Predicted(None, "", source, _TOO_LARGE),
            "all_down": Predicted(None, "", down, _TOO_LARGE),
        }
    count = state.parameters.ensembles
    if count <= _MOST_BIPARTITIONED:
        entropies = entanglement_entropies(state)
    else:
        sides = [side for size in (1, 2) for side in combinations(range(1, count + 1), size)]
        entropies = {side: entanglement_entropy(state, side) for side in sides}
    return {
        "entropies": Predicted(
            list(entropies.values()), "nat", source, "one for each of `bipartitions`"
        ),
        "bipartitions": Predicted(
            [list(side) for side in entropies],
            "",
            source,
            "ensembles, numbered from 1, on one side"
            + ("" if count <= _MOST_BIPARTITIONED else "; sides of one and two only"),
        ),
        "all_down": Predicted(state.all_down_population, "", down),
    }


def _relaxation(
    parameters: ManyEnsembles, state: ManyEnsembleState | None, decay: float
) -> dict[str, Predicted]:
    """Least time in which the state can form from all atoms down."""
    source = "ln[(1-F(0))/eps]/(2 Gamma <sum Sz>), eps = 1e-3, sharper than Chu Eq. B5"
    if parameters.rabi_frequency == math.inf:
        reason = "the bound diverges: <Sz> = 0 in the large-drive limit"
        return {"t_ss_bound": Predicted(None, "1/rate", source, reason)}
    if state is None:
        return {"t_ss_bound": Predicted(None, "1/rate", source, _TOO_LARGE)}
    rate = 2.0 * positive(decay, "Gamma") * abs(float(np.sum(_mean_projections(state))))
    missing = max(1.0 - state.all_down_population, _INFIDELITY)
    time = math.log(missing / _INFIDELITY) / rate
    return {"t_ss_bound": Predicted(time, "1/rate", source)}


def _mean_projections(state: ManyEnsembleState) -> NDArray[np.float64]:
    """<S_l^z> of each ensemble."""
    m = magnetic_numbers(state.parameters.spin)
    axes = range(state.parameters.ensembles)
    marginals = [state.populations.sum(axis=tuple(k for k in axes if k != axis)) for axis in axes]
    return np.array([m @ p for p in marginals])


def _sensing(
    sensor: FourEnsembles | None, matrix: NDArray[np.float64], state: ManyEnsembleState | None
) -> dict[str, Predicted]:
    """Information of the four patterns of signs, and of the curvature under dephasing."""
    out = {}
    for pattern, (name, number) in _PATTERN_NAMES.items():
        source = f"4 Var of {pattern}, Chu Eqs. 29, {number}"
        value = None if sensor is None else weighted_qfi(matrix, PATTERNS[pattern])
        out[name] = Predicted(value, "1/rad^2", source, _NOT_FOUR if value is None else "")
    for name, noise, text in (
        ("qfi_curvature_common_noise", (COMMON,), "rho_c"),
        ("qfi_curvature_all_noise", (COMMON, GRADIENT), "rho_c+g"),
    ):
        source = f"{text}, Chu Sec. IV B, Fig. 6c"
        value = None
        reason = _NOT_FOUR if sensor is None else _TOO_LARGE
        if sensor is not None and state is not None:
            value, reason = dephased_qfi(state, CURVATURE, noise), ""
        out[name] = Predicted(value, "1/rad^2", source, reason)
    return out


MODEL = Model(
    name="many_ensembles",
    title="L ensembles with paired detunings and chiral exchange",
    paper="Chu et al., Sec. IV",
    parameters=(
        Parameter("S", "", "spin of each ensemble (2S atoms)"),
        Parameter("Omega", "rate", "Rabi frequency of the common drive", infinite=True),
        Parameter("chi", "rate", "chiral exchange"),
        Parameter("deltas", "rate", "detunings of the ensembles, an even number", kind="list"),
        Parameter("Gamma", "rate", "collective decay", 1.0),
    ),
    compute=compute,
    example={"S": "5", "Omega": "30", "chi": "1", "deltas": "0,4,-4,0"},
)
