r"""Collective decay of n atoms in a symmetric state, without drive: a ladder of populations.

    dP_k/dt = Gamma [(k+1)(n-k) P_{k+1} - k(n-k+1) P_k],      k atoms up

The diagonal of Gamma D[S^-] in the Dicke states of J = n/2 (Dicke 1954; Gross & Haroche 1982,
Eq. 2.18) is closed: whatever the coherences are, they do not feed it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln, xlogy

from ._checks import not_negative, whole

Array = NDArray[np.float64]

_MOST_JUMPS = 200_000
_CHUNK = 2048
_REACH = 9.0


def decay_rates(atoms: int) -> Array:
    """(n+1,) rates of k -> k-1 atoms up, in units of Gamma: k (n-k+1)."""
    number = np.arange(whole(atoms, "atoms") + 1.0)
    rates: Array = number * (number.size - number)
    return rates


def decay_flow(populations: ArrayLike) -> Array:
    """dP/d(Gamma t) of populations (…, n+1)."""
    state = np.asarray(populations, dtype=np.float64)
    lost = state * decay_rates(state.shape[-1] - 1)
    flow = -lost
    flow[..., :-1] += lost[..., 1:]
    return flow


def decayed_populations(start: ArrayLike, times: ArrayLike) -> Array:
    """Populations after collective decay.

    By uniformisation: jumps at the largest rate, of which as many do nothing as make up for
    slower rates; all terms are positive, so that no digits are lost.

    Args:
        start: (…, n+1) populations, k atoms up ascending; need not be normalised.
        times: (T,) Gamma t, not negative.

    Returns:
        (T, …, n+1).

    Raises:
        ValueError: on a negative time, or one so long that it takes above 200 000 jumps.
    """
    state = np.array(start, dtype=np.float64)
    spans = np.array([not_negative(float(one), "times") for one in np.asarray(times).ravel()])
    rates = decay_rates(state.shape[-1] - 1)
    fastest = float(rates.max())
    most = fastest * float(spans.max(initial=0.0))
    jumps = math.ceil(most + _REACH * math.sqrt(most) + 20.0)
    if jumps > _MOST_JUMPS:
        raise ValueError(
            f"Argument `times` must stay below {_MOST_JUMPS / fastest:.4g} for "
            f"{state.shape[-1] - 1} atoms, but reaches {spans.max():.4g}: all atoms are long down."
        )
    share, moved = rates / fastest, np.empty_like(state)
    mean = fastest * spans[:, None]
    result = np.zeros((spans.size, state.size))
    for first in range(0, jumps + 1, _CHUNK):
        number = np.arange(first, min(first + _CHUNK, jumps + 1), dtype=np.float64)
        states = np.empty((number.size, *state.shape))
        for index in range(number.size):
            states[index] = state
            np.multiply(state, share, out=moved)
            state -= moved
            state[..., :-1] += moved[..., 1:]
        weights = np.exp(xlogy(number, mean) - mean - gammaln(number + 1.0))
        result += weights @ states.reshape(number.size, -1)
    return result.reshape(spans.size, *state.shape)
