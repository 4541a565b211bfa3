"""A small laboratory of doubles for the engine: roles that write down what is done to them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cavitylab.instruments.calibration import Calibration
from cavitylab.instruments.clock import VirtualClock
from cavitylab.instruments.roles.base import Health, SafeResult
from cavitylab.models import ellipse, two_ensembles
from cavitylab.protocols import RamseyEllipse

CALIBRATIONS = Path(__file__).parents[2] / "station_configs" / "calibrations"
PHASE = 0.17
SMALL: dict[str, Any] = {
    "atoms_per_ensemble": 20,
    "preparation_rabi_hz": 2.5e3,
    "coil_check": 0,
}
"""Ten times fewer atoms than the demo's pair: fits in milliseconds. The doubles know no coil."""


class DoubleParameter:
    """A parameter of a role."""

    def __init__(self, role: DoubleRole) -> None:
        self._role = role

    def set(self, value: float) -> None:
        self._role._do("set", value)


class DoubleRole:
    """Any role: every call becomes a line in the diary; a line may be told to fail or to act."""

    awaits_triggers = False

    def __init__(self, name: str, laboratory: DoubleStation) -> None:
        self.name = name
        self._laboratory = laboratory
        self.parameters = {"detuning_difference": DoubleParameter(self)}
        if name == "laser":
            self.parameters["lock_ok"] = DoubleParameter(self)

    def _do(self, action: str, *values: object) -> None:
        self._laboratory.did(f"{self.name}.{action}", *values)

    def compile(self, *parts: object) -> tuple[object, ...]:
        return parts

    def upload(self, program: Any) -> None:
        self._laboratory.uploaded[self.name] = program
        self._do("upload", program)

    def arm(self) -> None:
        self._do("arm")

    def fire(self) -> None:
        self._do("fire")

    def wait_done(self) -> None:
        self._do("wait_done")

    def check(self) -> None:
        self._do("check")

    def read(self) -> np.ndarray:
        self._do("read")
        return self._laboratory.counts()

    def safe(self) -> SafeResult:
        self._do("safe")
        return SafeResult(self.name, True, "safe")


class DoubleStation:
    """Speaks the station's language; the counts are drawn from the exact outcome probabilities."""

    rehearsal = True
    hash = "0" * 64

    def __init__(self, seed: int = 1, options: dict[str, str] | None = None) -> None:
        self.options = dict(options or {})
        self.clock = VirtualClock(float(self.options.get("time", "0")))
        self.files = {"station.yaml": "1" * 64}
        self.diary: list[str] = []
        self.uploaded: dict[str, tuple[Any, ...]] = {}
        self.hooks: dict[str, Callable[[], None]] = {}
        self.trouble = ""
        self.hazard = False
        self.faults: list[str] = []
        self.safe_results: list[SafeResult] = []
        self.roles = {
            name: DoubleRole(name, self)
            for name in ("drive", "coupling", "gradient", "laser", "timing", "detector")
        }
        files = {"drive": "drive_aom", "gradient": "gradient_coil", "detector": "detector"}
        self.calibrations = {
            role: Calibration.load(CALIBRATIONS / f"{file}.yaml") for role, file in files.items()
        }
        self._rng = np.random.default_rng(seed)
        state = two_ensembles.steady_state(two_ensembles.TwoEnsembles(10, 1.0, 0.4))
        readout = ellipse.EllipseReadout(10, len(state.weights) - 1)
        self._table = readout.distribution(state.weights, PHASE)

    def did(self, action: str, *values: object) -> None:
        self.diary.append(action)
        hook = self.hooks.get(action)
        if hook is not None:
            hook()

    def count(self, action: str) -> int:
        """How often an action was done."""
        return self.diary.count(action)

    def counts(self) -> np.ndarray:
        _, shots = self.uploaded["detector"]
        atoms = ellipse.sample(self._table, shots, self._rng)
        return self._rng.poisson(100.0 * atoms + 50.0)

    def health(self) -> dict[str, Health]:
        self.did("health")
        ok = not self.trouble
        return {"laser": Health(ok, self.trouble or "locked", self.hazard and not ok)}

    def make_safe(self) -> list[SafeResult]:
        self.did("make_safe")
        return self.safe_results

    def snapshot(self) -> dict[str, Any]:
        return {"instruments": {}, "files": self.files}

    def apparatus_faults(self) -> list[str]:
        return self.faults

    def reveal(self) -> dict[str, float]:
        return {"phase": PHASE}


@pytest.fixture
def ramsey() -> Callable[..., RamseyEllipse]:
    """The protocol with few atoms; further settings by keyword."""
    return partial(RamseyEllipse, **SMALL)


@pytest.fixture
def station() -> DoubleStation:
    """A laboratory in which everything works."""
    return DoubleStation()
