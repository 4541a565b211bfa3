"""What is known before shots are read for squeezing: atoms, detector, spin length."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from .records import RecordError

SQUEEZED, LENGTH, REFERENCE, CONJUGATE = 0, 1, 2, 3  # values of the column `setting`


@dataclass(frozen=True, slots=True)
class SqueezingBeliefs:
    """One or two ensembles of N = 2S atoms, read by one detector each.

    Counts of detector j are Poisson(gain n_j + background), n_j = S + m_j.

    Attributes:
        spin: S of one ensemble.
        ensembles: 1 or 2.
        gain: counts per atom.
        background: counts per gate.
        weights: of the observable sum_j w_j m_j whose variance is squeezed.
        length_weights: of the observable whose mean is the spin length L. For two ensembles of
            opposite spin (1, -1): L = <S1x - S2x>.
        detection: where the detection variance comes from: "counting" (Poisson noise, from the
            mean counts), "reference" (shots of setting 2, whose atom number does not
            fluctuate), or "none".
        spin_length: L in atoms where it is known; None: from shots of setting 1.
        spin_length_std: its standard deviation.
        spin_std: relative standard deviation of S.
        gain_std: relative standard deviation of the gain.
        background_std: standard deviation of the background, counts.
        least_kurtosis: of the observable by a model of the state (3: Gaussian). With few shots a
            sample seldom shows long tails; with this number their interval covers all the same.

    Raises:
        ValueError: on values outside these rules.
    """

    spin: float
    ensembles: int = 2
    gain: float = 1.0
    background: float = 0.0
    weights: tuple[float, ...] = (1.0, 1.0)
    length_weights: tuple[float, ...] = (1.0, -1.0)
    detection: Literal["counting", "reference", "none"] = "counting"
    spin_length: float | None = None
    spin_length_std: float = 0.0
    spin_std: float = 0.0
    gain_std: float = 0.0
    background_std: float = 0.0
    least_kurtosis: float = 0.0

    def __post_init__(self) -> None:
        if self.ensembles not in (1, 2):
            raise ValueError(f"Argument `ensembles` must be 1 or 2, but is {self.ensembles!r}.")
        if self.detection not in ("counting", "reference", "none"):
            raise ValueError(
                "Argument `detection` must be 'counting', 'reference' or 'none', but is "
                f"{self.detection!r}."
            )
        for name in ("spin", "gain"):
            _need(getattr(self, name), 0.0, name, above=True)
        stds = ("spin_length_std", "spin_std", "gain_std", "background_std")
        for name in ("background", *stds, "least_kurtosis"):
            _need(getattr(self, name), 0.0, name)
        if self.spin_length is not None:
            _need(self.spin_length, 0.0, "spin_length", above=True)
        for name in ("weights", "length_weights"):
            row = getattr(self, name)
            if len(row) < self.ensembles or not all(math.isfinite(w) for w in row):
                raise ValueError(
                    f"Argument `{name}` must hold {self.ensembles} finite numbers, but is {row!r}."
                )

    @property
    def atoms(self) -> float:
        """N_tot: 2S of every ensemble."""
        return 2.0 * self.spin * self.ensembles

    @property
    def largest_mean(self) -> float:
        """Mean counts of one ensemble with every atom in the counted state."""
        return 2.0 * self.spin * self.gain + self.background


def whole_settings(settings: object, allowed: tuple[int, ...]) -> None:
    """Refuse values of the column `setting` that mean nothing here."""
    import numpy as np

    column = np.asarray(settings)
    strange = ~np.isin(column, allowed)
    if strange.any():
        raise RecordError(
            f"Column `setting` must be one of {', '.join(map(str, allowed))}, but has "
            f"{column[strange][0]!r}."
        )


def _need(value: float, lowest: float, name: str, *, above: bool = False) -> None:
    if not math.isfinite(value) or value < lowest or (above and value == lowest):
        rule = f"above {lowest:g}" if above else f"at least {lowest:g}"
        raise ValueError(f"Argument `{name}` must be finite and {rule}, but is {value!r}.")
