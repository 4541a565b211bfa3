r"""From lasers and cavities to the rates of the models: collective decay and chiral exchange.

Two ways to the exchange chi of `many_ensembles`. In one cavity, pairs of Raman tones
Omega' and i Omega', q Zeeman steps apart, couple ensembles at the distance q; every
distance needs its own pair. In a one-way network of cavities it comes with the decay,
chi = Gamma. All rates are angular and in one unit; 2G is the single-atom vacuum Rabi
splitting. Source: Chu et al., "Reconfigurable dissipative entanglement", App. G.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ._checks import dimension_of, finite, not_negative, positive, whole

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RamanTones:
    """Drives that give L ensembles the same exchange at every distance.

    Attributes:
        separations: q * zeeman_step for q = 1 … L-1, the tone spacing of each pair.
        rabi_frequency: Omega' of both tones of every pair; the second one is shifted by
            pi/2.
        exchange: chi that results.
        uncompensated_shift: coefficient of sum_l S_l^+ S_l^- that all pairs leave behind.
        compensation_rabi_frequency: of one tone at the opposite cavity detuning that
            cancels it.
        excited_ratio: Rabi frequency/|delta_e| of the strongest tone, which is the
            compensation; small where the excited state may be eliminated.
        cavity_ratio: its two-photon coupling times sqrt(S), over |delta_c|; small where the
            cavity may be eliminated.
        resolution_ratio: S |chi| (L-1)/zeeman_step; small where other distances average out.
    """

    separations: tuple[float, ...]
    rabi_frequency: float
    exchange: float
    uncompensated_shift: float
    compensation_rabi_frequency: float
    excited_ratio: float
    cavity_ratio: float
    resolution_ratio: float


def cavity_decay(coupling: float, linewidth: float) -> float:
    """Gamma = 4 G^2/kappa_c, the collective decay through a resonant cavity.

    Args:
        coupling: G, half the single-atom vacuum Rabi splitting.
        linewidth: kappa_c, the full width at half maximum of the cavity.
    """
    return 4.0 * not_negative(coupling, "coupling") ** 2 / positive(linewidth, "linewidth")


def coupling_for_decay(decay: float, linewidth: float) -> float:
    """G that gives the collective decay `decay`: the inverse of `cavity_decay`."""
    return 0.5 * math.sqrt(not_negative(decay, "decay") * positive(linewidth, "linewidth"))


def cooperativity(decay: float, loss: float) -> float:
    """C = Gamma/gamma of one atom, gamma its decay into all other modes."""
    return not_negative(decay, "decay") / positive(loss, "loss")


def raman_exchange(
    rabi_frequency: float, coupling: float, excited_detuning: float, cavity_detuning: float
) -> float:
    """chi = (2/delta_c)(Omega' G/delta_e)^2 between ensembles at one distance.

    Args:
        rabi_frequency: Omega' of both tones of the pair.
        coupling: G, half the single-atom vacuum Rabi splitting.
        excited_detuning: delta_e of the tones from the excited state, not zero.
        cavity_detuning: delta_c of the Raman transition from the cavity, not zero; its
            sign is the sign of chi.

    From Chu Eq. G3, whose second term is (chi/2) i sum_l (S_l^+ S_{l+q}^- - h.c.).
    """
    return 2.0 * _second_order(rabi_frequency, coupling, excited_detuning, cavity_detuning)


def raman_shift(
    rabi_frequency: float, coupling: float, excited_detuning: float, cavity_detuning: float
) -> float:
    """Coefficient of sum_l S_l^+ S_l^- that one pair of tones leaves behind.

    (2/delta_c)(Omega' G/delta_e)^2: both tones contribute, where Chu Eq. G3 counts one.
    Equal to the chi of the pair.
    """
    return 2.0 * _second_order(rabi_frequency, coupling, excited_detuning, cavity_detuning)


def raman_tones(
    exchange: float,
    ensembles: int,
    spin: float,
    zeeman_step: float,
    coupling: float,
    excited_detuning: float,
    cavity_detuning: float,
) -> RamanTones:
    """Tones for the exchange `exchange` between all pairs of L ensembles.

    The pairs of different distances must start from frequencies of their own, so far
    apart that no tone of one pair meets a tone of another at a multiple of the Zeeman step.

    Args:
        exchange: wanted chi, with the sign of `cavity_detuning`.
        ensembles: L, at least 2.
        spin: S of each ensemble, for the ratios that must be small.
        zeeman_step: difference of the transition frequencies of neighbours, above zero.
        coupling: G, half the single-atom vacuum Rabi splitting.
        excited_detuning: delta_e, not zero.
        cavity_detuning: delta_c, not zero.

    Raises:
        ValueError: on a chi of the wrong sign, or any value outside these rules.
    """
    dimension_of(spin)
    count = whole(ensembles, "ensembles", least=2)
    step = positive(zeeman_step, "zeeman_step")
    unit = raman_exchange(1.0, positive(coupling, "coupling"), excited_detuning, cavity_detuning)
    square = finite(exchange, "exchange") / unit
    if square <= 0.0:
        raise ValueError(
            "Argument `exchange` must have the sign of `cavity_detuning` and not be 0, but is "
            f"{exchange!r} with cavity_detuning {cavity_detuning!r}."
        )
    rabi = math.sqrt(square)
    strongest = rabi * math.sqrt(2.0 * (count - 1))
    two_photon = strongest * coupling / abs(excited_detuning)
    return RamanTones(
        separations=tuple(q * step for q in range(1, count)),
        rabi_frequency=rabi,
        exchange=float(exchange),
        uncompensated_shift=(count - 1) * float(exchange),
        compensation_rabi_frequency=strongest,
        excited_ratio=strongest / abs(excited_detuning),
        cavity_ratio=two_photon * math.sqrt(spin) / abs(cavity_detuning),
        resolution_ratio=spin * abs(exchange) * (count - 1) / step,
    )


def network_rates(coupling: float, linewidth: float) -> tuple[float, float]:
    """(Gamma, chi) of a one-way network of cavities, both 4 G^2/kappa_c.

    The phases of the waveguide must be those of `network_phases` (Chu Eqs. G4-G5 with the
    cavities eliminated).
    """
    rate = cavity_decay(coupling, linewidth)
    return rate, rate


def network_phases(ensembles: int) -> Array:
    """phi_l of the running wave, pi from one cavity to the next, modulo 2 pi."""
    count = whole(ensembles, "ensembles", least=2)
    return np.array([math.pi * (place % 2) for place in range(count)], dtype=np.float64)


def _second_order(
    rabi_frequency: float, coupling: float, excited_detuning: float, cavity_detuning: float
) -> float:
    """(1/delta_c)(Omega' G/delta_e)^2, what one tone alone puts in front of S_l^+ S_l^-."""
    for value, name in (
        (excited_detuning, "excited_detuning"),
        (cavity_detuning, "cavity_detuning"),
    ):
        if finite(value, name) == 0.0:
            raise ValueError(f"Argument `{name}` must not be 0.")
    two_photon = not_negative(rabi_frequency, "rabi_frequency") * not_negative(coupling, "coupling")
    return (two_photon / excited_detuning) ** 2 / cavity_detuning
