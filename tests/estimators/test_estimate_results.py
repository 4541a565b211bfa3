"""Result types: what is printed, what goes to JSON, what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cavitylab.estimators import Estimate, GoodnessOfFit, Quantity


def _estimate(check: GoodnessOfFit | None, **diagnostics: object) -> Estimate:
    phase = Quantity(0.40128, 0.00094, (0.3994, 0.4031), 0.95, "rad")
    return Estimate(
        estimator="ellipse_phase (exact_table)",
        shots=2000,
        quantities={"phase": phase},
        names=("phase",),
        covariance=np.array([[0.00094**2]]),
        goodness_of_fit=check,
        diagnostics={"flags": (), **diagnostics},
        assumptions=("uniform common phase",),
        identifiable=(0.0, np.pi / 2),
    )


@pytest.mark.parametrize(
    ("value", "std", "text"),
    [
        (0.40128, 0.00094, "0.4013(9) rad"),
        (0.40128, 0.00096, "0.401(1) rad"),
        (-0.002, 0.013, "-0.00(1) rad"),
        (101.3, 3.2, "101.3 +- 3.2 rad"),
        (619.018, 21.4, "619 +- 21 rad"),
        (123456.7, 2345.0, "123500 +- 2300 rad"),
        (0.5, 0.0, "0.5 rad"),
    ],
)
def test_quantity_prints_its_uncertainty_in_the_last_digit(
    value: float, std: float, text: str
) -> None:
    """A number is printed to the digit that its standard deviation allows."""
    assert str(Quantity(value, std, (value - std, value + std), 0.68, "rad")) == text


def test_estimate_prints_one_line_per_quantity_and_its_warnings() -> None:
    """The printed estimate has each number, the p-value and the flags."""
    text = str(_estimate(GoodnessOfFit(3.0, 0.3, 4), flags=("near a fold",)))
    assert text.splitlines() == [
        "phase = 0.4013(9) rad",
        "goodness of fit: p = 0.3",
        "note: near a fold",
    ]


def test_a_poor_fit_is_a_flag_of_every_estimator_once() -> None:
    """p below 1e-4 adds a flag, in print and JSON, where the estimator has none of its own."""
    poor = GoodnessOfFit(90.0, 3e-7, 9)
    assert [flag for flag in _estimate(poor).flags if "3.0e-07" in flag]
    assert "3.0e-07" in str(_estimate(poor)) and _estimate(poor).to_json()["diagnostics"]["flags"]
    own = _estimate(poor, flags=("the model does not describe the counts (p = 3.0e-07)",))
    assert len(own.flags) == 1
    assert not _estimate(GoodnessOfFit(9.0, 0.4, 9)).flags


def test_json_form_is_strict_and_complete() -> None:
    """The JSON form has the documented keys; what is not finite becomes null."""
    estimate = _estimate(GoodnessOfFit(12.5, 0.3, 9), drift=float("nan"), starts=np.int64(3))
    form = json.loads(json.dumps(estimate.to_json(), allow_nan=False))
    assert form == {
        "estimator": "ellipse_phase (exact_table)",
        "shots": 2000,
        "estimates": {
            "phase": {
                "value": 0.40128,
                "std": 0.00094,
                "interval": [0.3994, 0.4031],
                "level": 0.95,
                "unit": "rad",
            }
        },
        "goodness_of_fit": {"statistic": 12.5, "p_value": 0.3},
        "covariance": {
            "names": list(estimate.names),
            "matrix": np.asarray(estimate.covariance).tolist(),
        },
        "assumptions": list(estimate.assumptions),
        "identifiable": list(estimate.identifiable),
        "diagnostics": {"flags": [], "drift": None, "starts": 3},
    }


def test_rich_form_says_what_was_assumed_and_how_it_fits() -> None:
    """In a notebook the estimate shows check and assumptions, with markup escaped."""
    estimate = _estimate(GoodnessOfFit(12.5, 0.3, 9))
    shown = estimate._repr_html_()
    assert "p = 0.3" in shown
    assert all(line.replace("<", "&lt;") in shown for line in estimate.assumptions)


def test_plot_draws_every_quantity(tmp_path) -> None:
    """One panel for each quantity, in a figure that can be saved."""
    estimate = _estimate(GoodnessOfFit(12.5, 0.3, 9))
    figure = estimate.plot()
    assert len(figure.axes) == len(estimate.quantities)
    figure.savefig(tmp_path / "estimate.png")
    assert (tmp_path / "estimate.png").stat().st_size > 1000


def test_json_form_without_a_check_has_nulls() -> None:
    """Too few shots for a check: the keys are there, with null."""
    assert _estimate(None).to_json()["goodness_of_fit"] == {"statistic": None, "p_value": None}


@pytest.mark.parametrize(
    "numbers",
    [
        {"value": float("nan")},
        {"std": -1.0},
        {"interval": (1.0, 0.0)},
        {"level": 1.0},
    ],
)
def test_impossible_quantities_are_refused(numbers: dict[str, object]) -> None:
    """No NaN, negative std, reversed interval or certainty leaves an estimator."""
    fields = {"value": 0.5, "std": 0.1, "interval": (0.0, 1.0), "level": 0.95, "unit": ""}
    with pytest.raises(ValueError, match="must"):
        Quantity(**{**fields, **numbers})  # type: ignore[arg-type]


def test_a_missing_quantity_is_named_with_those_there_are() -> None:
    """Looking up a name that does not exist lists the names that do."""
    with pytest.raises(KeyError, match="it has phase"):
        _estimate(None)["contrast"]
