"""The engine: runs a protocol on a station, records it, and leaves everything safe."""

from ..guardian import GuardianError
from .checking import MissingRole, check_steps
from .guards import CountsGuard, GuardError, HealthGuard, ReadingGuard
from .past import ResumeError, read_past, resume_options
from .result import (
    Answer,
    EstimateFailed,
    NoBeliefsError,
    RunResult,
    stored_beliefs,
    stored_estimator,
    stored_records,
)
from .run import run
from .shots import ApparatusRefusal
from .states import State
from .until import UntilError

__all__ = [
    "Answer",
    "ApparatusRefusal",
    "CountsGuard",
    "EstimateFailed",
    "GuardError",
    "GuardianError",
    "HealthGuard",
    "MissingRole",
    "NoBeliefsError",
    "ReadingGuard",
    "ResumeError",
    "RunResult",
    "State",
    "UntilError",
    "check_steps",
    "read_past",
    "resume_options",
    "run",
    "stored_beliefs",
    "stored_estimator",
    "stored_records",
]
