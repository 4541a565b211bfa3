"""Sweeps: one rehearsal for every combination of settings and seeds, on a Dask cluster.

Each task is a run of its own with the recorder's guarantee; a catalogue says which run counts
for which task. See docs/sweeps.md.
"""

from .cluster import MissingExtraError
from .outcome import TaskOutcome
from .plan import SweepPlan, SweepSettingsError
from .sweep import Sweep, SweepBusyError, SweepProgress, run_sweep

__all__ = [
    "MissingExtraError",
    "Sweep",
    "SweepBusyError",
    "SweepPlan",
    "SweepProgress",
    "SweepSettingsError",
    "TaskOutcome",
    "run_sweep",
]
