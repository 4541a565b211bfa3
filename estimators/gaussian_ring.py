"""Gaussian ring: likelihood of raw counts for large ensembles or noisy counting.

At a common phase theta the two atom numbers are taken as jointly normal with the state's own
means and covariance; counting noise is added; theta is averaged over K nodes:

    L_shot = (1/K) sum_k N(c1, c2; mean(theta_k), V(theta_k)),
    m_j = sin(beta) (S_jx sin(theta_j) + S_jy cos(theta_j)) + cos(beta) S_jz,
    theta_1,2 = theta +- phi.

Single-atom fringes are not in it: it is for states that are not far beyond the ring's own
width (`fringe_parameter` <= 0.2).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from ..models.two_ensembles import TwoEnsembles, steady_state
from .ellipse_beliefs import EllipseBeliefs, natural

Array = NDArray[np.float64]

LARGEST_FRINGE_PARAMETER = 0.2
MOST_NODES = 20000
_EFFICIENCY = ((0.0, 0.18, 0.28, 0.85, 1.7, 10.0), (1.0, 0.96, 0.88, 0.60, 0.48, 0.2))
_CHUNK = 100_000  # shots times nodes at once
_BLOCK = 32  # shots at once at least: the near nodes are copied for every block
_FAR = 30.0  # logarithm of a density: nodes so far below a shot's nearest are left out
_TIGHT = 0.5  # correlation of two counts above which their shared part needs more nodes
_STEPS = (1e-6, 1e-5, 1e-5, 1e-5)


def fringe_parameter(beliefs: EllipseBeliefs) -> float:
    """q' = q / (1 + 2 sigma^2/(S xi^2)), q = 1/(4 xi^3 sqrt(S)): weight of single-atom fringes."""
    state = steady_state(TwoEnsembles(beliefs.spin, 1.0, abs(beliefs.detuning_ratio)))
    squeezing = state.xi2
    q = 1.0 / (4.0 * squeezing**1.5 * math.sqrt(beliefs.spin))
    return float(q) / (1.0 + 2.0 * beliefs.counting_noise**2 / (beliefs.spin * squeezing))


def expected_efficiency(parameter: float) -> float:
    """Share of the information at phi = pi/4 that a Gaussian ring keeps at a given q'."""
    return float(np.interp(parameter, *_EFFICIENCY))


