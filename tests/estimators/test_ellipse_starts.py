"""Starting points: conic and geometric fits of ellipses, and data without one."""

from __future__ import annotations

import numpy as np
import pytest

from cavitylab.estimators import fit_conic, fit_geometric


def _ellipse(
    phase: float, shots: int = 400, noise: float = 0.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    theta = rng.uniform(0.0, 2.0 * np.pi, shots)
    p1 = 0.48 + 0.45 * np.sin(phase + theta) + noise * rng.standard_normal(shots)
    p2 = 0.53 + 0.40 * np.sin(phase - theta) + noise * rng.standard_normal(shots)
    return p1, p2


@pytest.mark.parametrize("fit", [fit_conic, fit_geometric])
@pytest.mark.parametrize("phase", [0.05, 0.3, 0.785, 1.2, 1.53])
def test_a_clean_ellipse_is_recovered_exactly(fit, phase: float) -> None:
    """Without noise phase, contrasts and offsets come out to rounding."""
    found = fit(*_ellipse(phase))
    assert found.usable
    assert found.phase == pytest.approx(phase, abs=1e-6)
    assert found.contrasts == pytest.approx((0.9, 0.8), abs=1e-6)
    assert found.offsets == pytest.approx((0.48, 0.53), abs=1e-6)


def test_the_sign_of_the_first_coefficient_keeps_the_branch() -> None:
    """phi and pi/2 - phi are told apart: the correlation of the signals changes sign."""
    assert fit_conic(*_ellipse(0.2)).phase < np.pi / 4 < fit_conic(*_ellipse(np.pi / 2 - 0.2)).phase


@pytest.mark.parametrize("phase", [0.03, 0.1, 0.4, 1.45])
def test_the_geometric_fit_is_a_good_start_with_noise(phase: float) -> None:
    """With 3 % noise the geometric fit lies within 0.06 rad, near folds as well."""
    p1, p2 = _ellipse(phase, shots=2000, noise=0.03, seed=3)
    assert fit_geometric(p1, p2).phase == pytest.approx(phase, abs=0.06)


def test_flipping_one_port_mirrors_the_phase() -> None:
    """p2 -> -p2 turns phi into pi/2 - phi in both fits."""
    p1, p2 = _ellipse(0.35, noise=0.02, seed=4)
    for fit in (fit_conic, fit_geometric):
        assert fit(p1, -p2).phase == pytest.approx(np.pi / 2 - fit(p1, p2).phase, abs=1e-6)


@pytest.mark.parametrize(
    ("p1", "p2"),
    [
        ([], []),
        ([0.5] * 5, [0.1, 0.2, 0.3, 0.4, 0.5]),
        ([0.5] * 50, list(np.linspace(0, 1, 50))),
        ([0.5] * 50, [0.5] * 50),
        (list(np.linspace(0, 1, 50)), list(np.linspace(0, 1, 50))),
        ([np.nan] * 50, [0.5] * 50),
    ],
    ids=["none", "few", "one constant", "both constant", "a line", "nan"],
)
def test_degenerate_data_give_a_finite_start(p1: list[float], p2: list[float]) -> None:
    """Data without an ellipse give a phase in [0, pi/2] and no exception."""
    for fit in (fit_conic, fit_geometric):
        found = fit(p1, p2)
        assert 0.0 <= found.phase <= np.pi / 2
        assert np.all(np.isfinite([*found.contrasts, *found.offsets, found.residual]))


def test_degenerate_data_are_flagged_with_the_reason() -> None:
    """Too few shots and a constant port are named."""
    assert "an ellipse needs" in fit_conic([0.1, 0.2], [0.3, 0.4]).flag
    assert "does not vary" in fit_geometric([0.5] * 20, np.linspace(0, 1, 20)).flag


def test_unequal_lengths_are_refused() -> None:
    """The two signals belong to the same shots."""
    with pytest.raises(ValueError, match="same|both"):
        fit_conic([0.1, 0.2, 0.3], [0.1, 0.2])
