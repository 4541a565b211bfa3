"""Figures of merit of every system by name: what `cavitylab predict` prints.

```python
model("two_ensembles").predict({"S": 50, "Omega": 100, "Delta": 10}).quantities["xi2"].value
```
"""

from __future__ import annotations

import difflib
from importlib import import_module

from .shape import Model, Parameter, Predicted, Prediction, PredictionError

__all__ = ["MODELS", "Model", "Parameter", "Predicted", "Prediction", "PredictionError", "model"]

MODELS: tuple[str, ...] = (
    "two_ensembles",
    "many_ensembles",
    "chain",
    "two_mode_squeezing",
    "squeezed_reservoir",
    "pumped_superradiance",
    "multi_ensemble_superradiance",
)
"""Names of the models, each also the name of the module that holds it."""


def model(name: str) -> Model:
    """The model of that name.

    Raises:
        PredictionError: There is none; the message lists those that there are.
    """
    if name not in MODELS:
        near = difflib.get_close_matches(name, MODELS, n=1)
        hint = f" (did you mean `{near[0]}`?)" if near else ""
        raise PredictionError(f"there is no model {name!r}{hint}; there are {', '.join(MODELS)}")
    found: Model = import_module(f".{name}", __name__).MODEL
    return found
