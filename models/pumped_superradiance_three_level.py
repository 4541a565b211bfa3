r"""Pumping through a third level: the effective pump, and how it moves the critical point.

Levels g, e, r; H = -delta J_rr + Omega (J_rg + J_gr) and the collective decays gamma (e to g)
and gamma_r (r to e), Eq. 2. H has no 1/2: the usual Rabi frequency is 2 Omega. For a large
delta this is pumping at w = gamma_r (Omega/delta)^2, with corrections that move the
critical point by more than the width 2/N unless delta >> N^(3/2) gamma_r/5 and
gamma_r >> N gamma: the printed conditions (B14) are not enough for a 1/N sensitivity.
Equation numbers: Shimshi & Shahmoon, "Dissipative phase transition and metrology in
collectively pumped superradiance" (2024).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import root_scalar
from scipy.sparse import coo_array
from scipy.sparse.linalg import splu

from ._checks import finite, not_negative, positive, whole

Array = NDArray[np.float64]

_MOST_UNKNOWNS = 20_000
_MOST_LEVELS = 20_000_000


@dataclass(frozen=True, slots=True)
class ThreeLevelPump:
    """Parameters of the scheme, angular rates in one unit.

    Args:
        atoms: N, at least 1.
        drive: Omega of Eq. 2, half the usual Rabi frequency; not negative.
        detuning: delta, not zero.
        excited_decay: gamma_r, collective decay r to e, above zero.
        decay: gamma, collective decay e to g, above zero.

    Raises:
        ValueError: on any value outside these rules.
    """

    atoms: int
    drive: float
    detuning: float
    excited_decay: float
    decay: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "atoms", whole(self.atoms, "atoms", least=1))
        not_negative(self.drive, "drive")
        if finite(self.detuning, "detuning") == 0.0:
            raise ValueError(f"Argument `detuning` must not be 0, but is {self.detuning!r}.")
        positive(self.excited_decay, "excited_decay")
        positive(self.decay, "decay")

    @classmethod
    def at_pump(
        cls, atoms: int, pump: float, detuning: float, excited_decay: float, decay: float = 1.0
    ) -> ThreeLevelPump:
        """The scheme with the drive that gives a nominal pump w."""
        ratio = not_negative(pump, "pump") / positive(excited_decay, "excited_decay")
        return cls(atoms, abs(detuning) * math.sqrt(ratio), detuning, excited_decay, decay)

    @property
    def nominal_pump(self) -> float:
        """w = gamma_r (Omega/delta)^2 (below Eq. 2), for every m alike."""
        return self.excited_decay * (self.drive / self.detuning) ** 2

    @property
    def light_shift(self) -> float:
        """Omega^2/delta of |g>: H_eff = (Omega^2/delta)(N/2 - Jz); the printed B12 has N - Jz.

        It moves the cavity resonance e-g along a scan of the drive.
        """
        return self.drive**2 / self.detuning

    @property
    def elimination_ratios(self) -> dict[str, float]:
        """Numbers that must be small: the conditions below Eq. 2 and of Eq. B14."""
        n, size = self.atoms, abs(self.detuning)
        return {
            "sqrt(N) Omega/delta": math.sqrt(n) * self.drive / size,
            "N gamma_r/delta": n * self.excited_decay / size,
            "N^2 gamma/delta": n * n * self.decay / size,
            "N gamma/gamma_r": n * self.decay / self.excited_decay,
        }


@dataclass(frozen=True, slots=True)
class EffectivePump:
    """The ensemble with m-dependent pumping; m ascending.

    Attributes:
        rates: (N,) w_m of the steps m to m+1, m = -N/2 … N/2 - 1 (Eq. B15).
        populations: (N+1,) p_m of the steady state.
        mean: <Jz>.
        variance: Var Jz.
    """

    rates: Array = field(repr=False)
    populations: Array = field(repr=False)
    mean: float
    variance: float


@dataclass(frozen=True, slots=True)
class CriticalShift:
    """ln(w_c/gamma): where <Jz> = 0 lies on the scale of the nominal pump.

    Attributes:
        linewidth: from the m-dependence of w_m (Eq. B15), exact for that rate equation.
        linewidth_estimate: its first order, (gamma_r/2 delta)^2 (3 N^2 + 6 N + 1)/10.
        occupation: from the atoms in |r>, (2 N + 1)/(N + 2) gamma/gamma_r, first order.
        in_widths: linewidth plus occupation over the width 2/N of the transition.
    """

    linewidth: float
    linewidth_estimate: float
    occupation: float
    in_widths: float


@dataclass(frozen=True, slots=True)
class ThreeLevelState:
    """Steady state of Eq. 2 without elimination.

    Attributes:
        mean: (N_e - N_g)/2, mean value.
        excited: mean number of atoms in |r>.
        highest_weight: probability of the largest number in |r> that was kept; zero to
            rounding when the truncation does not matter.
    """

    mean: float
    excited: float
    highest_weight: float


def effective_pump(scheme: ThreeLevelPump) -> EffectivePump:
    """Rate equation with w_m = gamma_r Omega^2/(delta^2 + gamma_r^2 (N_e+1)^2/4) (Eq. B15).

    The steady state has p_{m+1}/p_m = w_m/gamma; N_e = N/2 + m.

    Raises:
        ValueError: without drive, or when N exceeds 2e7.
    """
    positive(scheme.drive, "drive")
    logs = _log_reductions(scheme)
    rates = scheme.nominal_pump * np.exp(logs)
    weights, mean, variance = _moments(math.log(scheme.nominal_pump / scheme.decay) + logs)
    return EffectivePump(rates, weights, mean, variance)


def critical_shift(scheme: ThreeLevelPump) -> CriticalShift:
    """How far the critical point lies from the nominal w = gamma (the drive does not matter).

    Both parts are derived here and absent from the paper. The first follows from the width
    of |r>, which grows with N_e. The second: dressed |g> holds epsilon = gamma/gamma_r in
    |r>, so that the rates change by a factor 1 - 2 epsilon and N_g by 1 - epsilon.
    """
    n = float(scheme.atoms)
    logs = _log_reductions(scheme)

    def mean_at(log_pump: float) -> float:
        return _moments(log_pump + logs)[1]

    top = float(-logs[-1]) + 1e-12
    found = float(root_scalar(mean_at, bracket=(-1e-12, top), method="brentq", xtol=1e-15).root)
    kappa = (0.5 * scheme.excited_decay / scheme.detuning) ** 2
    occupation = (2.0 * n + 1.0) / (n + 2.0) * scheme.decay / scheme.excited_decay
    return CriticalShift(
        linewidth=found,
        linewidth_estimate=kappa * (3.0 * n * n + 6.0 * n + 1.0) / 10.0,
        occupation=occupation,
        in_widths=0.5 * n * (found + occupation),
    )


def three_level_steady_state(
    scheme: ThreeLevelPump, *, most_excited: int | None = None
) -> ThreeLevelState:
    """Steady state of Eq. 2 in the symmetric states |n_e, n_r>, without elimination.

    Coherences between different n_e stay zero, which leaves one block per n_e.

    Args:
        scheme: the parameters.
        most_excited: largest number of atoms in |r> to keep; all N by default.

    Raises:
        ValueError: when more than 20000 unknowns remain (N = 37 in full, or N = 1200 with
            3 atoms in |r>).
    """
    n = scheme.atoms
    cap = n if most_excited is None else min(n, whole(most_excited, "most_excited", least=1))
    sizes = np.minimum(n - np.arange(n + 1), cap) + 1
    offsets = np.concatenate(([0], np.cumsum(sizes**2)))
    if offsets[-1] > _MOST_UNKNOWNS:
        raise ValueError(
            f"Argument `scheme` must leave at most {_MOST_UNKNOWNS} unknowns, but N = {n} with "
            f"up to {cap} atoms in |r> has {offsets[-1]}; lower `most_excited`."
        )
    rows, columns, values = _Entries(scheme, sizes, offsets).all()
    diagonal = np.concatenate(
        [offsets[k] + np.arange(size) * (size + 1) for k, size in enumerate(sizes)]
    )
    kept = rows != 0  # the first equation gives way to the trace
    rows = np.concatenate([rows[kept], np.zeros(diagonal.size, dtype=np.int64)])
    columns = np.concatenate([columns[kept], diagonal])
    values = np.concatenate([values[kept], np.ones(diagonal.size)])
    total = int(offsets[-1])
    matrix = coo_array((values, (rows, columns)), shape=(total, total)).tocsc()
    right = np.zeros(total, dtype=np.complex128)
    right[0] = 1.0
    weights: Array = np.real(splu(matrix).solve(right)[diagonal])
    n_e = np.repeat(np.arange(n + 1), sizes)
    n_r = np.concatenate([np.arange(size) for size in sizes])
    n_g = n - n_e - n_r
    return ThreeLevelState(
        mean=0.5 * float(weights @ (n_e - n_g)),
        excited=float(weights @ n_r),
        highest_weight=float(weights[n_r == cap].sum()),
    )


class _Entries:
    """Entries of the Liouvillian over the blocks of equal n_e, row-major in (n_r, n_r')."""

    def __init__(
        self, scheme: ThreeLevelPump, sizes: NDArray[np.int64], offsets: NDArray[np.int64]
    ) -> None:
        self._scheme, self._sizes, self._offsets = scheme, sizes, offsets
        self._rows: list[NDArray[np.int64]] = []
        self._columns: list[NDArray[np.int64]] = []
        self._values: list[NDArray[np.complex128]] = []

    def all(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.complex128]]:
        """Rows, columns and values; equal places are to be added."""
        for k in range(len(self._sizes)):
            self._within(k)
            if k + 1 < len(self._sizes):
                self._decay(k)
                self._pump(k)
        return (
            np.concatenate(self._rows),
            np.concatenate(self._columns),
            np.concatenate(self._values),
        )

    def _within(self, k: int) -> None:
        """-i [H, rho] and the losses of block n_e = k."""
        p, size = self._scheme, int(self._sizes[k])
        r = np.arange(size, dtype=np.float64)
        ground = p.atoms - k - r
        loss = p.decay * k * (ground + 1.0) + p.excited_decay * r * (k + 1.0)
        effective = np.diag(-p.detuning * r - 0.5j * loss)
        hop = p.drive * np.sqrt(r[1:] * ground[:-1])
        effective += np.diag(hop, 1) + np.diag(hop, -1)
        one = np.eye(size)
        block = -1j * np.kron(effective, one) + 1j * np.kron(one, effective.conj())
        row, column = np.nonzero(block)
        self._add(self._offsets[k] + row, self._offsets[k] + column, block[row, column])

    def _decay(self, k: int) -> None:
        """Jumps e to g from n_e = k+1 to k, n_r kept."""
        p, size = self._scheme, int(self._sizes[k + 1])
        r = np.arange(size)
        strength = np.sqrt(p.decay * (k + 1.0) * (p.atoms - k - r))
        self._jump(k + 1, k, r, r, strength)

    def _pump(self, k: int) -> None:
        """Jumps r to e from n_e = k to k+1, n_r lowered."""
        p = self._scheme
        r = np.arange(1, min(int(self._sizes[k]), int(self._sizes[k + 1]) + 1))
        self._jump(k, k + 1, r, r - 1, np.sqrt(p.excited_decay * (k + 1.0) * r))

    def _jump(
        self,
        source: int,
        target: int,
        taken: NDArray[np.int64],
        given: NDArray[np.int64],
        strength: Array,
    ) -> None:
        """strength_i strength_j rho_ij from one block into another."""
        old, new = int(self._sizes[source]), int(self._sizes[target])
        columns = self._offsets[source] + (taken[:, None] * old + taken[None, :])
        rows = self._offsets[target] + (given[:, None] * new + given[None, :])
        values = (strength[:, None] * strength[None, :]).astype(np.complex128)
        self._add(rows.ravel(), columns.ravel(), values.ravel())

    def _add(
        self, rows: NDArray[np.int64], columns: NDArray[np.int64], values: NDArray[np.complex128]
    ) -> None:
        """Keep some entries."""
        self._rows.append(rows)
        self._columns.append(columns)
        self._values.append(values)


def _log_reductions(scheme: ThreeLevelPump) -> Array:
    """ln(w_m/w), w the nominal pump."""
    if scheme.atoms > _MOST_LEVELS:
        raise ValueError(
            f"Argument `scheme` must have at most {_MOST_LEVELS} atoms, but has {scheme.atoms!r}."
        )
    following = np.arange(1, scheme.atoms + 1, dtype=np.float64)
    widths = 0.5 * scheme.excited_decay * following / scheme.detuning
    return -np.log1p(widths * widths)


def _moments(log_ratios: Array) -> tuple[Array, float, float]:
    """p_m, <Jz>, Var Jz from ln(p_{m+1}/p_m)."""
    logs = np.concatenate(([0.0], np.cumsum(log_ratios)))
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    m = np.arange(weights.size) - 0.5 * (weights.size - 1)
    mean = float(weights @ m)
    return weights, mean, float(weights @ (m - mean) ** 2)
