"""Figures of merit of driven ensembles in one superradiant mode (Shen Eqs. 5-25)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._checks import positive, whole
from ..multi_ensemble_superradiance import CoupledEnsembles, OperatingPoint, operating_point
from ..multi_ensemble_superradiance_dark import DarkState, dark_state, hold_time
from ..multi_ensemble_superradiance_sensing import (
    DirectionFigures,
    sensing_figures,
    squeezing_coefficient,
)
from ..multi_ensemble_superradiance_uniform import (
    barrier,
    best_curvature_estimate,
    uniform_dark_state_at_curvature,
    uniform_squeezing_matrix,
)
from .shape import Model, Parameter, Predicted

_RESIDUAL = 1e-2
_MOST_ATOMS_IN_FULL = 10_000_000  # of the exact recursion, a fraction of a second
_MOST_ATOMS_IN_WELL = 1_000_000_000  # where only the levels in a deep well count
_DEEP = 1000.0
_LEAST_FOR_ESTIMATE = 10


def compute(values: Mapping[str, Any]) -> dict[str, Predicted]:
    """The dark state at large N, what it does for n.phi, and how it is made."""
    if not 0.0 < values["K"] <= 1.0:
        raise ValueError(
            "Argument `K` must lie in (0, 1] (a stable point has K > 0, the ground state K = 1), "
            f"but is {values['K']:g}."
        )
    ensembles = CoupledEnsembles(
        fractions=values["fractions"],
        couplings=values["couplings"],
        atoms=whole(values["N"], "N", least=1),
        collective_decay=positive(values["Gamma"], "Gamma"),
    )
    figures = sensing_figures(ensembles, values["K"], values["direction"])
    point = operating_point(ensembles, values["K"])
    state = dark_state(ensembles, point.theta)
    chosen = "" if values["direction"] is not None else "along the best direction"
    return (
        _sensing(figures, state, chosen)
        | _exact(point, figures, chosen)
        | _state(state)
        | _preparation(point, state)
    )


def _sensing(figures: DirectionFigures, state: DarkState, chosen: str) -> dict[str, Predicted]:
    """Squeezing and variance along the direction."""
    lasting = state.ensembles.uniform or state.curvature == 1.0
    plateau = "" if lasting else "a long-lived plateau, not the steady state"
    return {
        "squeezing_matrix": Predicted(
            figures.squeezing_matrix.tolist(), "", "large N, Shen Eqs. 14, 22", plateau
        ),
        "mssc": Predicted(figures.mssc, "", "Shen Eq. 20", chosen),
        "xi2": Predicted(figures.mssc, "", "Shen Eq. 20; the mssc by its symbol", chosen),
        "gain": Predicted(figures.gain_db + 0.0, "dB", "-10 log10(xi2)", chosen),
        "direction": Predicted(list(figures.direction), "", "n of Shen Eq. 19", chosen),
        "xi2_min": Predicted(state.smallest_eigenvalue, "", "Shen Eq. 16, over all directions"),
        "variance": Predicted(figures.variance, "rad^2", "of n.phi per shot, Shen Eq. 123", chosen),
        "variance_shot_noise": Predicted(
            figures.shot_noise_variance,
            "rad^2",
            "sum n_k^2/(N p_k) per shot, Shen Eq. 124; least, (sum |n|)^2/N, at p_k = |n_k|",
            chosen,
        ),
    }


def _exact(point: OperatingPoint, figures: DirectionFigures, chosen: str) -> dict[str, Predicted]:
    """xi2 of the exact steady state at this N, where it is the state that is meant."""
    source = "exact steady state at N atoms, Shen Eq. 21, Fig. 3"
    ensembles, k = point.ensembles, point.curvature
    atoms, reason = ensembles.atoms, ""
    most = _MOST_ATOMS_IN_WELL if barrier(atoms, k) > _DEEP else _MOST_ATOMS_IN_FULL
    if not ensembles.uniform:
        reason = "couplings differ: the steady state is not the dark state; use evolve_exact"
    elif atoms > most:
        reason = f"takes too long at this K above N = {most:g}"
    if reason:
        return {"xi2_exact": Predicted(None, "", source, reason)}
    signs = [1.0 if eta > 0.0 else -1.0 for eta in ensembles.couplings]
    exact = uniform_dark_state_at_curvature(atoms, k)
    matrix = uniform_squeezing_matrix(exact, ensembles.fractions, signs)
    along = squeezing_coefficient(figures.direction, ensembles.p, matrix)
    remarks = [chosen] if chosen else []
    if atoms >= _LEAST_FOR_ESTIMATE and k < best_curvature_estimate(atoms):
        remarks.append("shallow well at this N: a finite hold does better, see best_hold")
    return {"xi2_exact": Predicted(along, "", source, "; ".join(remarks))}


def _state(state: DarkState) -> dict[str, Predicted]:
    """The Gaussian state, whatever is wanted of it."""
    return {
        "purity": Predicted(state.purity, "", "Shen Eq. 131: 1/(|u||v|)"),
        "excitations": Predicted(
            state.excitations.tolist(), "", "local, Shen Eq. 9; must stay well below N_k/2"
        ),
        "photons": Predicted(
            state.total_photons, "", "emitted on the way, sum_k (w_k/K) sin^4(theta_k/2)"
        ),
    }


def _preparation(point: OperatingPoint, state: DarkState) -> dict[str, Predicted]:
    """Pulse, drive and hold."""
    return {
        "theta": Predicted(point.theta, "rad", "angle of the pulse at eta = 1, Shen Eqs. 5, 8"),
        "Omega": Predicted(point.drive, "rate", "drive that balances the decay, Shen Eq. 7"),
        "Omega_critical": Predicted(
            point.critical_drive, "rate", "drive at K = 0, Shen Eq. 7; none is stable above"
        ),
        "dK_dOmega": Predicted(
            point.curvature_per_drive, "1/rate", "slope along the stable branch, Shen Eqs. 5, 7"
        ),
        "relaxation_rate": Predicted(point.relaxation_rate, "rate", "N Gamma nu K, Shen Eq. 12"),
        "hold_time": Predicted(
            hold_time(state, _RESIDUAL), "1/rate", "until 1 % is left, from Shen Eq. 12"
        ),
    }


MODEL = Model(
    name="multi_ensemble_superradiance",
    title="driven ensembles in one superradiant mode",
    paper="Shen et al., Eqs. 5-25",
    parameters=(
        Parameter("N", "", "number of atoms in all"),
        Parameter("fractions", "", "N_k/N of the ensembles, adding to 1", kind="list"),
        Parameter("couplings", "", "eta_k of the ensembles, of either sign", kind="list"),
        Parameter("K", "", "curvature of the potential, in (0, 1]"),
        Parameter(
            "direction",
            "",
            "n of the wanted n.phi, sum |n_k| = 1 by custom; without it the best one",
            kind="list",
            optional=True,
        ),
        Parameter("Gamma", "rate", "collective decay at eta = 1", 1.0),
    ),
    compute=compute,
    example={
        "N": "1000",
        "fractions": "0.5,0.5",
        "couplings": "1,0.7",
        "K": "0.3",
        "direction": "0.5,0.5",
    },
)
