r"""From laser and cavity settings to the two-mode squeezing dissipation, and back.

Two cavity modes a and b of energy loss rate kappa each carry one jump (Mamaev Sec. X): in
mode a a Raman drive at G_- lowers atoms of ensemble 1 and one at G_+ raises atoms of
ensemble 2, in mode b the same with the ensembles exchanged. Eliminating the cavity,

    gamma = 4 (G_-^2 - G_+^2) / kappa,   tanh r = G_+ / G_-                 (Mamaev S54-S56).

A drive H = (Omega/2)|e><s| + h.c. at detuning Delta and a coupling g |s'><e| a^+ + h.c. give
G = g Omega / (2 Delta), hence gamma = g^2 Omega~^2 / kappa exactly as (S56) has up to its "~";
with H = Omega |e><s| + h.c. the same Omega gives four times that. All rates angular, one unit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from ._checks import finite, not_negative, positive, whole
from .two_mode_squeezing import checked_squeezing

DriveConvention = Literal["half", "full"]


@dataclass(frozen=True, slots=True)
class RamanSettings:
    """Drives of one cavity mode; the other mode takes the same with the ensembles exchanged.

    Args:
        coupling: g of one atom.
        loss: kappa, the energy loss rate of the mode.
        rabi_minus, detuning_minus: the drive that lowers.
        rabi_plus, detuning_plus: the drive that raises. G_+ must be smaller than G_-.
        convention: "half" for H = (Omega/2)|e><s| + h.c., "full" without the 1/2.

    Raises:
        ValueError: on rates that are not above zero (rabi_plus may be 0), detunings of 0 or of
            opposite signs, or G_+ >= G_- (there is then no steady state).
    """

    coupling: float
    loss: float
    rabi_minus: float
    detuning_minus: float
    rabi_plus: float
    detuning_plus: float
    convention: DriveConvention = "half"

    def __post_init__(self) -> None:
        positive(self.coupling, "coupling")
        positive(self.loss, "loss")
        positive(self.rabi_minus, "rabi_minus")
        not_negative(self.rabi_plus, "rabi_plus")
        if (
            finite(self.detuning_minus, "detuning_minus")
            * finite(self.detuning_plus, "detuning_plus")
            <= 0.0
        ):
            raise ValueError(
                "Arguments `detuning_minus` and `detuning_plus` must have the same sign and not "
                f"be 0, but are {self.detuning_minus!r} and {self.detuning_plus!r}."
            )
        if self.convention not in ("half", "full"):
            raise ValueError(
                f"Argument `convention` must be 'half' or 'full', but is {self.convention!r}."
            )
        if self.raman_plus >= self.raman_minus:
            raise ValueError(
                "Argument `rabi_plus` must keep G_+ below G_-, but "
                f"G_+/G_- is {self.raman_plus / self.raman_minus:g}."
            )

    @property
    def raman_minus(self) -> float:
        """G_-, the rate of H = G_- (O^+ a + h.c.)."""
        return self._raman(self.rabi_minus, self.detuning_minus)

    @property
    def raman_plus(self) -> float:
        """G_+."""
        return self._raman(self.rabi_plus, self.detuning_plus)

    @property
    def squeezing(self) -> float:
        """r = artanh(G_+/G_-)."""
        return math.atanh(self.raman_plus / self.raman_minus)

    @property
    def collective_rate(self) -> float:
        """gamma of the jumps cosh r O1 + sinh r O2^+."""
        below, above = self.raman_minus - self.raman_plus, self.raman_minus + self.raman_plus
        return 4.0 * below * above / self.loss

    @property
    def bare_rate(self) -> float:
        """gamma_0 = 4 G_-^2 / kappa = gamma cosh^2 r: what the laser power fixes."""
        return 4.0 * self.raman_minus**2 / self.loss

    def scattering_rate(self, linewidth: float) -> float:
        """Off-resonant scattering of one atom from both drives, Gamma (Omega/2 Delta)^2 each.

        It enters the relaxation and dephasing rates up to branching factors.

        Args:
            linewidth: Gamma of the excited state.
        """
        ratio_minus = self.raman_minus / self.coupling
        ratio_plus = self.raman_plus / self.coupling
        return positive(linewidth, "linewidth") * (ratio_minus**2 + ratio_plus**2)

    def elimination_ratios(self, atoms: int) -> dict[str, float]:
        """Small numbers that eliminating the cavity asks for; trust the map while all << 1.

        Returns:
            "collective": N gamma_0 / kappa, "raman": G_-/kappa, "excited": the larger of the
            amplitudes Omega/(2 Delta).
        """
        drives = max(self.raman_minus, self.raman_plus) / self.coupling
        return {
            "collective": whole(atoms, "atoms", least=1) * self.bare_rate / self.loss,
            "raman": self.raman_minus / self.loss,
            "excited": drives,
        }

    def _raman(self, rabi: float, detuning: float) -> float:
        factor = 0.5 if self.convention == "half" else 1.0
        return abs(factor * self.coupling * rabi / detuning)


def raman_settings_for(
    squeezing: float,
    bare_rate: float,
    *,
    coupling: float,
    loss: float,
    detuning_minus: float,
    detuning_plus: float,
    convention: DriveConvention = "half",
) -> RamanSettings:
    """Rabi frequencies for a wanted r and gamma_0 = gamma cosh^2 r (Mamaev S56, inverted).

    Raises:
        ValueError: as `RamanSettings`, or on an r so large that G_+/G_- rounds to 1.
    """
    r = checked_squeezing(squeezing)
    raman = 0.5 * math.sqrt(positive(bare_rate, "bare_rate") * positive(loss, "loss"))
    factor = 0.5 if convention == "half" else 1.0
    per_coupling = raman / (factor * positive(coupling, "coupling"))
    return RamanSettings(
        coupling=coupling,
        loss=loss,
        rabi_minus=per_coupling * abs(finite(detuning_minus, "detuning_minus")),
        detuning_minus=detuning_minus,
        rabi_plus=per_coupling * math.tanh(r) * abs(finite(detuning_plus, "detuning_plus")),
        detuning_plus=detuning_plus,
        convention=convention,
    )


def squeezing_error(squeezing: float, relative_ratio_error: float) -> float:
    """Error of r from a relative error of the amplitude ratio G_+/G_-.

    dr = d(ratio) cosh^2 r = relative error * sinh(2r)/2; 1 % is 0.14 at r = 2.
    """
    error = not_negative(relative_ratio_error, "relative_ratio_error")
    return 0.5 * error * math.sinh(2.0 * checked_squeezing(squeezing))
