"""Combined phase, squeezing matrix, gradient and curvature, string order, two angles."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom, kstest

from cavitylab.estimators.combined_phase import (
    CombinedPhase,
    CombinedPhaseBeliefs,
    combined_phase_bounds,
)
from cavitylab.estimators.gradient_curvature import GradientCurvature, gradient_curvature_bounds
from cavitylab.estimators.gradient_curvature_model import (
    CURVATURE,
    GRADIENT,
    FourEnsembleBeliefs,
    FourEnsembleLikelihood,
)
from cavitylab.estimators.records import RecordError
from cavitylab.estimators.squeezing_matrix import SqueezingMatrix, SqueezingMatrixBeliefs
from cavitylab.estimators.string_order import StringOrder
from cavitylab.estimators.two_parameters import (
    PairLikelihood,
    TwoParameterBeliefs,
    TwoParameters,
    two_parameters_bounds,
)
from cavitylab.models.chain import Chain
from cavitylab.models.chain_order import finite_string_correlation
from cavitylab.models.chain_sampling import sample_chain
from cavitylab.models.two_mode_squeezing_readout import SequentialReadout

BAND, FALSE_ALARM = 3.9, 1e-4

PHASES = np.array([0.05, -0.08, 0.02])
COMBINED = CombinedPhaseBeliefs(
    (1.0, -2.0, 1.0), (50.0,) * 3, (-45.0, -44.0, -46.0), (0.5,) * 3, 100.0, 50.0
)
SPREAD = np.array([[9.0, -6.0, 0.0], [-6.0, 9.0, 0.0], [0.0, 0.0, 16.0]])
FOUR = FourEnsembleBeliefs(200.0, gain=20.0, background=50.0)
PAIR = TwoParameterBeliefs(4.0, 0.5 * math.log(1.7 * 4.0), 1.1)


def phase_counts(rng: np.random.Generator, shots: int) -> np.ndarray:
    """Counts of three ensembles; slopes off their calibration."""
    slopes = np.array(COMBINED.slopes) + 0.5 * rng.standard_normal(3)
    x = slopes * np.sin(PHASES) + rng.multivariate_normal(np.zeros(3), SPREAD, shots)
    return rng.poisson(100.0 * (50.0 + x) + 50.0)


def field_counts(
    rng: np.random.Generator, g: float, k: float, shots: int, spread: float = 1.0
) -> np.ndarray:
    """Counts of four ensembles with binomial atoms; contrasts off their calibrations."""
    contrast = 0.93 + 0.02 * spread * rng.uniform(-1.0, 1.0, 4)
    theta = rng.uniform(0.0, 2.0 * math.pi, shots)[:, None]
    angle = theta + np.array(FOUR.bias) + g * GRADIENT + k * CURVATURE
    atoms = rng.binomial(200, 0.5 + 0.5 * contrast * np.sin(angle))
    return rng.poisson(20.0 * atoms + 50.0)


def fitted(estimator, records: dict, level: float = 0.95):
    estimator.update(records)
    return estimator.estimate(level)


def test_the_combined_phase_is_at_its_bound_and_covers() -> None:
    """n.phi with counting noise and contrasts free: rmse/bound at most 1.05 with its band."""
    rng, shots = np.random.default_rng(1), 200
    found = [
        fitted(CombinedPhase(COMBINED), {"counts": phase_counts(rng, shots)})["combined_phase"]
        for _ in range(600)
    ]
    truth = float(np.array(COMBINED.direction) @ PHASES)
    noise = SPREAD + np.eye(3) * 5050.0 / 100.0**2
    bound = combined_phase_bounds(COMBINED, PHASES, noise, shots)
    errors = np.array([q.value for q in found]) - truth
    assert abs(errors.mean()) < BAND * errors.std() / math.sqrt(600)
    assert math.sqrt(np.mean(errors**2)) < 1.05 * bound * (1.0 + BAND / math.sqrt(1200))
    inside = sum(q.interval[0] <= truth <= q.interval[1] for q in found)
    assert inside >= 600 * 0.95 - BAND * math.sqrt(600 * 0.95 * 0.05)


def test_a_phase_at_the_top_of_its_fringe_is_flagged() -> None:
    """Beyond a quarter turn the sine says nothing more."""
    counts = np.tile([[9700.0, 5050.0, 5050.0], [9750.0, 5100.0, 5000.0]], (20, 1))
    found = fitted(CombinedPhase(COMBINED), {"counts": counts})
    assert any("top" in flag for flag in found.flags)
    assert found["phase_1"].interval == pytest.approx((-math.pi / 2, math.pi / 2))
    assert found["combined_phase"].interval == pytest.approx(found.identifiable)
    assert found["phase_2"].std < 0.1


def matrix_counts(rng: np.random.Generator, shots: int, values: np.ndarray) -> np.ndarray:
    """Counts of eight ensembles whose squeezing matrix has these eigenvalues."""
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((8, 8)))[0]
    x = (rng.standard_normal((shots, 8)) * np.sqrt(values)) @ turn.T * 5.0
    return rng.poisson(100.0 * (50.0 + x))


EIGHT = SqueezingMatrixBeliefs((100.0,) * 8, (50.0,) * 8, 100.0)


@pytest.mark.parametrize("least", [1.0, 0.2])
def test_the_smallest_eigenvalue_fakes_no_squeezing(least: float) -> None:
    """Null: mean within 5 %, split interval covers; (.2, 1, …): mean within 30 %, never below."""
    rng, values = np.random.default_rng(2), np.ones(8)
    values[0] = least
    shots = 50 if least == 1.0 else 200
    found = [
        fitted(SqueezingMatrix(EIGHT), {"counts": matrix_counts(rng, shots, values)})
        for _ in range(200)
    ]
    mean = np.mean([f["smallest_eigenvalue"].value for f in found])
    assert abs(mean - least) < (0.05 if least == 1.0 else 0.3) * least + 0.01
    if least == 1.0:
        inside = sum(
            f["along_direction"].interval[0] <= 1.0 <= f["along_direction"].interval[1]
            for f in found
        )
        assert inside >= 200 * 0.94 - BAND * math.sqrt(200 * 0.94 * 0.06)


def test_errors_of_the_lengths_widen_the_intervals() -> None:
    """Lengths off by their 4 % all together: covered with `length_stds`, missed without."""
    rng, direction = np.random.default_rng(12), np.ones(8)
    values, runs, hits = np.linspace(0.5, 1.5, 8), 60, {0.0: 0, 2.0: 0}
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((8, 8)))[0]
    truth = float(direction @ (turn * values) @ turn.T @ direction) / 8.0
    for _ in range(runs):
        counts = matrix_counts(rng, 1000, values)
        off = 1.0 + 0.04 * rng.standard_normal()
        for std in hits:
            beliefs = SqueezingMatrixBeliefs(
                (100.0,) * 8, (50.0 * off,) * 8, 100.0, length_stds=(std,) * 8
            )
            found = fitted(SqueezingMatrix(beliefs, direction), {"counts": counts})
            low, high = found["along_direction"].interval
            hits[std] += low <= truth <= high
    assert hits[2.0] >= binom.ppf(FALSE_ALARM, runs, 0.95)
    assert hits[0.0] < binom.ppf(FALSE_ALARM, runs, 0.95)
    with pytest.raises(ValueError, match="length_stds"):
        SqueezingMatrixBeliefs((100.0,) * 2, (50.0,) * 2, length_stds=(1.0, -1.0))


def test_the_p_value_of_no_squeezing_comes_from_the_null() -> None:
    """Squeezed data are told from the null; a generator is needed for it."""
    values = np.ones(8)
    values[0] = 0.2
    counts = matrix_counts(np.random.default_rng(3), 100, values)
    matrix = SqueezingMatrix(EIGHT, null_draws=99, rng=np.random.default_rng(4))
    assert fitted(matrix, {"counts": counts}).diagnostics["p_value_no_squeezing"] == 0.01
    with pytest.raises(ValueError, match="rng"):
        SqueezingMatrix(EIGHT, null_draws=10)


def test_gradient_and_curvature_are_found_with_their_signs() -> None:
    """Both unbiased, near their bound, covered, p-values not absurd; 30 runs of 200 shots."""
    rng, runs = np.random.default_rng(5), 30
    truth = {"gradient": 0.11, "curvature": -0.2}
    found = [
        fitted(GradientCurvature(FOUR, rng), {"counts": field_counts(rng, 0.11, -0.2, 200)})
        for _ in range(runs)
    ]
    bound = np.sqrt(np.diag(gradient_curvature_bounds(FOUR, 0.11, -0.2, 200, rng, 4000)))
    for index, (name, true) in enumerate(truth.items()):
        errors = np.array([f[name].value for f in found]) - true
        assert abs(errors.mean()) < BAND * errors.std() / math.sqrt(runs)
        rmse = math.sqrt(np.mean(errors**2))
        assert rmse < 1.15 * bound[index] * (1.0 + BAND / math.sqrt(2.0 * runs))
        inside = sum(f[name].interval[0] <= true <= f[name].interval[1] for f in found)
        assert inside >= runs * 0.95 - BAND * math.sqrt(runs * 0.95 * 0.05) - 1
    p_values = [f.goodness_of_fit.p_value for f in found]
    assert kstest(p_values, "uniform").pvalue > FALSE_ALARM


def test_scores_and_nodes_of_the_four_ensembles() -> None:
    """Analytic scores against differences; twice the nodes give the same density."""
    rng = np.random.default_rng(6)
    likelihood = FourEnsembleLikelihood(FOUR, field_counts(rng, 0.1, 0.1, 30))
    x = np.concatenate([[0.08, 0.12], 0.3 * rng.standard_normal(8)])
    logs, scores = likelihood.shots(x)
    for index in range(10):
        step = np.zeros(10)
        step[index] = 1e-6
        slope = (likelihood.shots(x + step)[0] - likelihood.shots(x - step)[0]) / 2e-6
        assert scores[:, index] == pytest.approx(slope, rel=1e-4, abs=1e-4 * np.abs(slope).max())
    nodes = 2 * FOUR.nodes
    likelihood.theta = 2.0 * math.pi * (np.arange(nodes) + 0.5) / nodes
    assert likelihood.shots(x)[0] == pytest.approx(logs, abs=5e-3)


CHAIN = Chain(0.5, 0.0, math.sqrt(2.0), 1.0)


def test_string_order_of_a_chain_and_inverted_readout_errors() -> None:
    """Mean of simulated chains at the exact value, with and without 3 % errors; it covers."""
    rng, runs, shots = np.random.default_rng(8), 60, 300
    exact = np.mean([finite_string_correlation(CHAIN, 12, k, k + 2) for k in (1, 2, 3)])
    assignment = np.array([[0.97, 0.03], [0.03, 0.97]])
    for matrix in (None, assignment):
        found = []
        for _ in range(runs):
            counts = sample_chain(CHAIN, 12, shots, rng)
            if matrix is not None:
                counts = np.where(rng.random(counts.shape) < 0.03, 1 - counts, counts)
            order = StringOrder(0.5, 12, 2, rng, assignment=matrix)
            found.append(fitted(order, {"counts": counts})["string_order"])
        values = np.array([q.value for q in found])
        assert abs(values.mean() - exact) < BAND * values.std() / math.sqrt(runs)
        inside = sum(q.interval[0] <= exact <= q.interval[1] for q in found)
        assert inside >= runs * 0.945 - BAND * math.sqrt(runs * 0.945 * 0.055)


def test_two_angles_beat_the_linear_estimate() -> None:
    """Exact likelihood: unbiased, near its bound; both methods cover."""
    rng, runs, truth = np.random.default_rng(9), 30, (0.02, 0.015)
    readout = SequentialReadout(PAIR.spin, PAIR.squeezing, PAIR.strength)
    bound = np.sqrt(np.diag(two_parameters_bounds(PAIR, *truth, 200)))
    errors: dict[str, list[list[float]]] = {"exact": [], "linear": []}
    inside = dict.fromkeys(errors, 0)
    for _ in range(runs):
        shots = readout.sample(*truth, 200, rng)
        for method in errors:
            found = fitted(TwoParameters(PAIR, method), {"x": shots.x, "y": shots.y1 - shots.y2})
            both = [found["angle_a"], found["angle_b"]]
            errors[method].append([q.value - t for q, t in zip(both, truth, strict=True)])
            inside[method] += all(
                q.interval[0] <= t <= q.interval[1] for q, t in zip(both, truth, strict=True)
            )
    rmse = {m: np.sqrt(np.mean(np.square(e), axis=0)) for m, e in errors.items()}
    assert np.all(rmse["exact"] < 1.1 * bound * (1.0 + BAND / math.sqrt(2.0 * runs)))
    assert np.all(rmse["exact"] < rmse["linear"])
    for method in errors:
        assert inside[method] >= runs * 0.9 - BAND * math.sqrt(runs * 0.09)


@pytest.mark.parametrize("method", ["exact", "linear"])
def test_an_angle_beyond_the_search_is_not_determined(method) -> None:
    """Flagged, with the whole range as interval; the other angle keeps its own."""
    rng = np.random.default_rng(4)
    x, y = rng.normal(20.0, 1.0, 40), rng.integers(-1, 2, 40)
    found = fitted(TwoParameters(PAIR, method), {"x": x, "y": y})
    assert any("angle_a is not determined: " in flag for flag in found.flags)
    assert found["angle_a"].interval == pytest.approx(found.identifiable)


def test_an_ensemble_with_less_contrast_than_believed_is_not_fitted() -> None:
    """One of four at half of its contrast: which it is, is said, and nothing is determined."""
    rng, beliefs = np.random.default_rng(6), FourEnsembleBeliefs(100)
    theta = rng.uniform(0.0, 2.0 * math.pi, (300, 1))
    angle = theta + np.asarray(beliefs.bias) + 0.1 * GRADIENT + 0.05 * CURVATURE
    share = 0.5 + 0.5 * np.array([0.95, 0.95, 0.4, 0.95]) * np.sin(angle)
    found = fitted(GradientCurvature(beliefs, rng), {"counts": rng.binomial(100, share)})
    assert "not determined: the contrast of ensemble 3" in found.flags[0]
    assert found["gradient"].interval == pytest.approx(found.identifiable)


def test_the_density_of_both_records_sums_to_one() -> None:
    """Sum over y and the grid of x."""
    x, _, density = PairLikelihood(PAIR, np.zeros((2, 1))).density(np.array([0.02, 0.01]))
    assert density.sum() * (x[1] - x[0]) == pytest.approx(1.0, abs=1e-9)


def test_blocks_give_the_same_as_all_at_once() -> None:
    """Every estimator of this file, split anywhere, to 1e-9."""
    rng = np.random.default_rng(10)
    shots = SequentialReadout(PAIR.spin, PAIR.squeezing, PAIR.strength).sample(0.0, 0.01, 60, rng)
    cases = [
        (lambda: CombinedPhase(COMBINED), {"counts": phase_counts(rng, 60)}),
        (lambda: SqueezingMatrix(EIGHT), {"counts": matrix_counts(rng, 60, np.ones(8))}),
        (
            lambda: GradientCurvature(FOUR, np.random.default_rng(1)),
            {"counts": field_counts(rng, 0.1, 0.1, 60)},
        ),
        (
            lambda: StringOrder(0.5, 8, 1, np.random.default_rng(1)),
            {"counts": sample_chain(CHAIN, 8, 60, rng)},
        ),
        (lambda: TwoParameters(PAIR), {"x": shots.x, "y": shots.y1 - shots.y2}),
    ]
    for make, records in cases:
        whole, split = fitted(make(), records), make()
        for part in np.array_split(np.arange(60), [1, 20, 23]):
            split.update({name: column[part] for name, column in records.items()})
        for name, quantity in split.estimate().quantities.items():
            assert quantity.value == pytest.approx(whole[name].value, rel=1e-9)
            assert quantity.interval == pytest.approx(whole[name].interval, rel=1e-9)


@pytest.mark.parametrize("value", [-1.0, math.nan, 0.5, 1e6])
def test_impossible_counts_are_refused(value: float) -> None:
    """Negative, NaN, half a count, more than all atoms: refused with the column's name."""
    for make, width in (
        (lambda: CombinedPhase(COMBINED), 3),
        (lambda: SqueezingMatrix(EIGHT), 8),
        (lambda: GradientCurvature(FOUR, np.random.default_rng(1)), 4),
        (lambda: StringOrder(0.5, 8, 1, np.random.default_rng(1)), 8),
    ):
        with pytest.raises(RecordError, match="`counts`"):
            make().update({"counts": np.full((30, width), value)})
        with pytest.raises(RecordError, match="at least"):
            make().estimate()
    with pytest.raises(RecordError, match="`y`"):
        TwoParameters(PAIR).update(
            {"x": np.zeros(3), "y": np.full(3, value if value != -1.0 else -1e3)}
        )
