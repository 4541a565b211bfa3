"""Control software for cavity-QED laboratories: rehearse, run, estimate.

The public names are loaded on first use, so that ``import cavitylab`` stays instant.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .instruments.station import Station
    from .protocols.engine import run
    from .protocols.recording import Run, RunWriter

__version__ = "0.1.0"

__all__ = ["Run", "RunWriter", "Station", "__version__", "run"]

_HOME = {
    "Run": ".protocols.recording",
    "RunWriter": ".protocols.recording",
    "Station": ".instruments.station",
    "run": ".protocols.engine",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
