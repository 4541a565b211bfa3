"""The rows of benchmarks/models.py: what is computed, who else does it, growth and target."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cavitylab.models.cumulants import HALF_MOMENTS, DecayingEnsembles
from cavitylab.models.cumulants_trajectory import (
    cumulant_trajectories,
    cumulant_trajectory,
)
from cavitylab.models.ellipse import EllipseReadout, sample
from cavitylab.models.multi_ensemble_superradiance_uniform import (
    uniform_dark_state_at_curvature,
)
from cavitylab.models.permutation_symmetric import (
    SymmetricEnsemble,
    symmetric_evolution,
)
from cavitylab.models.pumped_superradiance_hysteresis import hysteresis
from cavitylab.models.relaxation import relaxation_time
from cavitylab.models.squeezed_reservoir import (
    SqueezedReservoir,
    squeezed_steady_state,
)
from cavitylab.models.trajectories import trajectories
from cavitylab.models.two_ensembles import TwoEnsembles, steady_state
from cavitylab.models.two_mode_squeezing_dynamics import prepare

BATCH = 500  # cumulant trajectories side by side
PREPARATION = [0.1, 1.0]
LOCAL_TIMES = [0.1, 1.0]
EXPANSION_TIMES = [0.05, 0.2]  # Gamma t; later the phases of the oscillations drift apart
SHOTS = 2_000_000


@dataclass(frozen=True)
class Row:
    """One computation.

    Attributes:
        name: what is computed.
        own: this package's solver; returns the numbers the peer returns, or none.
        growth: how cost grows (work or memory), this package | peer.
        peer: name and arguments in models_peers.py.
        target: at least this ratio ("x"), at most these seconds ("s") or at least this many
            per second ("/s").
        per: units of work in one call of `own`, and in one of the peer.
        long: only with --long; "peer" leaves the row in the default run without its peer.
        random: compare means by their standard errors.
        agreement: largest deviation that counts as agreement.
    """

    name: str
    own: Callable[[], Sequence[float]]
    growth: str
    peer: tuple[str, list[Any]] | None = None
    target: tuple[float, str] | None = None
    per: tuple[int, int] = (1, 1)
    long: bool | str = False
    random: bool = False
    agreement: float = 1e-5


def pair_row(spin: float, target: float | None, long: bool = False) -> Row:
    """Steady state of two ensembles."""

    def own() -> Sequence[float]:
        state = steady_state(TwoEnsembles(spin, 2 * spin, spin))
        return [state.spin_length_x, state.variance]

    return Row(
        f"two-ensemble steady state, S = {spin:g}",
        own,
        "J kept (< 2S+1), 5 vectors | LU of (2S+1)^4 unknowns",
        ("steady", [spin, 2 * spin, spin]),
        (target, "x") if target else None,
        long=long,
    )


def figures_row(ratio: float, what: str, target: float) -> Row:
    """All figures of merit and the amplitudes come from one call."""

    def own() -> Sequence[float]:
        state = steady_state(TwoEnsembles(1e6, 1.0, ratio))
        return [state.qfi, state.xi2, abs(state.amplitudes[0])]

    growth = "J kept = 2S asinh(Delta/2 Omega) + tail, 5 vectors of 8 to 16 bytes"
    return Row(f"{what}, S = 1e6, Delta/Omega = {ratio:g}", own, growth, target=(target, "s"))


def relaxation_row(
    spin: float, drive: float, detuning: float, target: tuple[float, str], stop: float | None
) -> Row:
    """Time from all atoms down to 1 - F = 1e-3."""
    return Row(
        f"relaxation to t_ss, S = {spin:g}",
        lambda: [relaxation_time(TwoEnsembles(spin, drive, detuning))],
        "~S^5 to S^6, falls as states empty; 56 (2S+1)^4 bytes | ~S^5.7",
        None if stop is None else ("relaxation", [spin, drive, detuning, stop]),
        target,
        long=spin > 5,
    )


def runs_row(spin: float, stop: float, runs: int, peers: int, long: bool) -> Row:
    """Seconds are per run."""

    def own() -> Sequence[float]:
        pair = TwoEnsembles(spin, 2 * spin, 10.0)
        ends = trajectories(pair, [stop], runs, np.random.default_rng(5)).spin_length_x[:, 0]
        return [float(ends.mean()), float(ends.std(ddof=1) / math.sqrt(runs))]

    return Row(
        f"one quantum trajectory, S = {spin:g}",
        own,
        "S^2 steps x 10 flops x amplitudes in the J filled, at most S^2 | S^4, sparse",
        ("single_runs", [spin, 2 * spin, 10.0, stop, peers]),
        (10, "x") if spin == 30 else None,
        per=(runs, peers),
        long=long,
        random=True,
    )


def local_row(atoms: int, target: tuple[float, str] | None, peer: bool) -> Row:
    """<Jz> and <J+ J-> of one driven ensemble with decay, pumping and dephasing of every atom.

    PIQS' own Liouvillian is rounded to single precision: they agree to some 1e-6.
    """
    rates = {"collective_decay": 1.0, "decay": 1.0, "pumping": 0.2, "dephasing": 0.3}
    ensemble = SymmetricEnsemble(atoms, 0.25 * atoms, **rates)

    def own() -> Sequence[float]:
        found = symmetric_evolution(ensemble, LOCAL_TIMES)
        return [*found.spin_z, *found.emission]

    return Row(
        f"permutation-symmetric local decay, N = {atoms}",
        own,
        "N^3/12 real numbers, 12 a row, ~N^2 products | (N^2/4)^2 complex, dense zeros kept",
        ("local", [atoms, 0.25 * atoms, rates, LOCAL_TIMES]) if peer else None,
        target,
    )


def hysteresis_row(atoms: float, target: tuple[float, str] | None, peer: bool) -> Row:
    """Both crossings at r = 4 gamma, in the package's unit of s."""

    def own() -> Sequence[float]:
        found = hysteresis(atoms, 4.0)
        return [found.up, found.down]

    return Row(
        f"hysteresis scan, N = {atoms:g}",
        own,
        "modes x steps, any N alike | N^2 elements, stiffness ~N^2",
        ("hysteresis", [int(atoms), 4.0]) if peer else None,
        target,
        long="peer" if peer and atoms > 50 else False,
    )


