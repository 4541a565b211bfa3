"""Station files (hardware), laboratory files (simulated truth) and calibrations that are shipped.

Read them with ``importlib.resources.files("cavitylab.station_configs")``, or open them by name:
``Station.open("two_ensemble")``.
"""
