"""Collectively pumped superradiance against multiprecision, N = 1 to 1e9, any pump."""

import math

import mpmath as mp
import numpy as np
import pytest

from cavitylab.models.pumped_superradiance import (
    PumpedEnsemble,
    inversion_limit,
    populations,
    pumped_steady_state,
)
from cavitylab.models.pumped_superradiance_modes import (
    integrated_correlation_time,
    relaxation_gap,
)

REL = 1e-9


@pytest.fixture(autouse=True)
def digits():
    """Two hundred digits: near w = gamma the moments are differences of huge terms."""
    with mp.workdps(200):
        yield


def close(value, expected, rel=REL):
    """Relative agreement of a double with a multiprecision number."""
    assert math.isfinite(value)
    assert abs(mp.mpf(value) - expected) <= rel * abs(expected), (value, mp.nstr(expected, 17))


def moments(atoms, ratio):
    """<Jz> and Var Jz of p_m ~ (w/gamma)^m (Shimshi & Shahmoon Eq. 3), geometric sums."""
    if ratio == 1:
        return mp.mpf(0), mp.mpf(atoms * (atoms + 2)) / 12
    if ratio > 1:  # the mirror image, whose powers do not overflow
        mean, variance = moments(atoms, 1 / ratio)
        return -mean, variance
    n, q = atoms + 1, ratio
    far = q**n
    mean = q / (1 - q) - n * far / (1 - far) - mp.mpf(atoms) / 2
    variance = q / (1 - q) ** 2 - n * n * far / (1 - far) ** 2
    return mean, variance


def cases():
    """N and s = N (w/gamma - 1)/2, both signs, from the transition to no and strong pumping."""
    rng = np.random.default_rng(812)
    atoms = [1, 2, 3, 10, 100, 1001, 10**5, 10**6, 10**9]
    rows = [(n, s) for n in atoms for s in (0.0, 1e-12, -1e-7, 1e-3, 0.3, -0.4, 5.0, 300.0)]
    rows += [(n, s) for n in atoms for s in (-0.49 * n, -0.3 * n, 0.5 * n, 3.0 * n, 500.0 * n)]
    for _ in range(40):
        n = int(10 ** rng.uniform(0.0, 9.0))
        s = float(rng.choice([-1.0, 1.0]) * 10 ** rng.uniform(-9.0, 5.0))
        rows.append((n, max(s, -0.5 * n * rng.uniform(0.1, 0.999999))))
    return [(n, s) for n, s in rows if 2.0 * s > -n]


@pytest.mark.parametrize(("atoms", "s"), cases())
def test_moments_and_information(atoms, s):
    """Mean, variance, information, uncertainty and flux (Shimshi & Shahmoon Eqs. 3, 5, D6)."""
    parameters = PumpedEnsemble.at(atoms, s)
    # the pump that the parameters hold, rounding remainder included
    pump = mp.mpf(parameters.pump) + mp.mpf(parameters.pump_remainder)
    state = pumped_steady_state(parameters)
    mean, variance = moments(atoms, pump)
    if s == 0.0:
        assert state.mean == 0.0
    else:
        close(state.mean, mean)
    close(state.variance, variance)
    close(state.fisher_information, variance / pump**2)
    close(state.pump_uncertainty, pump / mp.sqrt(variance))
    raised = mp.mpf(atoms * (atoms + 2)) / 6 if s == 0.0 else 2 * mean / (pump - 1)
    close(state.flux, pump * raised)
    close(state.record_information_rate, raised / pump)


@pytest.mark.parametrize("pump", [1e-300, 1e-155, 1e-153, 1e-20, 0.5, 2.0, 1e20, 1e155])
@pytest.mark.parametrize("atoms", [1, 2, 9, 10**6])
def test_extreme_pumps(atoms, pump):
    """Pumps over the whole range of doubles: no overflow on the way (as sinh^2 once did)."""
    state = pumped_steady_state(PumpedEnsemble(atoms, pump))
    mean, variance = moments(atoms, mp.mpf(pump))
    close(state.mean, mean)
    if variance > mp.mpf(10) ** -300:
        close(state.variance, variance)


