"""How a Ramsey run with an ellipse is told: its rows at the end of a run, and its figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..protocols.engine import RunResult
    from ..protocols.protocol import ExperimentProtocol
    from .figures import RunningEstimate

Rows = list[tuple[str, str]]


def rows(result: RunResult, protocol: ExperimentProtocol) -> Rows:
    """The phase against the truth, the limits, and what the gain rests on."""
    own, others = _gain_against_noise(protocol, result)
    return [
        *_estimate_rows(result),
        (
            "the gain rests on",
            f"counting noise of {own:.2f} atoms per ensemble (√(G n + b)/G at half filling);",
        ),
        ("", "with nuisances known it would be " + ", ".join(others)),
    ]


def figure(
    path: Path,
    result: RunResult,
    protocol: ExperimentProtocol,
    history: Sequence[RunningEstimate],
) -> Path | None:
    """The ellipse with its fit, and the phase as it settled; None without an estimate."""
    from ..models import TwoEnsembles, steady_state
    from .figures import ramsey_figure

    estimate = result.estimate
    if estimate is None:
        return None
    spin = protocol.settings.atoms_per_ensemble / 2
    state = steady_state(TwoEnsembles(spin, 1.0, estimate["detuning_ratio"].value))
    area = estimate["pulse_area"].value
    headline = protocol.quantities[0]
    return ramsey_figure(
        path,
        _main_counts(result, protocol),
        history,
        {name: estimate[name].value for name in ("phase", "gain", "background")},
        spin=spin,
        contrast=abs(state.spin_length) / (2 * spin) * math.sin(area),
        truth=None if result.truth is None else result.truth.get(headline),
        title=f"{protocol.name}: {headline} = {estimate[headline]}, {result.shots} shots",
        label="differential phase φ (rad)" if headline == "phase" else f"{headline} (rad)",
    )


def _main_counts(result: RunResult, protocol: ExperimentProtocol) -> NDArray[Any]:
    """Counts of the good shots of one ellipse: of the kind of prepared shot taken most often."""
    import numpy as np

    records = result.records
    good = records["status"].values == 1
    point = records["point_index"].values
    columns = {column.name for column in protocol.set_points}
    if "coil_check" in columns:
        good &= records["coil_check"].values[point] == 0
    if "setting" in columns:
        setting, prepared = records["setting"].values[point], records["prepared"].values[point]
        kinds, shots = np.unique(setting[good & (prepared == 1)], return_counts=True)
        good &= setting == kinds[np.argmax(shots)]
    counts: NDArray[Any] = records["counts"].values[good]
    return counts


def _gain_against_noise(protocol: ExperimentProtocol, result: RunResult) -> tuple[float, list[str]]:
    """Counting noise in atoms, and the gain that other detectors would leave.

    The same state and phase with gain and background scaled together: the counting noise of n
    atoms is √(G n + b)/G.
    """
    from dataclasses import replace

    import numpy as np

    from ..estimators import EllipseBeliefs, ellipse_bounds
    from ..models import counting_noise

    estimate = result.estimate
    if estimate is None:
        raise ValueError("the gain of a run without estimate cannot be explained")
    spin = protocol.settings.atoms_per_ensemble / 2
    gain, background = estimate["gain"].value, estimate["background"].value
    own = float(counting_noise(gain, background, spin))
    base = EllipseBeliefs(
        spin=spin,
        detuning_ratio=estimate["detuning_ratio"].value,
        pulse_area=estimate["pulse_area"].value,
        gain=gain,
        background=background,
        covariance=np.zeros((4, 4)),
    )
    rows = []
    for other in (own / 2, own * 2, own * 4):
        scale = (own / other) ** 2
        beliefs = replace(base, gain=gain * scale, background=background * scale)
        bound = ellipse_bounds(beliefs, estimate["phase"].value, result.shots)
        db = 20 * math.log10(bound.standard_quantum_limit_std / bound.cramer_rao_std_known)
        rows.append(f"{db:+.1f} dB at {other:.2f} atoms")
    return own, rows


def _estimate_rows(result: RunResult) -> list[tuple[str, str]]:
    estimate = result.estimate
    if estimate is None:
        return []
    rows = []
    for name, label in (("phase", "phase φ"), ("signal", "signal (φ − bias)")):
        quantity = estimate[name]
        low, high = quantity.interval
        rows.append(
            (label, f"{quantity.value:.5f} ± {quantity.std:.5f} rad   95 % [{low:.5f}, {high:.5f}]")
        )
        if result.truth is not None and name in result.truth:
            true = float(result.truth[name])
            pull = (quantity.value - true) / quantity.std
            rows.append(("  the laboratory's truth", f"{true:.5f}{pull:>+11.1f} σ off"))
    if "preparation_gain" in estimate.quantities:
        low, high = estimate["preparation_gain"].interval
        rows.append(
            (
                "gain of the preparation",
                f"{estimate['preparation_gain'].value:+.1f} dB a shot, measured side by side with "
                f"independent atoms   95 % [{low:+.1f}, {high:+.1f}]",
            )
        )
    if "detuning_scale" in estimate.quantities:
        scale = estimate["detuning_scale"]
        rows.append(("the coil gives", f"{scale.value:.4f} ± {scale.std:.4f} of its calibration"))
    else:
        bias = math.sqrt(max(0.0, estimate["signal"].std ** 2 - estimate["phase"].std ** 2))
        rows.append(
            ("", f"of the signal's error ± {bias:.5f} rad is the calibration of the bias phase")
        )
    fit = estimate.goodness_of_fit
    if fit is not None:
        rows.append(("goodness of fit", f"p = {fit.p_value:.2f}"))
    rows.extend(("note", flag) for flag in estimate.flags)
    bounds = result.bounds
    if bounds is not None:
        rows.append(
            (
                "standard quantum limit",
                f"{bounds.standard_quantum_limit_std:.5f} rad  "
                "(uncorrelated atoms, ideal counting)",
            )
        )
        rows.append(
            (
                "Cramér-Rao bound",
                f"{bounds.cramer_rao_std:.5f} rad  (gain, background, Δ/Ω and pulse area free "
                "within their calibrations)",
            )
        )
    if result.gain_db is not None:
        rows.append(("gain over the SQL", f"{result.gain_db:+.1f} dB, nuisances included"))
    return rows
