"""The guardian: a light process beside a run on hardware that acts when the run's process dies.

A run that ends in any way that Python notices makes its station safe itself. `kill -9`, the
kernel's out-of-memory killer and a crash of the interpreter leave no time for that: then the
guardian, which watched from a session of its own, opens the instruments' links and makes safe
what answers (`rescue`). While the engine lives, and after it has said goodbye, it writes nothing.
"""

from .watch import Guardian, GuardianError

__all__ = ["Guardian", "GuardianError"]
