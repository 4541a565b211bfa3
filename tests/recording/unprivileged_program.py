"""Try to create a run as a user who may not write there; send the error.

Given: pipe, root.
"""

import os
from typing import Any

from cavitylab.protocols.recording import Field, RecordingError, RunWriter, Stream, provenance

provenance.versions()  # imports what that user may not be able to read
pipe: Any = globals()["pipe"]
if os.getuid() == 0:
    os.setuid(65534)
try:
    RunWriter.create(globals()["root"], "x", [Stream("shot", [Field("status", "u1")])])
    pipe.send(("none", ""))
except RecordingError as error:
    pipe.send((type(error).__name__, str(error)))
