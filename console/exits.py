"""Exit codes of every command, and how an error is said on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum


class ExitCode(IntEnum):
    """What a script can rely on."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    """Wrong usage, or a file that cannot be used."""
    STOPPED = 3
    """Stopped by the user; what was acknowledged is on disk."""
    UNSAFE = 4
    """Not everything could be made safe: look at the instruments now."""


def say_error(text: str) -> None:
    """One error, on standard error, in red where a terminal shows it."""
    if sys.stderr.isatty():
        text = f"\033[1;31merror:\033[0m {text}"
    else:
        text = f"error: {text}"
    print(text, file=sys.stderr, flush=True)


@contextmanager
def errors_told() -> Iterator[None]:
    """Turn the package's own errors into one clear message and the right exit code.

    Anything else is a defect of the package and keeps its traceback.
    """
    from pydantic import ValidationError

    from ..instruments.errors import CalibrationError, CavityLabError, StationFileError
    from ..protocols import UnknownProtocolError
    from ..protocols.engine import ResumeError
    from ..protocols.engine.until import UntilError
    from ..protocols.recording.errors import RecordingError, RunNotFoundError

    try:
        yield
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        say_error(f"{error.title}: " + "; ".join(lines))
        raise SystemExit(ExitCode.USAGE) from error
    except (CavityLabError, RecordingError, UnknownProtocolError, UntilError) as error:
        say_error(str(error))
        notes = getattr(error, "__notes__", ())
        for note in notes:
            print(f"  {note}", file=sys.stderr)
        if any("NOT SAFE" in note for note in notes):
            raise SystemExit(ExitCode.UNSAFE) from error
        # These say what was wrong with the call or a file; nothing was touched.
        wrong = (
            StationFileError, CalibrationError, UnknownProtocolError, UntilError,
            RunNotFoundError, ResumeError,
        )  # fmt: skip
        code = ExitCode.USAGE if isinstance(error, wrong) else ExitCode.FAILED
        raise SystemExit(code) from error
    except KeyboardInterrupt:
        say_error("stopped by the user")
        raise SystemExit(ExitCode.STOPPED) from None
