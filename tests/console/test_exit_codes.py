"""What a command answers when it cannot do what was asked."""

from __future__ import annotations

import pytest

from cavitylab.console.exits import ExitCode, errors_told
from cavitylab.instruments.errors import CavityLabError, StationFileError
from cavitylab.protocols.engine import ResumeError
from cavitylab.protocols.recording.errors import RecordingError


@pytest.mark.parametrize(
    ("error", "notes", "code"),
    [
        (ResumeError("run is complete: there is nothing to resume"), [], ExitCode.USAGE),
        (ResumeError("asks for another step"), ["NOT SAFE: rf"], ExitCode.UNSAFE),
        (StationFileError("no such file"), [], ExitCode.USAGE),
        (CavityLabError("the box is silent"), ["12 good shots are kept"], ExitCode.FAILED),
        (CavityLabError("the box is silent"), ["NOT SAFE: rf"], ExitCode.UNSAFE),
        (RecordingError("disk full"), [], ExitCode.FAILED),
    ],
)
def test_an_error_is_said_with_its_notes_and_has_its_code(error, notes, code, capsys):
    """One message, every note, no traceback; a run that cannot be resumed is wrong usage."""
    for note in notes:
        error.add_note(note)
    with pytest.raises(SystemExit) as left, errors_told():
        raise error
    assert left.value.code == code
    said = capsys.readouterr().err
    assert said.startswith(f"error: {error}\n")
    assert all(f"  {note}\n" in said for note in notes)


def test_a_defect_keeps_its_traceback():
    """What is no error of the package is not made to look like one."""
    with pytest.raises(ZeroDivisionError), errors_told():
        _ = 1 / 0