class RingLikelihood:
    """Density of counts at any parameters, by Gaussians on a ring of common phases.

    The five parameters are phi, ln(Delta/Omega), ln(beta), ln(gain) and background.

    Args:
        beliefs: where the nuisances are expected; they fix the number of nodes.
        nodes: number of common phases; by default 1.5 times what the narrowest noise needs.

    Raises:
        ValueError: when more nodes are needed than can be afforded.
    """

    def __init__(self, beliefs: EllipseBeliefs, nodes: int | None = None) -> None:
        self._beliefs = beliefs
        self._scale = beliefs.gain * beliefs.spin
        self._offset = beliefs.gain * beliefs.spin + beliefs.background
        probe = _moments_at(beliefs.spin, math.pi / 4.0, beliefs.centre, _angles(256))
        noise = beliefs.gain**-1 * math.sqrt(float(min(probe[2].min(), probe[4].min())))
        length = self._radius(beliefs)
        needed = max(64, math.ceil(1.5 * math.pi * length / noise))
        if needed > MOST_NODES:
            raise ValueError(
                f"The Gaussian ring would need {needed} common phases for noise of "
                f"{noise:.3g} atoms on a ring of {length:.3g}; it is limited to {MOST_NODES}."
            )
        self._theta = _angles(nodes if nodes is not None else needed)
        self._noise, self._length = noise, length

    @property
    def nodes(self) -> int:
        """Number of common phases."""
        return self._theta.size

    @property
    def name(self) -> str:
        """Name of the measurement model."""
        return "gaussian_ring"

    @property
    def resolves_atoms(self) -> bool:
        """Whether single-atom fringes are in the model."""
        return False

    @property
    def fringe_scale(self) -> float:
        """Scale on which the likelihood of a shot changes with phi, radians."""
        return self._noise / (math.sqrt(2.0) * self._length)

    def evaluate(self, counts: Array, phase: float, nuisances: Array) -> tuple[Array, Array]:
        """(shots,) densities and their (shots, 5) derivatives by the five parameters."""
        polynomial = self._polynomials(phase, nuisances).T
        slopes = self._polynomial_slopes(phase, nuisances)
        by_node = slopes.transpose(1, 0, 2).reshape(self.nodes, -1)
        monomials = self._monomials(counts)
        step = max(_BLOCK, _CHUNK // self.nodes)
        densities, by = [], []
        for start in range(0, len(counts), step):
            block = monomials[start : start + step]
            exponent = block @ polynomial
            top = exponent.max(axis=1, keepdims=True)
            exponent -= top
            # Shots come in order, so that most nodes are far from all shots of a block.
            near = exponent.max(axis=0) > -_FAR
            weights = np.exp(exponent[:, near])
            scale = np.exp(top[:, 0]) / self.nodes
            densities.append(scale * weights.sum(axis=1))
            mean_slopes = (weights @ by_node[near]).reshape(len(block), 5, 6)
            by.append(np.einsum("spm,sm->sp", mean_slopes, block) * scale[:, None])
        return np.concatenate(densities), np.concatenate(by)

    def scan(self, counts: Array, phases: Array, nuisances: Array) -> Array:
        """(shots, phases) densities at the given nuisances."""
        monomials = self._monomials(counts)
        step = max(1, _CHUNK // self.nodes)
        columns = []
        for phase in phases:
            polynomial = self._polynomials(float(phase), nuisances)
            rows = [
                np.exp(monomials[i : i + step] @ polynomial.T).mean(axis=1)
                for i in range(0, len(counts), step)
            ]
            columns.append(np.concatenate(rows))
        return np.stack(columns, axis=1)

    def cell_probabilities(
        self, phase: float, nuisances: Array, edges: tuple[Array, Array]
    ) -> tuple[Array, Array]:
        """Probabilities of rectangles of counts and their derivatives by the five parameters."""
        centre = self._cells(phase, nuisances, edges)
        slopes = []
        for index in range(5):
            # One-sided: to the thousandth that a test's correction for fitted parameters needs.
            step = 0.1 * self._step(index)
            moved = self._cells(*_moved(phase, nuisances, index, step), edges)
            slopes.append((moved - centre) / step)
        return centre, np.stack(slopes)

    def moments(self, phase: float, nuisances: Array, theta: Array) -> tuple[Array, ...]:
        """Means, variances and covariance of the counts at common phases theta."""
        return _moments_at(self._beliefs.spin, phase, nuisances, theta)

    def node_weights(self, nuisances: Array) -> Array | None:
        """(nodes,) weights that add to 1; None: all the same."""
        return None

    def _radius(self, beliefs: EllipseBeliefs) -> float:
        state = steady_state(TwoEnsembles(beliefs.spin, 1.0, abs(beliefs.detuning_ratio)))
        return 0.5 * abs(state.spin_length_x) * math.sin(beliefs.pulse_area)

    def _step(self, index: int) -> float:
        """Step of the central difference: well below the scale on which a node moves."""
        if index == 4:
            return 1e-5 * self._scale
        return _STEPS[index] if index else 1e-3 * self.fringe_scale

    def _monomials(self, counts: Array) -> Array:
        u = (counts - self._offset) / self._scale
        x, y = u[:, 0], u[:, 1]
        return np.column_stack([np.ones_like(x), x, y, x * x, x * y, y * y])

    def _polynomials(self, phase: float, nuisances: Array) -> Array:
        """(nodes, 6): log density of every node as a polynomial in the scaled counts."""
        m1, m2, v1, v12, v2 = self.moments(phase, nuisances, self._theta)
        m1, m2 = (m1 - self._offset) / self._scale, (m2 - self._offset) / self._scale
        v1, v12, v2 = (value / self._scale**2 for value in (v1, v12, v2))
        determinant = v1 * v2 - v12 * v12
        a, b, c = v2 / determinant, -v12 / determinant, v1 / determinant
        constant = (
            -0.5 * (a * m1 * m1 + 2.0 * b * m1 * m2 + c * m2 * m2)
            - 0.5 * np.log(determinant)
            - math.log(2.0 * math.pi * self._scale**2)
        )
        weights = self.node_weights(nuisances)
        if weights is not None:
            constant = constant + np.log(np.maximum(weights * m1.size, 1e-300))
        return np.column_stack([constant, a * m1 + b * m2, b * m1 + c * m2, -0.5 * a, -b, -0.5 * c])

    def _polynomial_slopes(self, phase: float, nuisances: Array) -> Array:
        """(5, nodes, 6): derivatives of the polynomials by the parameters.

        Central differences of the nodes' few coefficients; the sums over shots and nodes
        are then exact derivatives of the mixture.
        """
        slopes = []
        for index in range(5):
            step = self._step(index)
            up = self._polynomials(*_moved(phase, nuisances, index, step))
            down = self._polynomials(*_moved(phase, nuisances, index, -step))
            slopes.append((up - down) / (2.0 * step))
        return np.stack(slopes)

    def _cells(self, phase: float, nuisances: Array, edges: tuple[Array, Array]) -> Array:
        """Rectangle probabilities: the covariance is a shared normal variable, by quadrature."""
        m1, m2, v1, v12, v2 = self.moments(phase, nuisances, self._theta)
        correlation = v12 / np.sqrt(v1 * v2)
        shared = np.sqrt(np.abs(correlation))
        own = np.sqrt(np.maximum(1.0 - np.abs(correlation), 1e-6))
        tight = float(np.abs(correlation).max()) > _TIGHT
        roots, weights = np.polynomial.hermite_e.hermegauss(15 if tight else 9)
        sides = []
        for mean, variance, sign, edge in (
            (m1, v1, np.ones_like(shared), edges[0]),
            (m2, v2, np.sign(correlation), edges[1]),
        ):
            width = np.sqrt(variance)
            centre = mean[:, None] + (width * sign * shared)[:, None] * roots
            borders = np.concatenate([[-np.inf], edge[1:-1] - 0.5, [np.inf]])
            scaled = (borders[:, None, None] - centre) / (width * own)[:, None]
            sides.append(np.diff(ndtr(scaled), axis=0).reshape(edge.size - 1, -1))
        own_weights = self.node_weights(nuisances)
        if own_weights is None:
            own_weights = np.full(self.nodes, 1.0 / self.nodes)
        share = np.outer(own_weights, weights / weights.sum()).ravel()
        cells: Array = (sides[0] * share) @ sides[1].T
        return cells


def spin_covariance(spin: float, ratio: float) -> tuple[Array, Array]:
    """Means and symmetrised covariance of (S1x, S1y, S1z, S2x, S2y, S2z) in the steady state.

    The state is dark, (S1^- + S2^-)|psi> = 0, so that S1^-|psi> steps only from |J,-J> to
    |J+1,-J-1>, and every second moment is a sum over J.
    """
    state = steady_state(TwoEnsembles(spin, 1.0, ratio))
    p = state.weights
    j = np.arange(p.size, dtype=np.float64)
    c = np.where(j % 2 == 0, 1.0, -1.0) * np.sqrt(p)
    squares = (2.0 * spin - j) * (2.0 * spin + j + 2.0) / (2.0 * j + 3.0)
    lower = np.sqrt(np.maximum(squares * (2.0 * j + 2.0), 0.0))  # D^- from |J,-J>
    flip = 0.5 * float(c[1:] @ (c[:-1] * lower[:-1]))  # <S1^->
    double = 0.25 * float(c[2:] @ (c[:-2] * lower[:-2] * lower[1:-1]))  # <S1^- S1^->
    tilt = -0.25 * float(c[1:] @ ((j[:-1] + 1.0) * c[:-1] * lower[:-1]))  # <S1z S1^->
    mean_square_j = float(p @ (j * j))
    z_square = 0.25 * (mean_square_j + 0.25 * state.qfi)
    z_cross = 0.25 * (mean_square_j - 0.25 * state.qfi)
    transverse = spin * (spin + 1.0) - z_square
    exchange = transverse - 0.5 * state.mean_J  # <S1^+ S1^-> = -<S1^+ S2^->
    half = 0.5 * flip
    own = np.diag([0.5 * (transverse + double), 0.5 * (transverse - double), z_square])
    own[0, 2] = own[2, 0] = tilt + half
    cross = np.diag([-0.5 * (exchange + double), 0.5 * (double - exchange), z_cross])
    cross[0, 2], cross[2, 0] = tilt, -tilt
    return _assemble(own, cross, flip, -0.5 * state.mean_J)


def _assemble(own: Array, cross: Array, length: float, z: float) -> tuple[Array, Array]:
    """(6,) means and (6, 6) covariance; ensemble 2 has the opposite x."""
    turn = np.diag([-1.0, 1.0, 1.0])
    second = np.zeros((6, 6))
    second[:3, :3] = own
    second[3:, 3:] = turn @ own @ turn
    second[:3, 3:] = cross
    second[3:, :3] = cross.T
    means = np.array([length, 0.0, z, -length, 0.0, z])
    return means, second - np.outer(means, means)


def _moments_at(spin: float, phase: float, nuisances: Array, theta: Array) -> tuple[Array, ...]:
    """Mean counts m1, m2 and covariance v1, v12, v2 of the counts at common phases theta."""
    ratio, area, gain, background = natural(nuisances)
    background = max(float(background), 0.0)
    means, covariance = spin_covariance(spin, float(ratio))
    axes = []
    for angle in (theta + phase, theta - phase):
        transverse = np.stack([np.sin(angle), np.cos(angle)]) * math.sin(area)
        axes.append(np.vstack([transverse, np.full_like(theta, math.cos(area))]))
    first = spin + means[:3] @ axes[0]
    second = spin + means[3:] @ axes[1]
    blocks = ((0, 0), (0, 1), (1, 1))
    v1, v12, v2 = (
        np.einsum("ik,ij,jk->k", axes[a], covariance[3 * a : 3 * a + 3, 3 * b : 3 * b + 3], axes[b])
        for a, b in blocks
    )
    return (
        gain * first + background,
        gain * second + background,
        gain**2 * v1 + gain * first + background,
        gain**2 * v12,
        gain**2 * v2 + gain * second + background,
    )


def _angles(count: int) -> Array:
    return 2.0 * math.pi * (np.arange(count) + 0.5) / count


def _moved(phase: float, nuisances: Array, index: int, step: float) -> tuple[float, Array]:
    if index == 0:
        return phase + step, nuisances
    moved = nuisances.copy()
    moved[index - 1] += step
    return phase, moved
