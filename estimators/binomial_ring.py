"""Likelihoods of independent atoms on an ellipse: binomial, and Gaussian with detection noise.

    L_shot = sum_k w_k p(n1 | p1(theta_k)) p(n2 | p2(theta_k)),
    p_j = b_j + (C_j/2) sin(phi +- theta).

Both are exponential families at every node: the logarithm is a product of the shot's features
and the node's coefficients. Derivatives of the coefficients are complex steps, and with them
the derivatives of the mixture are exact. Differential jitter is a Gauss-Hermite sum in the
binomial, and the covariance g g^T of its slope g in the Gaussian.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, gammaln, ndtr

from .binomial_beliefs import CommonPhase, EllipseAtoms

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

LEAST_JITTER = 1e-8  # rad^2
MOST_NODES = 20000
_STEP = 1e-30
_CHUNK = 400_000
_LEAST_P = 1e-9
_ROUNDING = 1.0 / 12.0  # atoms^2: keeps the Gaussian finite where p(1-p) vanishes
_JITTER_NODES = 9
_REACH = 6.0  # standard deviations of a narrow common phase


def common_phases(count: int, common: CommonPhase | None) -> tuple[Array, Array]:
    """Common phases and their weights, `count` to the full turn."""
    if common is None:
        theta = 2.0 * math.pi * (np.arange(count) + 0.5) / count
        return theta, np.full(count, 1.0 / count)
    reach = min(math.pi, _REACH * common.std)
    some = max(32, math.ceil(count * reach / math.pi), math.ceil(4.0 * reach / common.std))
    offset = reach * (2.0 * (np.arange(some) + 0.5) / some - 1.0)
    turns = np.arange(-math.ceil(common.std) - 1, math.ceil(common.std) + 2)
    weight = np.exp(-0.5 * ((offset[:, None] + 2.0 * math.pi * turns) / common.std) ** 2).sum(1)
    return common.mean + offset, weight / weight.sum()


class AtomsLikelihood:
    """What both models share; parameters are phi and `EllipseAtoms.centre`'s six.

    Args:
        beliefs: atom numbers, detector, and where the parameters are expected.
        common: distribution of the common phase; None: uniform.
        nodes: number of common phases per turn; by default twice pi C S / (noise of one port).

    Raises:
        ValueError: when more nodes are needed than can be afforded.
    """

    name = ""
    resolves_atoms = False

    def __init__(
        self, beliefs: EllipseAtoms, common: CommonPhase | None = None, nodes: int | None = None
    ) -> None:
        self.beliefs = beliefs
        self.common = common
        self._atoms = np.array(beliefs.atoms, dtype=np.float64)
        largest = float(self._atoms.max())
        noise = 0.5 * math.sqrt(largest)
        needed = nodes or max(64, math.ceil(2.0 * math.pi * 0.5 * largest / noise))
        if needed > MOST_NODES:
            raise ValueError(
                f"The likelihood of {largest:g} atoms would need {needed} common phases; it is "
                f"limited to {MOST_NODES}."
            )
        self._theta, self._weight = common_phases(needed, common)
        free = np.flatnonzero(beliefs.standard_deviations > 0.0) + 1
        self._moving = np.concatenate([[0], free]).astype(int)

    @property
    def nodes(self) -> int:
        """Number of common phases."""
        return self._theta.size

    @property
    def fringe_scale(self) -> float:
        """Scale on which the likelihood of a shot changes with phi, radians."""
        return 1.0 / math.sqrt(float(self._atoms.sum()))

    def coefficients(self, phase: complex, parameters: Complex) -> Complex:
        """(nodes, features) of the logarithm of density; the weights are in it."""
        raise TypeError("a measurement model must define its coefficients")

    def features(self, atoms: Array) -> tuple[Array, Array]:
        """(shots, features), and the part of the log density that no parameter moves."""
        raise TypeError("a measurement model must define its features")

    def evaluate(self, atoms: Array, phase: float, parameters: Array) -> tuple[Array, Array]:
        """(shots,) densities per atom^2 and (shots, 7) derivatives by phi and the parameters.

        Derivatives by parameters that are known are left at zero.
        """
        features, base = self.features(atoms)
        table = self.coefficients(phase, parameters.astype(np.complex128)).real
        slopes = np.stack([self._slope(phase, parameters, index) for index in self._moving], axis=1)
        flat = slopes.reshape(len(table), -1)
        densities, by = [], []
        step = max(1, _CHUNK // len(table))
        for start in range(0, len(atoms), step):
            block = features[start : start + step]
            exponent = block @ table.T
            top = exponent.max(axis=1)
            exponent -= top[:, None]
            np.maximum(exponent, -60.0, out=exponent)
            weights = np.exp(exponent, out=exponent)
            total = weights.sum(axis=1)
            density = np.exp(top + base[start : start + step]) * total
            mean = (weights @ flat).reshape(len(block), self._moving.size, -1) / total[
                :, None, None
            ]
            densities.append(density)
            slope = np.zeros((len(block), 7))
            slope[:, self._moving] = np.einsum("spf,sf->sp", mean, block) * density[:, None]
            by.append(slope)
        return np.concatenate(densities), np.concatenate(by)

    def scan(self, counts: Array, phases: Array, nuisances: Array) -> Array:
        """(shots, phases) densities per atom^2 at the given parameters."""
        features, base = self.features(counts)
        columns = []
        for phase in phases:
            table = self.coefficients(float(phase), nuisances.astype(np.complex128)).real
            step = max(1, _CHUNK // len(table))
            columns.append(
                np.concatenate(
                    [
                        np.exp(features[i : i + step] @ table.T + base[i : i + step, None]).sum(1)
                        for i in range(0, len(counts), step)
                    ]
                )
            )
        return np.stack(columns, axis=1)

    def cell_probabilities(
        self, phase: float, nuisances: Array, edges: tuple[Array, Array]
    ) -> tuple[Array, Array]:
        """Probabilities of rectangles of atom numbers, and their (7, …) derivatives.

        Derivatives by parameters that are known are left at zero.
        """
        here = self._cells(phase, nuisances, edges)
        slopes = np.zeros((7, *here.shape))
        for index in self._moving:
            full = np.append(phase, nuisances)
            size = max(1e-5, 1e-4 * abs(float(full[index])))
            lower = size if index < 5 or full[index] > size else 0.0
            up, down = full.copy(), full.copy()
            up[index] += size
            down[index] -= lower
            above, below = (self._cells(float(f[0]), f[1:], edges) for f in (up, down))
            slopes[index] = (above - below) / (size + lower)
        return here, slopes

    def edges(self, phase: float, nuisances: Array, shots: int) -> tuple[Array, Array]:
        """Edges of cells for a check of the fit: equal widths over the fringe, ends open."""
        bins = int(np.clip(round(1.2 * shots**0.37), 4, 24))
        found = []
        for port in (0, 1):
            number = self._atoms[port]
            spread = math.sqrt(0.25 * number + float(nuisances[4])) / number
            half = 0.5 * float(nuisances[port]) + spread
            middle = float(nuisances[2 + port])
            inner = np.unique(
                np.rint(number * (middle + half * np.linspace(-1, 1, bins + 1)[1:-1]))
            )
            found.append(np.concatenate([[-1e9], inner, [1e9]]))
        return found[0], found[1]

    def draw(self, phase: float, parameters: Array, shots: int, rng: np.random.Generator) -> Array:
        """(shots, 2) atom numbers of the model itself."""
        if self.common is None:
            theta = rng.uniform(0.0, 2.0 * math.pi, shots)
        else:
            theta = rng.normal(self.common.mean, self.common.std, shots)
        offset = math.sqrt(max(float(parameters[5]), 0.0)) * rng.standard_normal(shots)
        full = parameters.astype(np.complex128)
        p1, p2 = self._probabilities(phase, full, theta, offset.astype(np.complex128))
        return self._atoms_at(np.column_stack([p1.real, p2.real]), parameters, rng)

    def _atoms_at(self, p: Array, parameters: Array, rng: np.random.Generator) -> Array:
        raise TypeError("a measurement model must define its atom numbers")

    def _slope(self, phase: float, parameters: Array, index: int) -> Array:
        moved = parameters.astype(np.complex128)
        if index:
            moved[index - 1] += 1j * _STEP
        start = complex(phase, 0.0 if index else _STEP)
        slope: Array = self.coefficients(start, moved).imag / _STEP
        return slope

    def _probabilities(
        self, phase: complex, parameters: Complex, theta: Array, offset: Complex | None = None
    ) -> tuple[Complex, Complex]:
        shift = 0.0 if offset is None else offset
        p1 = parameters[2] + 0.5 * parameters[0] * np.sin(phase + shift + theta)
        p2 = parameters[3] + 0.5 * parameters[1] * np.sin(phase + shift - theta)
        return _inside(p1), _inside(p2)

    def _cells(self, phase: float, nuisances: Array, edges: tuple[Array, Array]) -> Array:
        roots, shares = np.zeros(1), np.ones(1)
        if nuisances[5] > LEAST_JITTER:
            roots, shares = np.polynomial.hermite_e.hermegauss(_JITTER_NODES)
        total = np.zeros((edges[0].size - 1, edges[1].size - 1))
        parameters = nuisances.astype(np.complex128)
        for root, share in zip(roots, shares / shares.sum(), strict=True):
            moved = phase + root * math.sqrt(max(float(nuisances[5]), 0.0))
            p1, p2 = self._probabilities(moved, parameters, self._theta)
            first = self._port(0, p1.real, nuisances, edges[0])
            second = self._port(1, p2.real, nuisances, edges[1])
            total += share * (first * self._weight) @ second.T
        return total

    def _port(self, port: int, p: Array, nuisances: Array, edges: Array) -> Array:
        raise TypeError("a measurement model must define the probabilities of its bins")


class BinomialRing(AtomsLikelihood):
    """Atoms told apart: n_j ~ Bin(N_j, p_j). The noise parameter is not in it."""

    name = "binomial"
    resolves_atoms = False

    def features(self, atoms: Array) -> tuple[Array, Array]:
        n, total = atoms, self._atoms
        base = gammaln(total + 1.0) - gammaln(n + 1.0) - gammaln(total - n + 1.0)
        return np.column_stack([np.ones(len(n)), n]), base.sum(axis=1)

    def coefficients(self, phase: complex, parameters: Complex) -> Complex:
        if self._with_jitter(parameters):
            roots, shares = np.polynomial.hermite_e.hermegauss(_JITTER_NODES)
            size = np.sqrt(parameters[5])
            theta = np.tile(self._theta, roots.size)
            offset = np.repeat(roots, self.nodes) * size
            weight = np.outer(shares / shares.sum(), self._weight).ravel()
            p1, p2 = self._probabilities(phase, parameters, theta, offset)
        else:
            weight = self._weight
            p1, p2 = self._probabilities(phase, parameters, self._theta)
        n1, n2 = self._atoms
        constant = n1 * np.log(1.0 - p1) + n2 * np.log(1.0 - p2) + np.log(weight)
        return np.column_stack([constant, np.log(p1 / (1.0 - p1)), np.log(p2 / (1.0 - p2))])

    def _atoms_at(self, p: Array, parameters: Array, rng: np.random.Generator) -> Array:
        return rng.binomial(self._atoms.astype(np.int64), p).astype(np.float64)

    def _with_jitter(self, parameters: Complex) -> bool:
        return self.beliefs.jitter_free or float(parameters[5].real) > LEAST_JITTER

    def _port(self, port: int, p: Array, nuisances: Array, edges: Array) -> Array:
        number = self._atoms[port]
        last = np.clip(np.ceil(edges) - 1.0, -1.0, number)[:, None]
        below = np.where(last < 0.0, 0.0, bdtr(np.maximum(last, 0.0), int(number), p[None, :]))
        return np.diff(below, axis=0)


class IndependentRing(AtomsLikelihood):
    """Large ensembles: normal atom numbers of variance N p (1-p) + noise, and jitter."""

    name = "ring"

    def features(self, atoms: Array) -> tuple[Array, Array]:
        x, y = (atoms / self._atoms - 0.5).T
        return np.column_stack([np.ones_like(x), x, y, x * x, x * y, y * y]), np.zeros(len(x))

    def coefficients(self, phase: complex, parameters: Complex) -> Complex:
        p1, p2 = self._probabilities(phase, parameters, self._theta)
        n1, n2 = self._atoms
        g1 = 0.5 * parameters[0] * np.cos(phase + self._theta)
        g2 = 0.5 * parameters[1] * np.cos(phase - self._theta)
        v1 = self._variance(p1, n1, parameters) / n1**2 + parameters[5] * g1 * g1
        v2 = self._variance(p2, n2, parameters) / n2**2 + parameters[5] * g2 * g2
        v12 = parameters[5] * g1 * g2
        determinant = v1 * v2 - v12 * v12
        a, b, c = v2 / determinant, -v12 / determinant, v1 / determinant
        m1, m2 = p1 - 0.5, p2 - 0.5
        constant = (
            -0.5 * (a * m1 * m1 + 2.0 * b * m1 * m2 + c * m2 * m2)
            - 0.5 * np.log(determinant)
            - math.log(2.0 * math.pi * n1 * n2)
            + np.log(self._weight)
        )
        polynomial: Complex = np.column_stack(
            [constant, a * m1 + b * m2, b * m1 + c * m2, -0.5 * a, -b, -0.5 * c]
        )
        return polynomial

    def _variance(self, p: Complex, number: float, parameters: Complex) -> Complex:
        """Of the atom number read, atoms^2: projection, counting, detection, rounding."""
        gain, background = self.beliefs.gain, self.beliefs.background
        counting = 0.0 if gain is None else (gain * number * p + background) / gain**2
        variance: Complex = number * p * (1.0 - p) + counting + parameters[4] + _ROUNDING
        return variance

    def _atoms_at(self, p: Array, parameters: Array, rng: np.random.Generator) -> Array:
        full = parameters.astype(np.complex128)
        ports = [
            self._variance(p[:, k].astype(np.complex128), float(self._atoms[k]), full).real
            for k in (0, 1)
        ]
        atoms: Array = self._atoms * p + np.sqrt(np.column_stack(ports)) * rng.standard_normal(
            p.shape
        )
        return atoms

    def _port(self, port: int, p: Array, nuisances: Array, edges: Array) -> Array:
        number = float(self._atoms[port])
        variance = self._variance(p.astype(np.complex128), number, nuisances.astype(np.complex128))
        shift = 0.5 if self.beliefs.gain is None else 0.0
        scaled = (edges[:, None] - shift - number * p) / np.sqrt(variance.real)
        return np.diff(ndtr(scaled), axis=0)


def _inside(p: Complex) -> Complex:
    """p within (0, 1); outside it no derivative."""
    low: Complex = np.where(p.real < _LEAST_P, _LEAST_P + 0j, p)
    inside: Complex = np.where(low.real > 1.0 - _LEAST_P, 1.0 - _LEAST_P + 0j, low)
    return inside
