"""Two large ensembles behind the wires: the states, the draws, and what is refused."""

import math

import numpy as np
import pytest

from cavitylab.instruments.simulated.clouds_state import cloud_numbers
from cavitylab.instruments.simulated.lines import ApparatusFault
from cavitylab.instruments.simulated.relaxing_state import Step, evolve
from cavitylab.instruments.simulated.relaxing_truth import draw_relaxing_truth
from cavitylab.instruments.simulated.two_ensemble_clouds import CloudsTruthEntry, RelaxingClouds
from cavitylab.instruments.simulated.two_ensemble_relaxing import RelaxingShot
from cavitylab.models.cumulant_populations import RelaxingClouds as Clouds
from cavitylab.models.cumulant_populations import cloud_moments

BEAM = {"saturation_power": 1.6, "centre_frequency": 80e6, "bandwidth": 1e4}
ENTRY = {
    "atoms_per_ensemble": 400,
    "drive": {"full_rabi": 3e4, **BEAM},
    "coupling": {"full_decay": 200.0, **BEAM},
    "gradient": {"slope": 250.0, "offset": 0.0},
    "detector": {"rate_per_atom": 500.0, "background_rate": 1e4},
    "signal": {"phase": 0.0},
}


def hold(atoms, turn, phase=0.0, **more):
    """Omega = N Gamma, Delta = Omega/2, until Omega t is `turn`."""
    return Step(1e4, phase, 1e4 / atoms, 5e3, turn / 1e4, **more)


def test_one_hold_is_that_of_the_model():
    """All atoms down, one hold: the model's means and covariance, whatever the drive's phase."""
    found = cloud_moments(Clouds(400.0, 1e4, 5e3, 0.0, 0.0, 25.0), [4e-4])
    for phase in (0.0, 1.1):
        numbers = cloud_numbers(400, (hold(400, 4.0, phase),))
        np.testing.assert_allclose(numbers.mean, found.mean[0, :2], rtol=1e-5)
        np.testing.assert_allclose(numbers.covariance, found.covariance[0, :2, :2], rtol=1e-3)


def test_pulses_and_exchange_are_those_of_the_density_matrix():
    """Hold, written phase, detuned pulse of another phase: ten atoms exactly, first two moments."""
    steps = (
        Step(1e4, 0.4, 1e3, 5e3, 1.6e-4, exchange=300.0),
        Step(0.0, 0.0, 0.0, 5e3, 2e-5, written=0.3),
        Step(9e4, 1.5, 0.0, 5e3, 1e-5),
    )
    exact = np.diag(evolve(5.0, steps)).real.reshape(11, 11)
    n = np.arange(11.0)
    mean = np.array([exact.sum(axis=1) @ n, exact.sum(axis=0) @ n])
    second = [[exact.sum(axis=1) @ n**2, n @ exact @ n], [n @ exact @ n, exact.sum(axis=0) @ n**2]]
    found = cloud_numbers(10, steps)
    np.testing.assert_allclose(found.mean, mean, atol=0.01)
    np.testing.assert_allclose(found.covariance, second - np.outer(mean, mean), atol=0.05)


def test_draws_have_the_covariance_and_belong_to_their_shot():
    """4000 shots: means and covariance within 5 errors (1e-5); a shot alone is the same shot."""
    truth = draw_relaxing_truth(CloudsTruthEntry.model_validate(ENTRY), 1)
    clouds = RelaxingClouds(truth, 1)
    shot = RelaxingShot((hold(400, 4.0),), None)
    drawn = clouds._from_state(shot, 400, range(4000))
    expected = cloud_numbers(400, shot.steps)
    error = np.sqrt(np.diag(expected.covariance) / 4000)
    assert (np.abs(drawn.mean(axis=0) - expected.mean) < 5.0 * error).all()
    spread = np.cov(drawn.T)
    np.testing.assert_allclose(spread, expected.covariance, rtol=0.15)
    assert drawn.min() >= 0 and drawn.max() <= 400
    np.testing.assert_array_equal(clouds._from_state(shot, 400, range(77, 78))[0], drawn[77])
    said = " ".join(clouds._approximations())
    assert "cumulant" in said and "density matrix" not in said


def test_courses_beyond_the_closure_are_refused():
    """Few atoms on a long hold: the message says what to do; many atoms go further."""
    with pytest.raises(ApparatusFault, match="atoms_per_ensemble"):
        cloud_numbers(20, (Step(1e4, 0.0, 500.0, 2.5e3, 1.2e-3),))
    with pytest.raises(ApparatusFault, match="their number"):
        cloud_numbers(5000, (Step(1e4, 0.0, 600.0, 5e3, 6e-3),))
    assert cloud_numbers(5000, (hold(5000, 9.0),)).covariance[0, 0] > 0.0


def test_single_atoms_fall():
    """With decay of single atoms fewer are up after a pulse and a wait."""
    pulse = Step(math.pi * 1e4, 0.0, 0.0, 0.0, 1e-4)
    wait = Step(0.0, 0.0, 0.0, 0.0, 1e-3)
    still, falling = (cloud_numbers(100, (pulse, wait), rate).mean for rate in (0.0, 1000.0))
    np.testing.assert_allclose(still, 100.0, atol=1e-3)
    assert 30.0 < falling[0] < 45.0


@pytest.mark.parametrize(
    "changes", [{"atoms_per_ensemble": 12}, {"cavity_output": {"efficiency": 0.3}}]
)
def test_laboratory_files_outside_the_rules(changes):
    """Few atoms belong to the exact kind; the cavity's light is not followed."""
    with pytest.raises(ValueError, match="relaxing_pair"):
        CloudsTruthEntry.model_validate(ENTRY | changes)