def reservoir_row(atoms: int, target: tuple[float, str], peer: bool, long: bool | str) -> Row:
    """At about the best r where the carrier stays at the bare transition (Bai Fig. 3)."""
    r = 0.27 * math.log(atoms) - 0.11
    detuning = math.cosh(2.0 * r)

    def own() -> Sequence[float]:
        state = squeezed_steady_state(SqueezedReservoir(atoms, r, detuning))
        return [state.sz, state.v_min]

    return Row(
        f"squeezed reservoir, N = {atoms}",
        own,
        "table of N x antidiagonals reached (N at most) | LU of (N+1)^2 unknowns",
        ("squeezed", [atoms, r, detuning]) if peer else None,
        target,
        long=long,
    )


def two_mode_row(spin: float, target: tuple[float, str], peer: bool) -> Row:
    """<X+^2> and <Z1 + Z2> at two times, r = 0.8."""

    def own() -> Sequence[float]:
        n = round(2 * spin)
        found = prepare(n, n, 0.8, PREPARATION)
        return [*found.x_plus_square, *(found.z1 + found.z2)]

    return Row(
        f"two-mode squeezing dynamics, S = {spin:g}",
        own,
        "(2S)^3/6 real elements, 13 a row | (2S+1)^4 elements",
        ("two_mode", [spin, 0.8, PREPARATION]) if peer else None,
        target,
        long=spin > 5,
    )


def cumulant_rows() -> list[Row]:
    """One trajectory, and many; S = 1000 to Gamma t = 0.2.

    At equal accuracy: at the tolerance 1e-8 of the peer and of this package without numba, each
    is off by some 2e-4 (against 1e-12) at the end; the compiled method of order 8 is so at 1e-7.
    Compilation is not in the seconds: once, some 6 s, kept on disk; later 0.2 s to load. The peer
    is scipy's stepper over this package's 27 equations on arrays: it times the solver and does
    not check the equations.
    """
    compiled = importlib.util.find_spec("numba") is not None
    accuracy = 1e-7 if compiled else 1e-8
    physics = (1000, 2000.0, 10.0, 0.01)
    x, z = HALF_MOMENTS.index("x"), HALF_MOMENTS.index("z")

    def alone() -> Sequence[float]:
        m = cumulant_trajectory(DecayingEnsembles(*physics), EXPANSION_TIMES, rtol=accuracy).moments
        return [*m[x], *m[z]]

    def many() -> Sequence[float]:
        sets = [DecayingEnsembles(*physics)] * BATCH
        m = cumulant_trajectories(sets, EXPANSION_TIMES, rtol=accuracy).moments
        return [*m[x, 0], *m[z, 0]]

    growth = "400 flops, 30 to 40 times a radian of Omega t | the same, calls of numpy"
    peer = ("cumulants", [*physics, EXPANSION_TIMES])
    return [
        Row(
            "cumulant trajectory, S = 1000, alone",
            alone,
            growth,
            peer,
            (1000, "x"),
            agreement=1e-3,
        ),
        Row(
            f"cumulant trajectory, S = 1000, {BATCH} at once",
            many,
            growth,
            peer,
            (1000, "x"),
            per=(BATCH, 1),
            long=True,
            agreement=1e-3,
        ),
    ]


