"""Figures of merit of two ensembles under detuned collective decay (Chu Sec. III)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .._checks import not_negative, positive
from ..cumulants import DecayingEnsembles
from ..cumulants_trajectory import cumulant_trajectory
from ..dissipative_gap import dissipative_gap, perturbative_gap
from ..relaxation import compiles, relax_until
from ..relaxation_generator import generator, spectral_ellipse
from ..relaxation_window import kernel
from ..two_ensembles import (
    SteadyState,
    TwoEnsembles,
    relaxation_time_bound,
    relaxation_time_estimate,
    steady_state,
)
from ..working_point import (
    evaluate_working_point,
    summed_detection_noise,
    working_point,
)
from .shape import Model, Parameter, Predicted

_INFIDELITY = 1e-3

# What keeps every answer within about a second. The exact relaxation costs some 10 ns for
# each entry of the density matrix and each term of its expansion, the exact gap some 300 ns,
# a cumulant trajectory 150 us for each radian of the drive.
_RELAXATION_WORK = 1e8
_RELAXATION_SPIN = 6.0
_COMPILED_RELAXATION_WORK = 3e8  # at 2 to 4 ns
_COMPILED_RELAXATION_SPIN = 10.0
_GAP_WORK = 2.5e6
_GAP_SPIN = 4.0
_CUMULANT_RADIANS = 5e3
_LARGEST_SPIN = 1e7
_LARGEST_PERTURBATIVE = 1e5
_LARGEST_EXCHANGE_SEARCH = 5e3


def _static(state: SteadyState) -> dict[str, Predicted]:
    return {
        "xi2": Predicted(state.xi2, "", "Chu Eq. 12"),
        "qfi": Predicted(state.qfi, "1/rad^2", "Chu Eq. 10"),
        "spin_length": Predicted(state.spin_length, "", "Chu Eq. 11"),
        "variance": Predicted(state.variance, "", "Var(S1y+S2y) = <J>/2, text before Chu Eq. 10"),
        "mean_J": Predicted(state.mean_J, "", "Chu Eqs. 8, 9"),
    }


def compute(values: Mapping[str, Any]) -> dict[str, Predicted]:
    """Steady state, times, and what was asked for; rates in one unit, times in its inverse."""
    parameters = TwoEnsembles(
        spin=values["S"],
        rabi_frequency=values["Omega"],
        detuning_difference=values["Delta"],
        exchange=values["chi"],
        collective_decay=values["Gamma"],
    )
    if parameters.spin > _LARGEST_SPIN:
        raise ValueError(
            f"Argument `S` must be at most {_LARGEST_SPIN:g} for an answer in seconds, but is "
            f"{parameters.spin:g}."
        )
    state = steady_state(parameters)
    out = _static(state)
    out["gap"] = _gap(parameters)
    out["t_ss"] = _relaxation_time(state)
    out["t_ss_bound"] = Predicted(
        relaxation_time_bound(state, _INFIDELITY),
        "1/rate",
        "ln(1/eps)/(4 Gamma Var), sharper than Chu Eq. 13",
    )
    if values["gamma"] is not None or values["t"] is not None:
        out["xi2_t"] = _decaying(parameters, values["gamma"], values["t"])
    if values["sigma"] is not None:
        out |= _detected(state, values["sigma"])
    return out


def _gap(parameters: TwoEnsembles) -> Predicted:
    """Exact where that takes a second, perturbative where that holds."""
    kappa = parameters.spin * abs(parameters.detuning_ratio)
    drive = parameters.rabi_frequency / (parameters.spin * parameters.collective_decay)
    unit, source = "rate", "Chu App. F, Eqs. F11, F12"
    if parameters.spin <= _GAP_SPIN and _gap_work(parameters, drive) <= _GAP_WORK:
        return Predicted(dissipative_gap(parameters), unit, "Chu App. F, exact Liouvillian")
    if parameters.exchange != 0.0:
        return Predicted(
            None, unit, source, "with exchange exactly only, where that takes a second (small S)"
        )
    if kappa > 1.0 or drive < 2.0:
        return Predicted(
            None,
            unit,
            source,
            "perturbation theory needs S Delta/Omega <= 1 and Omega >= 2 S Gamma; exact only for "
            "small S (models.dissipative_gap: up to S = 8, in longer than a second)",
        )
    if parameters.spin > _LARGEST_PERTURBATIVE:
        return Predicted(None, unit, source, f"not computed above S = {_LARGEST_PERTURBATIVE:g}")
    remark = "perturbative, for Omega >> S Gamma; some 10 % low at Omega = 2 S Gamma"
    return Predicted(perturbative_gap(parameters), unit, source, remark)


def _gap_work(parameters: TwoEnsembles, drive: float) -> float:
    """Entries of the density matrix times radians turned in the time that tells modes apart."""
    ratio, size = parameters.detuning_ratio, 2.0 * parameters.spin + 1.0
    if parameters.exchange == 0.0:
        if ratio**2 < 1e-12:
            return math.inf
        duration = 0.7 / (perturbative_gap(parameters) * min(1.0, drive**2))
    else:
        duration = 2.0 / parameters.collective_decay
    turning = math.hypot(parameters.rabi_frequency, 0.5 * parameters.detuning_difference)
    turning += abs(parameters.exchange) * parameters.spin
    emitting = parameters.collective_decay * size**2
    return size**4 * duration * (4.0 * parameters.spin * turning + 0.25 * emitting)


def _relaxation_time(state: SteadyState) -> Predicted:
    """The exact time where it is quickly had, else the rule fitted to exact times."""
    parameters = state.parameters
    exact = _exact_relaxation_time(state)
    if exact is not None:
        source = "1 - F = 1e-3 from all atoms down (before Chu Eq. 13), exact"
        return Predicted(exact, "1/rate", source)
    source = "5-8/(Gamma Var), rule fitted to exact times"
    if parameters.exchange != 0.0:
        return Predicted(None, "1/rate", source, "no rule with exchange; exact for small S only")
    kappa = parameters.spin * abs(parameters.detuning_ratio)
    remark = "estimate, an upper one for S Delta/Omega >= 2"
    if kappa < 2.0:
        remark = "estimate, measured down to S Delta/Omega = 1 only" if kappa < 1.0 else "estimate"
    if parameters.rabi_frequency < parameters.spin * parameters.collective_decay:
        remark = "estimate for Omega >= S Gamma; a weaker drive takes longer, as 1/Omega^2"
    return Predicted(relaxation_time_estimate(state, _INFIDELITY), "1/rate", source, remark)


def _exact_relaxation_time(state: SteadyState) -> float | None:
    """t_ss, or None where it would take longer than about a second to compute."""
    parameters = state.parameters
    if parameters.spin > _COMPILED_RELAXATION_SPIN:
        return None
    work = _RELAXATION_WORK
    if compiles(parameters) and kernel() is not None:
        work = _COMPILED_RELAXATION_WORK
    elif parameters.spin > _RELAXATION_SPIN:
        return None
    system = generator(parameters)
    reach = spectral_ellipse(system)
    longest = work / (system.size**2 * reach.imaginary)
    # No time found so far is below 2.5 times the bound: not worth beginning.
    if longest < 2.5 * relaxation_time_bound(state, _INFIDELITY):
        return None
    try:
        found = relax_until(parameters, _INFIDELITY, points=1, longest=longest)
    except ValueError:
        return None
    return float(found.times[-1])


def _decaying(parameters: TwoEnsembles, gamma: float | None, t: float | None) -> Predicted:
    """Squeezing after a time t with single-spin decay, by the cumulant equations."""
    source = "Chu Eqs. E1-E6, second-order cumulants, large-spin variance"
    if parameters.exchange != 0.0:
        return Predicted(None, "", source, "the cumulant equations have no exchange")
    decay = 0.0 if gamma is None else not_negative(gamma, "gamma")
    if t is None:
        return Predicted(None, "", source, "give `t`, the time from all atoms down")
    pair = DecayingEnsembles(
        parameters.spin,
        parameters.rabi_frequency,
        parameters.detuning_difference,
        decay,
        parameters.collective_decay,
    )
    time = positive(t, "t")
    radians = time * math.hypot(pair.rabi_frequency, 0.5 * pair.detuning_difference)
    radians += time * pair.atoms * pair.collective_decay
    if radians > _CUMULANT_RADIANS:
        return Predicted(
            None,
            "",
            source,
            f"Omega t + 2S Gamma t of {radians:.3g} takes longer than a second (at most "
            f"{_CUMULANT_RADIANS:g} here); use models.cumulants_trajectory",
        )
    found = cumulant_trajectory(pair, [time])
    if not bool(found.large_spin_variance_valid[0]):
        return Predicted(None, "", source, "the closed variance is not positive at this time")
    doubts = []
    if not bool(found.drive_in_range):
        doubts.append("Omega below 0.4 S Gamma, where the closure fails")
    if not bool(found.physical[0]):
        doubts.append("unphysical moments")
    if not doubts:
        doubts.append("relaxes more slowly than the exact state")
    return Predicted(float(found.large_spin_xi2[0]), "", source, "; ".join(doubts))


def _detected(state: SteadyState, sigma: float) -> dict[str, Predicted]:
    """One shot's phase error with counting noise, here and at the best Delta/Omega."""
    source = "Chu Eqs. 10-12 with detection noise"
    noise = summed_detection_noise(sigma)
    here = evaluate_working_point(state.parameters, noise)
    out = {
        "phase_std": Predicted(
            math.sqrt(here.phase_variance), "rad", source, "one shot at this Delta/Omega"
        )
    }
    names = (("best_detuning_ratio", ""), ("best_phase_std", "rad"), ("best_gain_db", "dB"))
    exchange = state.parameters.exchange / state.parameters.rabi_frequency
    reason = ""
    if noise == 0.0:
        reason = "without detection noise best at Delta/Omega -> 0, where the signal vanishes"
    elif exchange != 0.0 and state.parameters.spin > _LARGEST_EXCHANGE_SEARCH:
        reason = f"with exchange not searched above S = {_LARGEST_EXCHANGE_SEARCH:g}"
    if reason:
        return out | {name: Predicted(None, unit, source, reason) for name, unit in names}
    best = working_point(state.parameters.spin, noise, exchange_ratio=exchange)
    found = (best.detuning_ratio, math.sqrt(best.phase_variance), best.gain_db)
    remarks = ("", "one shot", "over 1/sqrt(4S)")
    return out | {
        name: Predicted(value, unit, source, remark)
        for (name, unit), value, remark in zip(names, found, remarks, strict=True)
    }


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
        Parameter("gamma", "rate", "decay of every spin on its own (with t)", optional=True),
        Parameter("t", "1/rate", "time from all atoms down, for xi2_t", optional=True),
        Parameter("sigma", "atoms", "noise of each ensemble's count (std)", optional=True),
    ),
    compute=compute,
    example={"S": "50", "Omega": "100", "Delta": "10", "gamma": "0.1", "t": "2", "sigma": "1"},
)
