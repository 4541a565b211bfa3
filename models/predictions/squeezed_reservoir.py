"""Figures of merit of a collective spin in a squeezed reservoir (Bai & An Eqs. 7-9)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .._checks import not_negative, whole
from ..squeezed_reservoir import (
    SqueezedReservoir,
    SqueezedState,
    gaussian_xi2,
    squeezed_steady_state,
    squeezing_optimum,
)
from ..squeezed_reservoir_exact import last_antidiagonal
from .shape import Model, Parameter, Predicted

_MOST_ATOMS = 1_000_000
_MOST_ANTIDIAGONALS = 16_000  # of the exact recursion, some seconds
_MOST_FOR_OPTIMUM = 1500
_MOST_FOR_LOSSY_OPTIMUM = 40


def compute(values: Mapping[str, Any]) -> dict[str, Predicted]:
    """Steady state, its optimum over r, and what one atom more does; rates in units of A."""
    squeezing, shift = not_negative(values["r"], "r"), values["shift"]
    parameters = SqueezedReservoir(
        atoms=whole(values["N"], "N", least=1),
        squeezing=squeezing,
        detuning=values["delta"],
        phase=values["alpha"],
        transmission=values["eta"],
    )
    parameters = replace(parameters, detuning=values["delta"] + shift * math.cosh(2.0 * squeezing))
    if not _prompt(parameters):
        raise ValueError(
            "Arguments `N` and `r` must leave an exact state that takes seconds, but are "
            f"{parameters.atoms} and {squeezing:g}: take an even N without detuning (at most "
            f"{_MOST_ATOMS}), a smaller r, or gaussian_xi2, which is accurate while e^(2r) << N."
        )
    state = squeezed_steady_state(parameters)
    return _steady(parameters, state) | _field(parameters) | _optimum(parameters, values)


def _prompt(parameters: SqueezedReservoir) -> bool:
    """Whether the steady state takes seconds at most."""
    atoms = parameters.atoms
    if parameters.transmission < 1.0:
        return True  # the solver itself refuses what is too large
    if atoms > _MOST_ATOMS:
        return False
    dark = atoms % 2 == 0 and parameters.detuning == 0.0
    return dark or last_antidiagonal(atoms, parameters.squeezing) <= _MOST_ANTIDIAGONALS


def _steady(parameters: SqueezedReservoir, state: SqueezedState) -> dict[str, Predicted]:
    """Moments of the steady state."""
    mixed = "Bai & An Eq. 8" if parameters.transmission == 1.0 else "Bai & An Eq. 7, with loss"
    error = f"relative error about {state.error:.0e}" if state.error > 0.0 else ""
    wineland = "N V_min/|<S>|^2, text after Bai & An Eq. 7"
    decibels = 10.0 * math.log10(state.gain) if math.isfinite(state.xi2) else None
    no_spin = "" if decibels is not None else "no mean spin is left"
    axis = state.angle if parameters.squeezing > 0.0 else None
    no_axis = "" if axis is not None else "without squeezing no axis is distinguished"
    return {
        "xi2": Predicted(state.xi2, "", wineland, error),
        "gain": Predicted(decibels, "dB", "-10 log10(xi2)", no_spin),
        "v_min": Predicted(state.v_min, "", mixed, error),
        "v_max": Predicted(state.v_max, "", mixed),
        "spin_length": Predicted(state.spin_length, "", f"|<Sz>|, {mixed}"),
        "axis": Predicted(axis, "rad", "(pi - arg<S_-^2>)/2, from x in the x-y plane", no_axis),
        "xi2_one_more": _one_more(parameters),
        "xi2_gaussian": Predicted(
            gaussian_xi2(parameters), "", "linear limit of Bai & An Eq. 7 for N to infinity"
        ),
    }


def _one_more(parameters: SqueezedReservoir) -> Predicted:
    """xi2 at N+1: near delta = 0 it differs much from that at N."""
    source = "as xi2, with N+1 atoms: the parity of N matters near delta = 0"
    larger = replace(parameters, atoms=parameters.atoms + 1)
    if not _prompt(larger):
        return Predicted(None, "", source, "takes too long at this N and r")
    return Predicted(squeezed_steady_state(larger).xi2, "", source)


def _field(parameters: SqueezedReservoir) -> dict[str, Predicted]:
    """The reservoir and the shift that it is used with."""
    eta = parameters.transmission
    quiet = (1.0 - eta) + eta * math.exp(-2.0 * parameters.squeezing)
    return {
        "detuning": Predicted(
            parameters.detuning, "A", "Delta_N of Bai & An Eq. 7: delta + shift cosh(2r)"
        ),
        "photons": Predicted(parameters.occupation, "", "n = eta sinh(r)^2, Bai & An Eq. 3"),
        "correlation": Predicted(
            abs(parameters.correlation), "", "|M| = eta sinh(r) cosh(r), Bai & An Eq. 3"
        ),
        "field_squeezing": Predicted(
            10.0 * math.log10(1.0 / quiet), "dB", "1 + 2n - 2|M| of the field at the atoms"
        ),
    }


def _optimum(parameters: SqueezedReservoir, values: Mapping[str, Any]) -> dict[str, Predicted]:
    """The r of least xi2 at the same delta and shift, where there is one."""
    sources = "Bai & An Eq. 9", "Bai & An Fig. 3d"
    lossless = parameters.transmission == 1.0
    most = _MOST_FOR_OPTIMUM if lossless else _MOST_FOR_LOSSY_OPTIMUM
    tuned = values["delta"] == 0.0 and values["shift"] == 0.0

    def nothing(reason: str) -> dict[str, Predicted]:
        return {
            "xi2_optimum": Predicted(None, "", sources[0], reason),
            "r_optimum": Predicted(None, "", sources[1], reason),
        }

    if parameters.atoms == 1:
        return nothing("one atom cannot be squeezed")
    if lossless and tuned and parameters.atoms % 2 == 0:
        return nothing(f"no optimum: xi2 falls towards 2/(N+2) = {2 / (parameters.atoms + 2):.3g}")
    if parameters.atoms > most:
        return nothing(f"the search takes too long above N = {most}; use squeezing_optimum")
    found = squeezing_optimum(
        parameters.atoms,
        detuning=values["delta"],
        shift=values["shift"],
        transmission=parameters.transmission,
    )
    fixed = "over r at this delta, shift and eta"
    return {
        "xi2_optimum": Predicted(found.xi2, "", sources[0], fixed),
        "r_optimum": Predicted(found.squeezing, "", sources[1], fixed),
    }


MODEL = Model(
    name="squeezed_reservoir",
    title="collective spin in a squeezed reservoir",
    paper="Bai & An, Eqs. 7-9",
    parameters=(
        Parameter("N", "", "number of atoms"),
        Parameter("r", "", "squeezing of the field, 10 dB is 1.151"),
        Parameter(
            "delta",
            "A",
            "Delta_N, coefficient of Sz in the frame of the squeezed carrier (published: cosh 2r)",
            0.0,
        ),
        Parameter("alpha", "rad", "phase of the squeezed field", 0.0),
        Parameter("eta", "", "transmission of the squeezed field in power", 1.0),
        Parameter(
            "shift",
            "A",
            "Delta of the paper: adds shift cosh(2r) to delta; its figures have 1",
            0.0,
        ),
    ),
    compute=compute,
    example={"N": "100", "r": "1.14", "shift": "1"},
)
