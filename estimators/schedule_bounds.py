"""Precision of a signal from several bias phases: what it can be, and what the shots have shown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from .bounds import table_information
from .ellipse_starts import fold
from .estimate import Estimate, Quantity
from .likelihood_table import TableLikelihood
from .oriented_table import OrientedTable
from .product_table import ProductTable
from .schedule_beliefs import SHARED, ScheduleBeliefs
from .schedule_posterior import SchedulePosterior
from .scoring import Optimum

Array = NDArray[np.float64]


def table_of(beliefs: ScheduleBeliefs, prepared: bool) -> TableLikelihood:
    """The measurement model of prepared or of independent atoms.

    Raises:
        ValueError: for independent atoms with a common phase that is not uniform.
    """
    if beliefs.common_phase is not None:
        if not prepared:
            raise ValueError(
                "A narrow common phase is modelled for prepared pairs; EllipseContrasts fits "
                "independent atoms with one."
            )
        return OrientedTable(beliefs.shared, beliefs.common_phase)
    return TableLikelihood(beliefs.shared) if prepared else ProductTable(beliefs.shared)


@dataclass(frozen=True, slots=True)
class ScheduleBounds:
    """Least standard deviations of the signal, radians.

    Attributes:
        cramer_rao_std: nuisances and knobs free within their calibrations.
        standard_quantum_limit_std: 1/sqrt(4 S n), all shots, uncorrelated atoms counted perfectly.
    """

    cramer_rao_std: float
    standard_quantum_limit_std: float

    def to_json(self) -> dict[str, float]:
        """The two standard deviations."""
        return {
            "cramer_rao_std": self.cramer_rao_std,
            "standard_quantum_limit_std": self.standard_quantum_limit_std,
        }


def schedule_bounds(
    truth: ScheduleBeliefs, signal: float, shots: Mapping[int, int]
) -> ScheduleBounds:
    """Cramér-Rao bound of the signal for so many shots of each setting.

    Args:
        truth: values of the nuisances with the covariance that their calibrations leave; the bias
            phases of its settings are taken as true.
        signal: radians.
        shots: number of shots by index of the setting.
    """
    posterior = SchedulePosterior(truth, [])
    size = posterior.lower.size - 1
    total = np.diag([0.0, *np.ones(size - 1)])
    for index, number in shots.items():
        setting = truth.settings[index]
        phase = signal + setting.bias_phase
        folded, sign = fold(phase), 1.0 if math.sin(2.0 * phase) >= 0.0 else -1.0
        if truth.common_phase is not None:  # the counts are not even in the phase
            folded, sign = phase, 1.0
        table = table_of(truth, setting.prepared)
        information = table_information(truth.shared, folded, table)
        turn = np.zeros((5, size))
        turn[0] = sign * posterior.phase_row(setting)[:-1]
        turn[1:, 1:] = posterior.directions[:4]
        total += number * turn.T @ information @ turn
    every = sum(shots.values())
    return ScheduleBounds(
        math.sqrt(float(np.linalg.inv(total)[0, 0])), 1.0 / math.sqrt(4.0 * truth.spin * every)
    )


def preparation_gain(
    posterior: SchedulePosterior, optimum: Optimum, level: float
) -> Quantity | None:
    """Precision of a prepared shot over that of independent atoms, dB, from the measured scores.

    The efficient score of a shot is that of the phase less what the nuisances explain; its mean
    square is the information per shot. None unless both kinds were taken.
    """
    squares: dict[bool, list[Array]] = {True: [], False: []}
    inner = optimum.point.information[1:-1, 1:-1]
    for part in posterior.parts:
        _, scores = posterior.scores(optimum.point.x, part)
        rows = scores[:, 1:-1] - np.outer(scores[:, 0], posterior.phase_row(part.setting)[1:-1])
        own = rows.T @ scores[:, 0]
        efficient = scores[:, 0] - rows @ np.linalg.lstsq(inner, own, rcond=None)[0]
        squares[part.setting.prepared].append(efficient**2)
    if not (squares[True] and squares[False]):
        return None
    decibel, variance = [], 0.0
    for kind in (True, False):
        values = np.concatenate(squares[kind])
        decibel.append(10.0 * math.log10(float(values.mean())))
        variance += float(values.var(ddof=1)) / (len(values) * float(values.mean()) ** 2)
    std = 10.0 / math.log(10.0) * math.sqrt(variance)
    value, reach = decibel[0] - decibel[1], float(norm.ppf(0.5 + 0.5 * level)) * std
    return Quantity(value, std, (value - reach, value + reach), level, "dB")


def pulls(beliefs: ScheduleBeliefs, estimate: Estimate) -> dict[str, float]:
    """How far each shared quantity lies from its calibration, in the calibration's own stds."""
    stds = np.sqrt(np.diag(np.asarray(beliefs.covariance)))
    believed = {name: getattr(beliefs, name) for name in SHARED[:4]}
    found = {}
    for name, std in zip(SHARED, stds.tolist(), strict=True):
        label = f"{name}_scale" if name in SHARED[4:] else name
        if label not in estimate.quantities or std == 0.0:
            continue
        value, centre = estimate[label].value, float(believed.get(name, 1.0))
        shift = value - centre if name == "background" else math.log(value / centre)
        found[name] = shift / std
    return found
