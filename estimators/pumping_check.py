"""Goodness of fit from sums of residuals, corrected for the parameters that were fitted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from .estimate import GoodnessOfFit

Array = NDArray[np.float64]

_FITTED = 0.15  # remaining variance below which a direction was used up by the fit


def residual_test(
    residual: Array,
    noise: Array,
    design: Array,
    covariance: Array,
    pulls: Array,
    pull_design: Array,
    test: str,
) -> GoodnessOfFit | None:
    """Chi-square of residuals r with r(fit) = r(truth) - B (fit - truth).

    Args:
        residual: (q,) at the fitted parameters.
        noise: (q, q) its covariance at the true parameters.
        design: B, (q, p).
        covariance: V, (p, p), of the fitted parameters; the residuals' covariance is
            noise - B V B^T, as the fit is efficient.
        pulls: (k,) deviations of calibrated parameters from their calibration, in its stds.
        pull_design: (k, p), their slopes.
        test: its name.
    """
    root = np.linalg.cholesky(noise)
    whole = np.concatenate([np.linalg.solve(root, residual), -pulls])
    slopes = np.vstack([np.linalg.solve(root, design), pull_design])
    left = np.eye(whole.size) - slopes @ covariance @ slopes.T
    values, vectors = np.linalg.eigh(0.5 * (left + left.T))
    tested = values > _FITTED
    degrees = int(tested.sum())
    if degrees < 1:
        return None
    statistic = float(np.sum((vectors.T @ whole)[tested] ** 2 / values[tested]))
    return GoodnessOfFit(statistic, float(chi2.sf(statistic, degrees)), degrees, test)
