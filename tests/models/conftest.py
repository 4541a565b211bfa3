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