def test_every_size_of_the_smaller_term():
    """(N+1) ln(w)/2 from 340 to 370, where the exponential leaves the range of doubles."""
    for half in np.linspace(340.0, 370.0, 61):
        pump = math.exp(2.0 * half / 1001.0)
        state = pumped_steady_state(PumpedEnsemble(1000, pump))
        close(state.variance, moments(1000, mp.mpf(pump))[1])


@pytest.mark.parametrize("s", [1e-9, -0.3, 2.0, -40.0, 900.0])
def test_limit_of_large_n(s):
    """Mean and variance of x in the limit (Shimshi & Shahmoon Eqs. 4, E7)."""
    mean, variance = inversion_limit(s)
    y = mp.mpf(s)
    close(mean, mp.coth(y) - 1 / y)
    close(variance, 1 / y**2 - 1 / mp.sinh(y) ** 2)


@pytest.mark.parametrize(("atoms", "pump"), [(1, 0.3), (7, 1.0), (400, 0.98), (5000, 1.001)])
def test_populations(atoms, pump):
    """p_m of Eq. 3, wherever it is above the smallest doubles."""
    found = populations(PumpedEnsemble(atoms, pump))
    weights = [mp.mpf(pump) ** k for k in range(atoms + 1)]
    norm = mp.fsum(weights)
    for k in {0, atoms // 2, atoms // 3, atoms}:
        close(found[k], weights[k] / norm)


def eigenvalues_below(diagonal, squares, bound):
    """How many eigenvalues of a symmetric tridiagonal matrix lie below a bound (Sturm)."""
    count, pivot = 0, mp.mpf(1)
    for index, entry in enumerate(diagonal):
        pivot = entry - bound - (squares[index - 1] / pivot if index else 0)
        count += pivot < 0
    return count


@pytest.mark.parametrize(
    ("atoms", "s"),
    [
        (1, 0.0),
        (2, -0.9),
        (10, 3.0),
        (100, 0.0),
        (100, -10.0),
        (399, 7.0),
        (401, 120.0),
        (401, -190.0),
        (3000, 2.5),
        (3000, -1400.0),
        (20_000, 0.7),
        (20_000, 60.0),
    ],
)
def test_gap(atoms, s):
    """The least non-zero rate of the rate equation (App. C) lies within 1e-9 of the gap."""
    parameters = PumpedEnsemble.at(atoms, s)
    found = mp.mpf(relaxation_gap(parameters))
    with mp.workdps(40):
        pump = mp.mpf(parameters.pump) + mp.mpf(parameters.pump_remainder)
        steps = [(k + 1) * (atoms - k) for k in range(atoms)]  # <m+1|J+|m>^2
        up = [pump * a for a in steps] + [mp.mpf(0)]
        down = [mp.mpf(0)] + [mp.mpf(a) for a in steps]
        diagonal = [u + d for u, d in zip(up, down, strict=True)]
        squares = [pump * a * a for a in steps]
        # below is the zero rate alone; far from the transition both ends of the ladder relax alike
        assert eigenvalues_below(diagonal, squares, found * (1 - mp.mpf(REL))) == 1
        assert eigenvalues_below(diagonal, squares, found * (1 + mp.mpf(REL))) >= 2


@pytest.mark.parametrize(
    ("atoms", "s"), [(1, 0.2), (5, -2.0), (100, 0.0), (100, 4.0), (1000, -30.0), (3000, 0.5)]
)
def test_correlation_time(atoms, s):
    """int C(t) dt/C(0) = sum_m F_m^2/(w a_m p_m)/Var, F_m = sum_{k<=m} p_k (k - <k>)."""
    parameters = PumpedEnsemble.at(atoms, s)
    pump = mp.mpf(parameters.pump) + mp.mpf(parameters.pump_remainder)
    mean, variance = moments(atoms, pump)
    mean += mp.mpf(atoms) / 2
    weights = [pump**k for k in range(atoms + 1)]
    norm = mp.fsum(weights)
    flow, total = mp.mpf(0), mp.mpf(0)
    for k in range(atoms):
        flow += weights[k] / norm * (k - mean)
        total += flow**2 / (pump * (k + 1) * (atoms - k) * weights[k] / norm)
    close(integrated_correlation_time(parameters), total / variance)