def readout_rows() -> list[Row]:
    """The table at S = 100, its shots, and one shot of the state vector at S = 20."""
    large = steady_state(TwoEnsembles(100, 1.0, 0.05))
    small = steady_state(TwoEnsembles(20, 1.0, 0.25))

    def table() -> Sequence[float]:
        EllipseReadout(100, large.weights.size - 1).distribution(large, 0.2)
        return []

    kept = EllipseReadout(100, large.weights.size - 1).distribution(large, 0.2)
    kept_small = EllipseReadout(20, small.weights.size - 1).distribution(small, 0.2)
    rng = np.random.default_rng(1)

    def shots(probability: Any) -> Callable[[], Sequence[float]]:
        def own() -> Sequence[float]:
            sample(probability, SHOTS, rng)
            return []

        return own

    def known_phase() -> Sequence[float]:
        readout = EllipseReadout(20, small.weights.size - 1, weight_cutoff=0.0)
        found = readout.distribution_at(small, 0.2, 0.7)
        return [float(v) for v in found.ravel()]

    return [
        Row("outcome table, S = 100", table, "8 S^3 flops a J kept, BLAS 3", target=(0.2, "s")),
        Row(
            "outcome table at a known phase, S = 20",
            known_phase,
            "8 S^3 flops a J kept | exponential of (2S+1)^2 square matrices",
            ("one_shot", [20, 0.25, 0.2, 0.7]),
        ),
        Row(
            "shots of the table, S = 100, each",
            shots(kept),
            "log2 of the cells, a random read each",
            target=(1e7, "/s"),
            per=(SHOTS, 1),
        ),
        Row(
            "shots of the table, S = 20, each",
            shots(kept_small),
            "the same",
            target=(1e7, "/s"),
            per=(SHOTS, 1),
        ),
    ]


def uniform_row(atoms: int, curvature: float, target: tuple[float, str] | None, peer: bool) -> Row:
    """<Sy>, <Sz>, Var Sx."""

    def own() -> Sequence[float]:
        state = uniform_dark_state_at_curvature(atoms, curvature)
        return [state.spin_y, state.spin_z, state.variance_x]

    return Row(
        f"uniform dark state, N = {atoms:g}, K = {curvature:g}",
        own,
        "N levels (or sqrt N in a deep well), 40 bytes a level | LU of (N+1)^2 unknowns",
        ("uniform", [atoms, curvature]) if peer else None,
        target,
    )


def all_rows() -> list[Row]:
    """The table, in the order of the models."""
    return [
        pair_row(3, None),
        pair_row(5, 1e5),
        pair_row(7.5, None, long=True),
        figures_row(5e-6, "figures of merit", 1e-3),
        figures_row(1e-3, "figures and amplitudes", 0.2),
        figures_row(1.0, "figures and amplitudes", 0.2),
        relaxation_row(5, 10.0, 10.0, (20, "x"), 2.6),
        relaxation_row(10, 20.0, 10.0, (35, "x"), 2.6),
        relaxation_row(30, 60.0, 20.0, (60, "s"), None),
        runs_row(10, 2.4577, 100, 10, long=False),
        runs_row(30, 2.0, 20, 4, long=True),
        *cumulant_rows(),
        *readout_rows(),
        local_row(40, (8, "x"), True),
        local_row(80, None, False),
        two_mode_row(5, (15, "x"), True),
        two_mode_row(10, (60, "x"), True),
        two_mode_row(15, (30, "s"), False),
        reservoir_row(200, (5, "x"), True, False),
        reservoir_row(500, (10, "x"), True, False),
        reservoir_row(1000, (50, "x"), True, "peer"),
        reservoir_row(10_000, (15, "s"), False, False),
        hysteresis_row(30, None, True),
        hysteresis_row(100, (1000, "x"), True),
        hysteresis_row(1e5, (0.2, "s"), False),
        hysteresis_row(1e9, (0.2, "s"), False),
        uniform_row(100, 0.3, None, True),
        uniform_row(10**6, 0.0288, (0.2, "s"), False),
    ]
