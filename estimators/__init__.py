"""From records to numbers with honest error bars, offline and online."""

from .adaptive_phase import AdaptivePhase
from .adaptive_pumping import AdaptivePumping
from .bounds import Bounds, ellipse_bounds
from .drift import DriftFilter, Step, drift_bounds, find_step
from .ellipse_beliefs import EllipseBeliefs
from .ellipse_phase import EllipsePhase, EstimatorRangeError
from .ellipse_starts import EllipseFit, fit_conic, fit_geometric
from .estimate import Estimate, GoodnessOfFit, Quantity
from .grid_posterior import Axis, GridPosterior, OutcomeTable
from .particles import ParticlePosterior
from .phase_table import PhaseTable, coherent_table, state_table
from .pumping_beliefs import Calibrated, HoldBeliefs, SnapshotBeliefs, SweepBeliefs
from .pumping_bounds import (
    PumpingBounds,
    hold_bounds,
    snapshot_bounds,
    sweep_bounds,
    sweep_mean_bounds,
)
from .pumping_chain import ChainValues
from .pumping_hold import PumpingHold
from .pumping_sampling import draw_snapshots, draw_sweeps
from .pumping_snapshots import PumpingSnapshots
from .pumping_sweeps import PumpingSweeps
from .records import RecordError
from .squeezing_beliefs import SqueezingBeliefs
from .squeezing_bounds import squeezing_bounds, tomography_bounds
from .squeezing_certificate import SqueezingCertificate
from .squeezing_parameter import WinelandFromShots
from .squeezing_tomography import SqueezingTomography
from .squeezing_two_mode import TwoModeSqueezing
from .stopping import PrecisionStop, StoppingCheck, check_stopping

__all__ = [
    "AdaptivePhase",
    "AdaptivePumping",
    "Axis",
    "Bounds",
    "Calibrated",
    "ChainValues",
    "DriftFilter",
    "EllipseBeliefs",
    "EllipseFit",
    "EllipsePhase",
    "Estimate",
    "EstimatorRangeError",
    "GoodnessOfFit",
    "GridPosterior",
    "HoldBeliefs",
    "OutcomeTable",
    "ParticlePosterior",
    "PhaseTable",
    "PrecisionStop",
    "PumpingBounds",
    "PumpingHold",
    "PumpingSnapshots",
    "PumpingSweeps",
    "Quantity",
    "RecordError",
    "SnapshotBeliefs",
    "SqueezingBeliefs",
    "SqueezingCertificate",
    "SqueezingTomography",
    "Step",
    "StoppingCheck",
    "SweepBeliefs",
    "TwoModeSqueezing",
    "WinelandFromShots",
    "check_stopping",
    "coherent_table",
    "draw_snapshots",
    "draw_sweeps",
    "drift_bounds",
    "ellipse_bounds",
    "find_step",
    "fit_conic",
    "fit_geometric",
    "hold_bounds",
    "snapshot_bounds",
    "squeezing_bounds",
    "state_table",
    "sweep_bounds",
    "sweep_mean_bounds",
    "tomography_bounds",
]
