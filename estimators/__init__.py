"""From records to numbers with honest error bars, offline and online."""

from .adaptive_phase import AdaptivePhase
from .adaptive_pumping import AdaptivePumping
from .bounds import Bounds, ellipse_bounds
from .calibrations_aom import AomCalibration, aom_bounds
from .calibrations_detector import (
    DeadTimeCalibration,
    DetectorCalibration,
    dead_time_bounds,
    detector_bounds,
)
from .calibrations_gate import GateDecision, GateRules, Limits, gate
from .calibrations_rabi import RabiBeliefs, RabiCalibration, rabi_bounds
from .calibrations_ramsey import DetuningCalibration, RamseyBeliefs, detuning_bounds
from .calibrations_settling import SettlingCalibration, settling_bounds
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
    "AomCalibration",
    "Axis",
    "Bounds",
    "Calibrated",
    "ChainValues",
    "DeadTimeCalibration",
    "DetectorCalibration",
    "DetuningCalibration",
    "DriftFilter",
    "EllipseBeliefs",
    "EllipseFit",
    "EllipsePhase",
    "Estimate",
    "EstimatorRangeError",
    "GateDecision",
    "GateRules",
    "GoodnessOfFit",
    "GridPosterior",
    "HoldBeliefs",
    "Limits",
    "OutcomeTable",
    "ParticlePosterior",
    "PhaseTable",
    "PrecisionStop",
    "PumpingBounds",
    "PumpingHold",
    "PumpingSnapshots",
    "PumpingSweeps",
    "Quantity",
    "RabiBeliefs",
    "RabiCalibration",
    "RamseyBeliefs",
    "RecordError",
    "SettlingCalibration",
    "SnapshotBeliefs",
    "SqueezingBeliefs",
    "SqueezingCertificate",
    "SqueezingTomography",
    "Step",
    "StoppingCheck",
    "SweepBeliefs",
    "TwoModeSqueezing",
    "WinelandFromShots",
    "aom_bounds",
    "check_stopping",
    "coherent_table",
    "dead_time_bounds",
    "detector_bounds",
    "detuning_bounds",
    "draw_snapshots",
    "draw_sweeps",
    "drift_bounds",
    "ellipse_bounds",
    "find_step",
    "fit_conic",
    "fit_geometric",
    "gate",
    "hold_bounds",
    "rabi_bounds",
    "settling_bounds",
    "snapshot_bounds",
    "squeezing_bounds",
    "state_table",
    "sweep_bounds",
    "sweep_mean_bounds",
    "tomography_bounds",
]
