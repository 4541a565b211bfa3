"""Records of several ellipses: which setting, which bias, and atom numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .binomial_beliefs import EllipseAtoms
from .ellipse_beliefs import EllipseBeliefs
from .ellipse_posterior import ShotLikelihood
from .records import RecordError, good_shots, read_column, read_counts, refuse_unknown

Array = NDArray[np.float64]

_COLUMNS = ("counts", "populations", "setting", "bias_phase", "time", "point")
_WHOLE = 1e-6  # atoms: how far from a whole number a population may lie


def read_settings(
    records: Mapping[str, ArrayLike], settings: Sequence[EllipseBeliefs | EllipseAtoms]
) -> tuple[NDArray[np.int64], Array, NDArray[np.bool_]]:
    """(shots,) index of the setting and bias of every shot, and which shots are good."""
    refuse_unknown(records, _COLUMNS)
    name = "counts" if "counts" in records else "populations"
    if name not in records:
        raise RecordError(
            f"Records must have a column `counts` or `populations`, but have "
            f"{', '.join(records) or 'none'}."
        )
    if "counts" in records and "populations" in records:
        raise RecordError("Records must have either `counts` or `populations`, but have both.")
    shots = int(np.shape(records[name])[0]) if np.ndim(records[name]) else 0
    good = good_shots(records, shots)
    setting = np.zeros(shots)
    setting[good] = read_column(
        records, "setting", (shots,), good, lowest=0, highest=len(settings) - 1, default=0.0
    )
    if (setting != np.floor(setting)).any():
        raise RecordError("Column `setting` must hold the whole numbers that name the settings.")
    index = setting.astype(np.int64)
    bias = np.array([beliefs.bias_phase for beliefs in settings])[index]
    if "bias_phase" in records:
        bias[good] = read_column(records, "bias_phase", (shots,), good)
    return index, bias, good


def read_atoms(
    records: Mapping[str, ArrayLike],
    settings: Sequence[EllipseBeliefs | EllipseAtoms],
    likelihoods: Sequence[ShotLikelihood],
    setting: NDArray[np.int64],
    good: NDArray[np.bool_],
) -> Array:
    """(good shots, 2) counts of squeezed states, atom numbers of independent atoms."""
    index = setting[good]
    if "populations" in records:
        return _from_populations(records, settings, likelihoods, index, good)
    counts, _ = read_counts(records)
    data = counts.copy()
    for number, beliefs in enumerate(settings):
        own = index == number
        if isinstance(beliefs, EllipseBeliefs) or not own.any():
            continue
        gain = 1.0 if beliefs.gain is None else beliefs.gain
        data[own] = (counts[own] - beliefs.background) / gain
        for port in (0, 1):
            _refuse_atoms("counts", data[:, port], own, beliefs, port)
    return data


def _from_populations(
    records: Mapping[str, ArrayLike],
    settings: Sequence[EllipseBeliefs | EllipseAtoms],
    likelihoods: Sequence[ShotLikelihood],
    index: NDArray[np.int64],
    good: NDArray[np.bool_],
) -> Array:
    shares = read_column(records, "populations", (good.size, 2), good)
    data = np.empty_like(shares)
    for number, (beliefs, likelihood) in enumerate(zip(settings, likelihoods, strict=True)):
        own = index == number
        if not own.any():
            continue
        if isinstance(beliefs, EllipseBeliefs):
            raise RecordError(
                f"Column `populations` cannot serve setting {number}, a squeezed state; its model "
                "reads raw `counts`."
            )
        data[own] = shares[own] * np.array(beliefs.atoms)
        if likelihood.name == "binomial":
            whole = np.rint(data[own])
            off = np.abs(data[own] - whole) > _WHOLE * np.array(beliefs.atoms) + 1e-9
            if off.any():
                raise RecordError(
                    "Column `populations` times the atom number must be a whole number for the "
                    f"binomial model, but one is {data[own][off][0]:.6g}; give the noise of the "
                    'populations and choose method="ring".'
                )
            data[own] = whole
        for port in (0, 1):
            _refuse_atoms("populations", data[:, port], own, beliefs, port)
    return data


def _refuse_atoms(
    column: str, atoms: Array, own: NDArray[np.bool_], beliefs: EllipseAtoms, port: int
) -> None:
    """Refuse what the atoms of a port cannot have given, noise allowed for."""
    number = beliefs.atoms[port]
    noise = 0.0
    if beliefs.noise > 0.0 or beliefs.noise_free or beliefs.gain is not None:
        gain = beliefs.gain or np.inf
        counting = number / gain + beliefs.background / gain**2
        noise = 10.0 * float(np.sqrt(counting + beliefs.noise**2))
        noise += 0.5 * number if beliefs.noise_free else 0.0
    beyond = own & ((atoms < -noise) | (atoms > number + noise))
    if beyond.any():
        shot = int(np.flatnonzero(beyond)[0])
        raise RecordError(
            f"Column `{column}`: good shot {shot}, detector {port} gives {atoms[shot]:.6g} atoms, "
            f"which must lie within [0, {number}] and the noise; mark it with a status other than "
            "1, or correct the atom number, the gain or the noise."
        )
