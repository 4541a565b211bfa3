"""The simulated laboratory underneath the drivers: instruments, wires and hidden physics.

Nothing outside this folder imports it: a rehearsal reaches it through pyvisa,
by the name of a VISA library (``"two_ensemble.lab.yaml@cavitylab"``).
"""
