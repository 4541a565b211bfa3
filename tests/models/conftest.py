"""Reference values of the steady state and its readout, computed by independent means."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest


class Oracle:
    """One reference case: its inputs, and a comparison at the case's own tolerance."""

    def __init__(self, case: dict[str, Any]) -> None:
        self.inputs = SimpleNamespace(**case["inputs"])
        self._outputs = case["outputs"]
        self._tolerance = case["tol"]

    def __getitem__(self, key: str) -> np.ndarray:
        value = self._outputs[key]
        if isinstance(value, dict):
            return np.array(value["re"]) + 1j * np.array(value["im"])
        return np.asarray(value)

    def check(self, key: str, value: Any) -> None:
        """Fail unless |value - expected| <= rtol |expected| + atol in every element."""
        np.testing.assert_allclose(value, self[key], **self._tolerance, err_msg=key)


@pytest.fixture(scope="session")
def oracle() -> Callable[[str], Oracle]:
    """Return the reference case of a name such as "r04"."""
    text = Path(__file__).with_name("oracles_reconfigurable.json").read_text(encoding="utf-8")
    cases = {case["id"]: case for case in json.loads(text)["cases"]}
    return lambda name: Oracle(cases[name])


@pytest.fixture(scope="session")
def reference() -> Callable[[str], tuple[dict[str, Any], dict[str, Any], dict[str, float]]]:
    """Of a case of many ensembles in one cavity, "S07": inputs, expected values, tolerances."""
    text = Path(__file__).with_name("oracles_multi_ensemble.json").read_text(encoding="utf-8")
    cases = {case["id"]: case for case in json.loads(text)["cases"]}
    return lambda name: tuple(cases[name][key] for key in ("inputs", "expected", "tol"))


@pytest.fixture(scope="session")
def checked(reference: Callable[[str], Any]) -> Callable[[str], Any]:
    """As `reference`, with a comparison at the case's own tolerance in place of the numbers."""

    def of(name: str) -> Any:
        inputs, expected, tol = reference(name)
        tolerance = {"rtol": tol.get("rel", 0.0), "atol": tol.get("abs", 0.0)}
        return inputs, expected, lambda a, b: np.testing.assert_allclose(a, b, **tolerance)

    return of
