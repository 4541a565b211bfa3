"""The engine: runs a protocol on a station, records it, and leaves everything safe."""

from .engine import ApparatusRefusal, GuardError, MissingRole
from .result import Answer, EstimateFailed, NoBeliefsError, RunResult, stored_beliefs
from .run import check_steps, run
from .states import State
from .until import UntilError

__all__ = [
    "Answer",
    "ApparatusRefusal",
    "EstimateFailed",
    "GuardError",
    "MissingRole",
    "NoBeliefsError",
    "RunResult",
    "State",
    "UntilError",
    "check_steps",
    "run",
    "stored_beliefs",
]
