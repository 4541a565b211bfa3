"""Many ensembles: n.phi, gradient and curvature, squeezing matrix, two angles, string order."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from cavitylab.estimators import (
    CombinedPhase,
    CombinedPhaseBeliefs,
    Estimate,
    FourEnsembleBeliefs,
    GradientCurvature,
    SqueezingMatrix,
    SqueezingMatrixBeliefs,
    StringOrder,
    TwoParameterBeliefs,
    TwoParameters,
    combined_phase_bounds,
    fit_conic,
    gradient_curvature_bounds,
    squeezing_matrix_bounds,
    two_parameters_bounds,
)
from cavitylab.estimators.gradient_curvature_model import CURVATURE, GRADIENT
from cavitylab.estimators.string_order import string_order_bounds
from cavitylab.models.chain import Chain
from cavitylab.models.chain_order import finite_string_correlation
from cavitylab.models.chain_sampling import sample_chain
from cavitylab.models.two_mode_squeezing_readout import SequentialReadout

from .campaign import Campaign, Records

Array = NDArray[np.float64]

GAIN, BACKGROUND = 100.0, 50.0

PHASES = np.array([0.05, -0.08, 0.02])
COMBINED = CombinedPhaseBeliefs(
    (1.0, -2.0, 1.0), (50.0,) * 3, (-45.0, -44.0, -46.0), (0.5,) * 3, GAIN, BACKGROUND
)
SPREAD = np.array([[9.0, -6.0, 0.0], [-6.0, 9.0, 0.0], [0.0, 0.0, 16.0]])

FOUR = FourEnsembleBeliefs(200.0, contrast=0.93, gain=20.0, background=50.0)
EIGHT = SqueezingMatrixBeliefs((100.0,) * 8, (50.0,) * 8, GAIN)
PAIR = TwoParameterBeliefs(6.0, 0.5 * math.log(1.7 * 6.0), 1.1)
CHAIN, SITES = Chain(0.5, 0.0, math.sqrt(2.0), 1.0), 12


def _fit(make: Callable[[], object]) -> Callable[..., Estimate]:
    def fit(records: Records, level: float = 0.95) -> Estimate:
        estimator = make()
        estimator.update(records)  # type: ignore[attr-defined]
        return estimator.estimate(level)  # type: ignore[attr-defined,no-any-return]

    return fit


def combined(shots: int) -> Campaign:
    """Three ensembles with correlated noise; slopes off their calibration."""

    def draw(rng: np.random.Generator) -> Records:
        slopes = np.array(COMBINED.slopes) + np.array(COMBINED.slope_stds) * rng.standard_normal(3)
        x = slopes * np.sin(PHASES) + rng.multivariate_normal(np.zeros(3), SPREAD, shots)
        return {"counts": rng.poisson(GAIN * (50.0 + x) + BACKGROUND)}

    def small_angles(records: Records) -> float:
        x = (records["counts"] - BACKGROUND) / GAIN - 50.0
        return float(np.array(COMBINED.direction) @ (x.mean(axis=0) / np.array(COMBINED.slopes)))

    noise = SPREAD + np.eye(3) * (GAIN * 50.0 + BACKGROUND) / GAIN**2
    bound = combined_phase_bounds(COMBINED, PHASES, noise, shots)
    return Campaign(
        "n.phi of three ensembles",
        f"n = ({', '.join(f'{n:g}' for n in COMBINED.direction)}), {shots} shots",
        float(np.array(COMBINED.direction) @ PHASES),
        draw,
        _fit(lambda: CombinedPhase(COMBINED)),
        lambda _: bound,
        limit=1.05,
        coverage_limit=0.95,
        peers={"sine taken as its angle": small_angles},
        quantity="combined_phase",
        time_limit=0.2,
    )


def field(name: str, shots: int, g: float, k: float) -> Campaign:
    """Gradient or curvature under a common phase; contrasts off their calibrations."""
    std = FOUR.contrast_std

    def draw(rng: np.random.Generator) -> Records:
        contrast = np.minimum(FOUR.contrast + std * rng.standard_normal(4), 1.0)
        theta = rng.uniform(0.0, 2.0 * math.pi, shots)[:, None]
        angle = theta + np.array(FOUR.bias) + g * GRADIENT + k * CURVATURE
        atoms = rng.binomial(200, np.clip(0.5 + 0.5 * contrast * np.sin(angle), 0.0, 1.0))
        return {"counts": rng.poisson(20.0 * atoms + 50.0), "seed": int(rng.integers(2**60))}

    def fit(records: Records, level: float = 0.95) -> Estimate:
        estimator = GradientCurvature(FOUR, np.random.default_rng(records["seed"]))
        estimator.update({"counts": records["counts"]})
        return estimator.estimate(level)

    @functools.cache
    def bound(_: float) -> float:
        rng = np.random.default_rng(11)
        index = 0 if name == "gradient" else 1
        return math.sqrt(gradient_curvature_bounds(FOUR, g, k, shots, rng, 10_000)[index, index])

    def conics(records: Records) -> float:
        """Two conics, of ensembles 1 and 2 and of 3 and 4, biases a quarter turn apart.

        Each gives half of |difference|; with a small field the sign is that of the bias.
        """
        halves = []
        for first, second in ((0, 1), (2, 3)):
            found = fit_conic(*np.asarray(records["counts"], dtype=float)[:, [first, second]].T)
            if not found.usable:
                return math.nan
            halves.append(2.0 * found.phase - 0.5 * math.pi)
        # phi_1 - phi_2 = g + 2 k - pi/2 and phi_3 - phi_4 = g - 2 k + pi/2 are pi - 2 phi apart
        first_pair, second_pair = halves[0], -halves[1]
        if name == "gradient":
            return 0.5 * (first_pair + second_pair)
        return 0.25 * (first_pair - second_pair)

    return Campaign(
        f"{name} of four ensembles",
        f"g = {g:g}, k = {k:g}, {shots} shots",
        g if name == "gradient" else k,
        draw,
        fit,
        bound,
        limit=1.15,
        coverage_limit=0.95,
        peers={"two direct conics": conics},
        quantity=name,
        time_limit=0.2,
    )


def smallest(least: float, shots: int) -> Campaign:
    """Eight ensembles; value by cross-fit, interval of the direction from an independent half."""
    values = np.ones(8)
    values[0] = least
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((8, 8)))[0]
    null = least == 1.0

    def draw(rng: np.random.Generator) -> Records:
        x = (rng.standard_normal((shots, 8)) * np.sqrt(values)) @ turn.T * 5.0
        return {"counts": rng.poisson(GAIN * (50.0 + x))}

    def plug_in(records: Records) -> float:
        scaled = records["counts"] * EIGHT.scale
        noise = records["counts"].mean(axis=0) * EIGHT.scale**2
        return float(np.linalg.eigvalsh(np.cov(scaled, rowvar=False) - np.diag(noise))[0])

    noise = np.full(8, GAIN * 50.0) * EIGHT.scale**2
    matrix = (turn * values) @ turn.T
    bound = squeezing_matrix_bounds(matrix, noise, shots)
    return Campaign(
        "smallest eigenvalue, M = 8" + (", null" if null else ""),
        f"({least:g}, 1, ...), {shots} shots",
        least,
        draw,
        _fit(lambda: SqueezingMatrix(EIGHT)),
        lambda _: math.nan if null else bound,
        coverage_limit=0.94,
        peers={"smallest sample eigenvalue": plug_in},
        quantity="smallest_eigenvalue",
        time_limit=0.2,
        bias_limit=0.05 if null else 0.3,
    )


def pair(method: str, shots: int, truth: tuple[float, float] = (0.02, 0.015)) -> Campaign:
    """Both angles of a two-mode squeezed pair; A is judged."""
    readout = SequentialReadout(PAIR.spin, PAIR.squeezing, PAIR.strength)

    def draw(rng: np.random.Generator) -> Records:
        drawn = readout.sample(*truth, shots, rng)
        return {"x": drawn.x, "y": drawn.y1 - drawn.y2}

    bound = math.sqrt(two_parameters_bounds(PAIR, *truth, shots)[0, 0])
    exact = method == "exact"
    return Campaign(
        f"two angles, {method}",
        f"A = {truth[0]:g}, B = {truth[1]:g}, {shots} shots",
        truth[0],
        draw,
        _fit(lambda: TwoParameters(PAIR, "exact" if exact else "linear")),
        lambda _: bound,
        limit=1.1 if exact else None,
        coverage_limit=0.945,
        quantity="angle_a",
    )


def string(distance: int, shots: int) -> Campaign:
    """Ground state of the chain at S = 1/2; 3 % readout errors inverted."""
    positions = range(1, SITES // 2 - distance)
    exact = float(
        np.mean([finite_string_correlation(CHAIN, SITES, k, k + distance) for k in positions])
    )
    wrong = 0.03
    assignment = np.array([[1.0 - wrong, wrong], [wrong, 1.0 - wrong]])

    def seen(rng: np.random.Generator, number: int) -> NDArray[np.int64]:
        counts = sample_chain(CHAIN, SITES, number, rng)
        flipped: NDArray[np.int64] = np.where(rng.random(counts.shape) < wrong, 1 - counts, counts)
        return flipped

    def make(rng: np.random.Generator, matrix: Array | None = assignment) -> StringOrder:
        return StringOrder(0.5, SITES, distance, rng, assignment=matrix)

    def fit(records: Records, level: float = 0.95) -> Estimate:
        estimator = make(np.random.default_rng(records["seed"]))
        estimator.update({"counts": records["counts"]})
        return estimator.estimate(level)

    def uncorrected(records: Records) -> float:
        estimator = make(np.random.default_rng(0), None)
        return float(estimator.correlators(records["counts"]).mean())

    @functools.cache
    def bound(_: float) -> float:
        rng = np.random.default_rng(12)
        return string_order_bounds(make(rng).correlators(seen(rng, 20_000)), shots)

    peers: Mapping[str, Callable[[Records], float]] = {"readout errors left in": uncorrected}
    return Campaign(
        "string order",
        f"L = {SITES}, {distance} cells apart, {shots} shots",
        exact,
        lambda rng: {"counts": seen(rng, shots), "seed": int(rng.integers(2**60))},
        fit,
        bound,
        limit=1.1,
        coverage_limit=0.945,
        peers=peers,
    )


def rows() -> list[Campaign]:
    """Every estimator of many ensembles over its documented range."""
    return [
        combined(200),
        combined(1000),
        field("gradient", 200, 0.11, -0.2),
        field("curvature", 200, 0.11, -0.2),
        field("gradient", 1000, 0.11, -0.2),
        smallest(1.0, 50),
        smallest(1.0, 200),
        smallest(0.2, 50),
        smallest(0.2, 200),
        pair("exact", 200),
        pair("linear", 200),
        string(1, 300),
        string(2, 300),
    ]
