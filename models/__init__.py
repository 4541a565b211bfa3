"""The physics: pure functions of numbers and arrays, no input or output.

Rates are angular and in one common unit; spins are in units of hbar. This page re-exports what
the Ramsey experiment with two ensembles needs; every system has modules of its own:

- two ensembles: `two_ensembles`, `ellipse`, `relaxation`, `relaxation_secular`,
  `relaxation_outcomes`, `trajectories`, `dissipative_gap`, `cumulants`, `cumulants_trajectory`,
  `cumulants_optimum`, `cumulants_exact`, `cumulant_populations`, `working_point`,
  `imperfections`, `rotor`
- many ensembles and chains: `many_ensembles`, `many_ensembles_metrology`,
  `many_ensembles_readout`, `distributed_sensing`, `chain`, `chain_order`, `chain_sampling`,
  `six_j`, `raman_couplings`
- generalised two-mode squeezing: `two_mode_squeezing` and its neighbours of that name
- one ensemble with collective and single-atom processes: `permutation_symmetric`
- squeezed reservoir: `squeezed_reservoir`, `squeezed_reservoir_dynamics`,
  `squeezed_reservoir_chain`
- collectively pumped superradiance: `pumped_superradiance` and its neighbours
- multi-ensemble superradiance: `multi_ensemble_superradiance` and its neighbours

`predictions` gives the figures of merit of each by name; `docs/physics/` maps the papers'
equations to functions.
"""

from .counting import (
    counting_noise,
    log_poisson_kernel,
    poisson_kernel,
    scaled_poisson_kernel,
)
from .ellipse import (
    EllipseReadout,
    OutcomeDerivatives,
    SecondMoments,
    fisher_information,
    sample,
    second_moments,
)
from .metrology import gain_over_standard_quantum_limit, standard_quantum_limit
from .permutation_symmetric import (
    ALL_DOWN,
    ALL_UP,
    CoherentStart,
    DickeStart,
    SymmetricEnsemble,
    SymmetricMoments,
    symmetric_evolution,
    symmetric_steady_state,
)
from .pulses import PulseAngles, detuned_pulse
from .spins import (
    coupled_amplitudes,
    ladder_elements,
    magnetic_numbers,
    wigner_d,
    wigner_d_derivative,
)
from .two_ensembles import (
    SteadyState,
    TwoEnsembles,
    log_weights_derivative,
    relaxation_time_bound,
    relaxation_time_estimate,
    steady_state,
)

__all__ = [
    "ALL_DOWN",
    "ALL_UP",
    "CoherentStart",
    "DickeStart",
    "EllipseReadout",
    "OutcomeDerivatives",
    "PulseAngles",
    "SecondMoments",
    "SteadyState",
    "SymmetricEnsemble",
    "SymmetricMoments",
    "TwoEnsembles",
    "counting_noise",
    "coupled_amplitudes",
    "detuned_pulse",
    "fisher_information",
    "gain_over_standard_quantum_limit",
    "ladder_elements",
    "log_poisson_kernel",
    "log_weights_derivative",
    "magnetic_numbers",
    "poisson_kernel",
    "relaxation_time_bound",
    "relaxation_time_estimate",
    "sample",
    "scaled_poisson_kernel",
    "second_moments",
    "standard_quantum_limit",
    "steady_state",
    "symmetric_evolution",
    "symmetric_steady_state",
    "wigner_d",
    "wigner_d_derivative",
]
