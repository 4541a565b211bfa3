"""How a dissipative preparation is told: rates, squeezing, darkness, and the figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .plain_report import Rows, bound_rows, fit_rows, quantity_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..protocols.engine import RunResult
    from ..protocols.protocol import ExperimentProtocol
    from .figures import RunningEstimate

_LABELS = {
    "collective_decay": "decay rate Γ/2π",
    "rabi_frequency": "drive Ω/2π",
    "detuning_difference": "detuning Δ/2π",
    "gain": "gain",
    "background": "background",
    "xi2": "squeezing ξ²",
    "xi2_db": "squeezing ξ² in dB",
    "spin_length": "spin length",
    "dark_output": "dark output ⟨J⁺J⁻⟩",
}


def rows(result: RunResult, protocol: ExperimentProtocol) -> Rows:
    """Every quantity against the truth, what the dark output says, and the limits."""
    estimate = result.estimate
    if estimate is None:
        return []
    turned = _has_tomography(result)
    shown = [
        name
        for name in _LABELS
        if name in estimate.quantities and (turned or name in protocol.quantities[:5])
    ]
    told = [row for name in shown for row in quantity_rows(result, name, _LABELS[name])]
    if turned:
        told.append(("", _darkness(result, protocol)))
    return [
        *told,
        *fit_rows(result),
        *bound_rows(result, "Hz"),
        ("", "the limit is of independent atoms with the same mean populations"),
    ]


def figure(
    path: Path,
    result: RunResult,
    protocol: ExperimentProtocol,
    history: Sequence[RunningEstimate],
) -> Path | None:
    """Populations and variances against the hold, the tomography, and the decay rate settling."""
    from matplotlib.figure import Figure

    from .figures import draw_history

    estimate = result.estimate
    if estimate is None or estimate.goodness_of_fit is None:
        return None
    drawn = Figure(figsize=(11.5, 8.4), layout="constrained")
    ((populations, variances), (tomography, settled)) = drawn.subplots(2, 2)
    draw_relaxation(populations, variances, result, protocol)
    draw_tomography(tomography, result, protocol)
    draw_history(
        settled,
        history,
        truth=None if result.truth is None else result.truth.get("collective_decay"),
        limit=None,
        label="decay rate Γ/2π (Hz)",
    )
    drawn.suptitle(
        f"{protocol.name}: Γ/2π = {estimate['collective_decay']}, "
        f"Ω/2π = {estimate['rabi_frequency']}, Δ/2π = {estimate['detuning_difference']}, "
        f"{result.shots} shots"
    )
    drawn.savefig(path, dpi=150)
    return path


def draw_relaxation(
    means: Axes, variances: Axes, result: RunResult, protocol: ExperimentProtocol
) -> None:
    """Means of both ensembles, variances of their sum and difference, and the exact curves."""
    import numpy as np

    from .figures import DATA, FIT, TRUTH

    estimate = result.estimate
    if estimate is None:
        return
    atoms = protocol.settings.atoms_per_ensemble
    holds, y = _atoms_of(result, analysis=0)
    places = np.unique(holds)
    fine = np.linspace(0.0, 1.04 * places.max(), 240)
    curves = _fitted_curves(result, protocol, fine)
    for column, (marker, shift) in enumerate((("o", -0.004), ("s", 0.004))):
        mean, error = _grouped(holds, y[:, column], places)
        x = 1e3 * (places + shift * places.max())
        means.errorbar(
            x, mean, error, fmt=marker, color=DATA, ms=4, mfc="none" if column else DATA,
            label=f"ensemble {column + 1}",
        )  # fmt: skip
    means.plot(1e3 * fine, curves.mean, color=FIT, lw=1.5, label=curves.label)
    means.set_ylabel("atoms up")
    for curve, marker, label in ((curves.sum, "o", "sum"), (curves.difference, "s", "difference")):
        sign = 1.0 if label == "sum" else -1.0
        value = y[:, 0] + sign * y[:, 1]
        noise = _noise(result, analysis=0)
        got, error = _variances(holds, value, noise, places)
        variances.errorbar(
            1e3 * places, got, error, fmt=marker, color=DATA, ms=4,
            mfc="none" if sign < 0 else DATA, label=f"Var of the {label}",
        )  # fmt: skip
        variances.plot(1e3 * fine, curve, color=FIT, lw=1.5)
    variances.axhline(atoms / 2, color="0.6", lw=0.9, ls=":", label="independent atoms, at most")
    variances.set_ylabel("variance (atoms²), counting noise subtracted")
    for axes in (means, variances):
        axes.set_xlabel("hold (ms)")
        axes.legend(frameon=False, fontsize=8)
    if curves.photons is None:
        return
    seen = result.records["counts"].values[_good(result, 0)][:, 0].astype(float)
    got, error = _grouped(holds, seen, places)
    means.legend(frameon=False, fontsize=8, loc="lower right")
    light = means.twinx()
    light.errorbar(1e3 * places, got, error, fmt="^", color=TRUTH, ms=4)
    seen_light = estimate["efficiency"].value * curves.photons
    light.plot(
        1e3 * fine,
        seen_light + estimate["output_background"].value * fine,
        color=TRUTH,
        lw=1.2,
        ls="--",
    )
    light.set_ylabel("counts of the cavity's output until then (triangles)", color=TRUTH)
    light.set_ylim(0.0, None)


@dataclass(frozen=True, slots=True)
class _Curves:
    """Atoms up in ensemble 1, variances of sum and difference, and photons, against the hold."""

    mean: Any
    sum: Any
    difference: Any
    photons: Any
    label: str


def _fitted_curves(result: RunResult, protocol: ExperimentProtocol, fine: Any) -> _Curves:
    """Of the fitted rates: exact for few atoms, by cumulant equations for many."""
    import numpy as np

    from ..models.cumulant_populations import RelaxingClouds, cloud_moments
    from ..models.relaxation_outcomes import relaxing_outcomes
    from ..models.two_ensembles import TwoEnsembles

    chosen = protocol.settings
    names = ("rabi_frequency", "detuning_difference", "exchange", "collective_decay")
    rabi, detuning, exchange, decay = (
        2 * math.pi * _value_of(result, name, chosen.exchange_hz) for name in names
    )
    if chosen.many:
        clouds = RelaxingClouds(chosen.atoms_per_ensemble, rabi, detuning, exchange, 0.0, decay)
        moments = cloud_moments(clouds, fine)
        (one, across), (_, two) = np.moveaxis(moments.covariance[:, :2, :2], 0, -1)
        both, twice = one + two, 2.0 * across
        return _Curves(moments.mean[:, 0], both + twice, both - twice, None, "fit, cumulants")
    pair = TwoEnsembles(chosen.spin, rabi, detuning, exchange, decay)
    solved = relaxing_outcomes(pair, fine, photons=chosen.cavity_output)
    n, tables = np.arange(chosen.atoms_per_ensemble + 1.0), solved.probability
    spreads = []
    for which in (np.add.outer(n, n), np.subtract.outer(n, n)):
        mean = np.einsum("tij,ij->t", tables, which)
        spreads.append(np.einsum("tij,ij->t", tables, which**2) - mean**2)
    photons = None if solved.photons is None else solved.photons.mean.sum(axis=(1, 2))
    first = np.einsum("tij,i->t", tables, n)
    return _Curves(first, spreads[0], spreads[1], photons, "fit, exact")


def draw_tomography(axes: Axes, result: RunResult, protocol: ExperimentProtocol) -> None:
    """Variance of the sum against the analysis angle, detection noise subtracted, and its wave."""
    import numpy as np

    from .figures import DATA, FIT, TRUTH

    estimate = result.estimate
    if estimate is None or not _has_tomography(result):
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no tomography", ha="center", transform=axes.transAxes)
        return
    _, y = _atoms_of(result, analysis=1)
    angles = _column(result, "angle", analysis=1)
    places = np.unique(angles)
    value, error = _variances(angles, y.sum(axis=1), _noise(result, analysis=1), places)
    axes.errorbar(
        places / math.pi, value, error, fmt="o", color=DATA, ms=4, label="Var(J), noise subtracted"
    )
    fine = np.linspace(0.0, math.pi, 200)
    facts = estimate.diagnostics
    wave = facts["a"] + facts["c1"] * np.cos(2 * fine) + facts["c2"] * np.sin(2 * fine)
    axes.plot(fine / math.pi, wave, color=FIT, lw=1.5, label=f"fit: ξ² = {estimate['xi2']}")
    atoms = protocol.settings.atoms_per_ensemble
    length = estimate["spin_length"].value
    axes.axhline(
        length**2 / (2 * atoms), color=TRUTH, lw=0.9, ls="--", label="ξ² = 1 at this spin length"
    )
    axes.axhline(atoms / 2, color="0.6", lw=0.9, ls=":", label="all atoms down")
    axes.set_ylim(0.0, None)
    axes.set_xlabel("analysis angle (π rad)")
    axes.set_ylabel("variance of J (atoms²)")
    axes.legend(frameon=False, fontsize=8)


def _darkness(result: RunResult, protocol: ExperimentProtocol) -> str:
    if result.estimate is None:
        return ""
    low, _ = result.estimate["dark_output"].interval
    hold = protocol.settings.tomography_hold
    if low > 0.0:
        return f"after {hold * 1e3:g} ms the cavity is not dark: the state is not the pure one"
    return (
        f"after {hold * 1e3:g} ms no light is seen to leave the cavity, as of the pure dark state"
    )


def _value_of(result: RunResult, name: str, otherwise: float) -> float:
    estimate = result.estimate
    if estimate is None or name not in estimate.quantities:
        return otherwise
    return estimate[name].value


def _has_tomography(result: RunResult) -> bool:
    return result.estimate is not None and "a" in result.estimate.diagnostics


def _good(result: RunResult, analysis: int) -> Any:
    records = result.records
    kind = records["analysis"].values[records["point_index"].values]
    return (records["status"].values == 1) & (kind == analysis)


def _column(result: RunResult, name: str, analysis: int) -> Any:
    records = result.records
    return records[name].values[records["point_index"].values][_good(result, analysis)]


def _counts(result: RunResult, analysis: int) -> Any:
    return result.records["counts"].values[_good(result, analysis)][:, -2:].astype(float)


def _atoms_of(result: RunResult, analysis: int) -> tuple[Any, Any]:
    """Holds, and counts of each shot in atoms by the fitted gain and background."""
    estimate = result.estimate
    if estimate is None:
        raise ValueError("a run without estimate has no gain")
    y = (_counts(result, analysis) - estimate["background"].value) / estimate["gain"].value
    return _column(result, "hold", analysis), y


def _noise(result: RunResult, analysis: int) -> Any:
    """Variance of each shot's summed atoms that the counting of photons alone gives."""
    estimate = result.estimate
    if estimate is None:
        raise ValueError("a run without estimate has no gain")
    return _counts(result, analysis).sum(axis=1) / estimate["gain"].value ** 2


def _grouped(at: Any, values: Any, places: Any) -> tuple[Any, Any]:
    import numpy as np

    groups = [values[at == place] for place in places]
    means = np.array([group.mean() for group in groups])
    errors = np.array([group.std(ddof=1) / math.sqrt(len(group)) for group in groups])
    return means, errors


def _variances(at: Any, values: Any, noise: Any, places: Any) -> tuple[Any, Any]:
    """Variances less counting noise, with errors from the fourth moments."""
    import numpy as np

    found, errors = [], []
    for place in places:
        group = values[at == place]
        centred = (group - group.mean()) ** 2
        found.append(group.var(ddof=1) - noise[at == place].mean())
        errors.append(centred.std(ddof=1) / math.sqrt(len(group)))
    return np.array(found), np.array(errors)
