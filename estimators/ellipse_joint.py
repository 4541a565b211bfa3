"""One phase from several ellipses: settings in turn, bias phases, a known common phase.

Every setting has its own model and nuisances; the phase is shared, log-likelihoods add up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2

from .binomial_beliefs import CommonPhase, EllipseAtoms
from .binomial_ring import LEAST_JITTER, AtomsLikelihood, BinomialRing, IndependentRing
from .ellipse_beliefs import EllipseBeliefs
from .ellipse_choice import EstimatorRangeError, choose_likelihood
from .ellipse_joint_check import check_joint
from .ellipse_joint_posterior import JointPosterior, Member, Nuisances
from .ellipse_joint_records import read_atoms, read_settings
from .ellipse_joint_report import report, undetermined
from .ellipse_joint_search import profile_interval, search_joint
from .ellipse_posterior import ShotLikelihood, outlier_density
from .estimate import Estimate

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
Beliefs = EllipseBeliefs | EllipseAtoms

METHODS = ("auto", "binomial", "ring")
FEWEST_SHOTS = 10
MOST_BIASES = 64
LARGEST_RESOLVED = 4000


class JointEllipses:
    """Phase shared by several settings, each shot taken with one of them.

    Args:
        settings: what is known of each; records name them by their index in `setting(shot)`.
        method: of settings of independent atoms: "binomial" (atoms told apart), "ring" (normal,
            with detection noise), or "auto": binomial for atom numbers up to 4000 without
            noise. Settings of squeezed states choose as `EllipsePhase` does.
        common_phase: distribution of the common phase; None: uniform. Only for settings of
            independent atoms.

    Raises:
        EstimatorRangeError: when no model applies to a setting.
        ValueError: on an unknown method or no setting.
    """

    def __init__(
        self,
        settings: Sequence[Beliefs],
        method: str = "auto",
        common_phase: CommonPhase | None = None,
    ) -> None:
        if not settings:
            raise ValueError("Argument `settings` must hold at least one setting, but is empty.")
        if method not in METHODS:
            raise ValueError(
                f"Argument `method` must be one of {', '.join(METHODS)}, but is {method!r}."
            )
        self.settings = tuple(settings)
        self.common_phase = common_phase
        self._likelihoods = tuple(_likelihood(b, method, common_phase) for b in self.settings)
        self._blocks: list[tuple[Array, Labels, Array]] = []
        self._rejected = 0

    @property
    def methods(self) -> tuple[str, ...]:
        """The measurement model of every setting."""
        return tuple(likelihood.name for likelihood in self._likelihoods)

    @property
    def shots(self) -> int:
        """Shots used so far."""
        return sum(len(block[0]) for block in self._blocks)

    def update(self, records: Mapping[str, ArrayLike]) -> None:
        """Take in a block of shots.

        Args:
            records: "counts" (shots, 2), or "populations" (shots, 2), the share of the atoms;
                "setting" (shots,), 0 where missing; "bias_phase" (shots,), radians, the
                setting's where missing; "status" (shots,), of which only 1 is used.

        Raises:
            RecordError: see the message; nothing of the block is kept.
        """
        setting, bias, good = read_settings(records, self.settings)
        data = read_atoms(records, self.settings, self._likelihoods, setting, good)
        self._rejected += int((~good).sum())
        if len(data):
            self._blocks.append((data, setting[good], bias[good]))
        if len({(s, b) for s, b in zip(*self._columns()[1:], strict=True)}) > MOST_BIASES:
            self._blocks.pop()
            raise ValueError(
                f"Column `bias_phase` must take at most {MOST_BIASES} values with all settings; "
                "AdaptivePhase is for a bias that is new in every shot."
            )

    def estimate(self, level: float = 0.95) -> Estimate:
        """The phase with its profile-likelihood interval at `level`."""
        if not 0.0 < level < 1.0:
            raise ValueError(f"Argument `level` must lie in (0, 1), but is {level!r}.")
        members = self._members()
        folded = len({m.bias for m in members}) <= 1 and self.common_phase is None
        nuisances = [_nuisances(b) for b in self.settings]
        posterior = JointPosterior(members, nuisances, folded=folded)
        facts = {
            "methods": self.methods,
            "rejected_shots": self._rejected,
            "oriented": self.common_phase is not None,
        }
        reason = _refusal(members)
        if reason:
            return undetermined(posterior, self.settings, reason, level, facts)
        found = search_joint(posterior, self.settings)
        drop = 0.5 * float(chi2.ppf(level, 1))
        optimum, limits, rivals = profile_interval(posterior, found, drop)
        own = tuple(b if isinstance(b, EllipseBeliefs) else None for b in self.settings)
        check = check_joint(posterior, own, optimum)
        return report(posterior, self.settings, optimum, limits, rivals, check, level, facts)

    def _columns(self) -> tuple[Array, Labels, Array]:
        if not self._blocks:
            return np.zeros((0, 2)), np.zeros(0, dtype=np.int64), np.zeros(0)
        data, setting, bias = (np.concatenate(column) for column in zip(*self._blocks, strict=True))
        self._blocks = [(data, setting, bias)]
        return data, setting, bias

    def _members(self) -> list[Member]:
        """Shots by setting and bias, sorted: no answer depends on their order."""
        data, setting, bias = self._columns()
        members = []
        for index, phase in sorted(
            {(int(s), float(b)) for s, b in zip(setting, bias, strict=True)}
        ):
            own = data[(setting == index) & (bias == phase)]
            own = own[np.lexsort((own[:, 1], own[:, 0]))]
            beliefs = self.settings[index]
            members.append(
                Member(index, self._likelihoods[index], own, phase, _stray_density(beliefs))
            )
        return members


class EllipseContrasts(JointEllipses):
    """Phase of one pair of independent ensembles; contrasts, offsets, noise and jitter as believed.

    Args:
        beliefs: atom numbers, and what is known or free.
        method: "auto", "binomial" or "ring".
        common_phase: distribution of the common phase; None: uniform.
    """

    def __init__(
        self,
        beliefs: EllipseAtoms,
        method: str = "auto",
        common_phase: CommonPhase | None = None,
    ) -> None:
        super().__init__((beliefs,), method, common_phase)


def _likelihood(beliefs: Beliefs, method: str, common: CommonPhase | None) -> ShotLikelihood:
    if isinstance(beliefs, EllipseBeliefs):
        if common is not None:
            raise EstimatorRangeError(
                "A common phase that is not uniform is modelled for independent atoms "
                "(EllipseAtoms) only; leave `common_phase` out for squeezed states."
            )
        return choose_likelihood(beliefs)
    noisy = beliefs.noise > 0.0 or beliefs.noise_free or beliefs.gain is not None
    if method == "binomial" and noisy:
        raise EstimatorRangeError(
            "The binomial model reads whole atom numbers without noise, but `noise` or `gain` are "
            'given; choose method="ring".'
        )
    resolved = not noisy and max(beliefs.atoms) <= LARGEST_RESOLVED
    model: type[AtomsLikelihood] = IndependentRing
    if method == "binomial" or (method == "auto" and resolved):
        model = BinomialRing
    return model(beliefs, common)


def _nuisances(beliefs: Beliefs) -> Nuisances:
    if isinstance(beliefs, EllipseBeliefs):
        directions = beliefs.directions
        reach = np.full(directions.shape[1], 8.0)
        return Nuisances(beliefs.centre, directions, np.ones(reach.size), -reach, reach)
    std = beliefs.standard_deviations
    free = np.flatnonzero(std > 0.0)
    projection = beliefs.projection_variance
    unit = np.array([0.1, 0.1, 0.05, 0.05, projection, 1e-4])
    unit = np.where(np.isfinite(std) & (std > 0.0), std, unit)
    centre = beliefs.centre
    low = np.array([0.02, 0.02, 0.0, 0.0, 0.0, LEAST_JITTER])
    high = np.array([1.0, 1.0, 1.0, 1.0, 400.0 * projection, 0.25])
    directions = np.diag(unit)[:, free]
    return Nuisances(
        centre,
        directions,
        np.isfinite(std[free]).astype(np.float64),
        ((low - centre) / unit)[free],
        ((high - centre) / unit)[free],
    )


def _stray_density(beliefs: Beliefs) -> float:
    if isinstance(beliefs, EllipseBeliefs):
        return outlier_density(beliefs)
    return 1.0 / float((beliefs.atoms[0] + 1) * (beliefs.atoms[1] + 1))


def _refusal(members: Sequence[Member]) -> str:
    """Why these shots determine no phase; "" when they may."""
    shots = sum(len(member.data) for member in members)
    if shots < FEWEST_SHOTS:
        return f"{shots} usable shots, at least {FEWEST_SHOTS} are needed"
    spread = max(float(np.ptp(member.data, axis=0).min()) for member in members)
    if spread <= 1e-12:
        return "the signal of an ensemble does not vary"
    return ""
