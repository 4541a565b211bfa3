"""Figures of merit of a chain of ensembles with string order (Chu Sec. V)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .._checks import whole
from ..chain import Chain, cell_amplitudes
from ..chain_order import (
    aklt_fidelity,
    correlation_length,
    spin_correlation_length,
    string_correlation,
    string_length,
    string_order,
)
from .shape import Model, Parameter, Predicted

_LARGEST_CELL = 20  # 2S+1; the transfer matrix has (2S+1)^4 entries
_LARGEST_SPIN = 1000  # the table of 6j symbols has (2S+1)^2 entries
_LONGEST = 10_000  # cells, or ensembles of a chain


def compute(values: Mapping[str, Any]) -> dict[str, Predicted]:
    """Lengths in ensembles, two to a cell; the state depends on ratios of the rates only."""
    chain = Chain(
        spin=values["S"],
        edge_detuning=values["Delta_e"],
        bulk_detuning=values["Delta_b"],
        exchange=values["chi"],
        rabi_frequency=values["Omega"],
    )
    limit = chain.rabi_frequency == math.inf
    if not limit and chain.dimension > _LARGEST_CELL:
        raise ValueError(
            f"Argument `S` must be at most {0.5 * (_LARGEST_CELL - 1):g} at a finite drive for "
            f"an answer in a second, but is {chain.spin:g}; Omega=inf takes any up to "
            f"{_LARGEST_SPIN}."
        )
    if chain.spin > _LARGEST_SPIN:
        raise ValueError(
            f"Argument `S` must be at most {_LARGEST_SPIN} for an answer in seconds, but is "
            f"{chain.spin:g}."
        )
    angle = values["phi"]
    out = {
        "string_order": Predicted(
            string_order(chain, angle),
            "",
            "Chu Eqs. 36-39" if limit else "Chu App. D 3",
            "" if limit else "at infinite distance, where a finite drive leaves none",
        ),
        "correlation_length": Predicted(
            correlation_length(chain), "ensembles", "Chu Eq. D25, all correlations"
        ),
        "string_length": Predicted(
            string_length(chain, angle),
            "ensembles",
            "Chu Eq. D28",
            "the string correlator does not decay in the large-drive limit" if limit else "",
        ),
    }
    return out | _large_drive(chain, limit) | _finite(chain, values)


def _large_drive(chain: Chain, limit: bool) -> dict[str, Predicted]:
    """What has closed forms in the large-drive limit only."""
    if not limit:
        reason = "ranks mix at a finite drive; give Omega=inf"
        return {
            "spin_correlation_length": Predicted(None, "ensembles", "Chu Eqs. 35, D26", reason),
            "cell_weights": Predicted(None, "", "Chu Eq. D11", reason),
        }
    j = np.arange(chain.dimension)
    weights = (2.0 * j + 1.0) * np.abs(cell_amplitudes(chain)) ** 2 / chain.dimension**2
    return {
        "spin_correlation_length": Predicted(
            spin_correlation_length(chain), "ensembles", "Chu Eqs. 35, D26"
        ),
        "cell_weights": Predicted(
            weights.tolist(),
            "",
            "Chu Eqs. D11, D12",
            "probability of total spin J = 0 ... 2S in a cell; AKLT has only the last",
        ),
    }


def _finite(chain: Chain, values: Mapping[str, Any]) -> dict[str, Predicted]:
    """Quantities of a given distance or length."""
    order = Predicted(None, "", "Chu Eq. D15", "give `cells`, the distance in cells")
    fidelity = Predicted(None, "", "Chu Fig. 7c", "give `L`, the number of ensembles")
    if chain.dimension > _LARGEST_CELL:
        reason = f"2S+1 above {_LARGEST_CELL} takes seconds"
        order = Predicted(None, "", order.source, reason)
        fidelity = Predicted(None, "", fidelity.source, reason)
        return {"string_correlation": order, "aklt_fidelity": fidelity}
    if values["cells"] is not None:
        distance = _short(values["cells"], "cells", least=1)
        correlation = string_correlation(chain, distance, values["phi"])
        order = Predicted(correlation, "", order.source)
    if values["L"] is not None:
        overlap = aklt_fidelity(chain, _short(values["L"], "L", least=2))
        fidelity = Predicted(
            overlap, "", fidelity.source, "" if chain.spin == 0.5 else "with the spin-2S AKLT state"
        )
    return {"string_correlation": order, "aklt_fidelity": fidelity}


def _short(value: Any, name: str, least: int) -> int:
    number = whole(value, name, least)
    if number > _LONGEST:
        raise ValueError(f"Argument `{name}` must not exceed {_LONGEST}, but is {number}.")
    return number


MODEL = Model(
    name="chain",
    title="chain of ensembles with string order",
    paper="Chu et al., Sec. V",
    parameters=(
        Parameter("S", "", "spin of each ensemble (2S atoms)"),
        Parameter("Omega", "rate", "Rabi frequency of the common drive", infinite=True),
        Parameter("chi", "rate", "chiral exchange, not 0"),
        Parameter("Delta_e", "rate", "detuning difference of the two ends"),
        Parameter("Delta_b", "rate", "detuning difference within a cell"),
        Parameter("phi", "rad", "angle of the string", math.pi),
        Parameter("cells", "", "distance of the string correlator in cells", optional=True),
        Parameter("L", "", "number of ensembles, even", optional=True),
    ),
    compute=compute,
    example={
        "S": "0.5",
        "Omega": "20",
        "chi": "1",
        "Delta_e": "0",
        "Delta_b": "1.4142135623730951",
        "cells": "10",
        "L": "20",
    },
)
