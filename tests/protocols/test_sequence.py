"""Sequences: what is refused, with which times, and what the roles are handed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cavitylab.instruments.timeline import Tone, Window
from cavitylab.protocols.sequence import Sequence, SequenceError, compile_sequence

SOUND = Sequence(
    drive=(Tone(0.0, 1e-3, 10e3), Tone(1.04e-3, 6e-6, 50e3)),
    coupling=(Tone(0.0, 1e-3, 100.0),),
    windows=(
        Window("preparation", 0.0, 1e-3),
        Window("pulse", 1.04e-3, 5e-6),
        Window("ensemble_1", 2e-3, 5e-3),
        Window("ensemble_2", 8e-3, 5e-3),
    ),
    period=20e-3,
)


def with_window(which: str, /, **changes: Any) -> Sequence:
    """The sound sequence with one window changed."""
    windows = tuple(replace(w, **changes) if w.name == which else w for w in SOUND.windows)
    return replace(SOUND, windows=windows)


class Part:
    """A role that compiles to what it was given."""

    def compile(self, *parts: Any) -> tuple[Any, ...]:
        return parts


ROLES = {name: Part() for name in ("drive", "coupling", "timing", "detector", "laser")}


def test_a_sound_sequence_compiles_to_one_program_per_role_in_upload_order():
    """Tables first, then delays, then the counter; the gates go to the detector only."""
    compiled = compile_sequence(SOUND, ROLES, 200)
    assert list(compiled.programs) == ["drive", "coupling", "timing", "detector"]
    assert compiled.programs["drive"] == (SOUND.drive,)
    assert compiled.programs["timing"] == (SOUND.windows, 200, 20e-3)
    assert compiled.programs["detector"] == (SOUND.windows[2:], 200)
    assert compiled.duration == pytest.approx(4.0)
    assert SOUND.dark_time == pytest.approx(40e-6)
    assert compile_sequence(SOUND, ROLES, 200).programs == compiled.programs


@pytest.mark.parametrize(
    ("sequence", "complaint"),
    [
        (with_window("ensemble_1", start=8.5e-3), "'ensemble_2' until 13 ms and 'ensemble_1'"),
        (with_window("pulse", duration=50e-9), "at 1.04 ms lasts 50 ns, less than the minimum 100"),
        (with_window("pulse", start=9e-3), "'ensemble_1' at 2 ms comes before the pulse at 9 ms"),
        (with_window("ensemble_1", start=1.01e-3, duration=1e-6), "comes before the pulse"),
        (with_window("ensemble_2", duration=12e-3), "not fit into the shot period of 20 ms"),
        (with_window("pulse", name="preparation"), "'preparation' is given 2 times"),
        (with_window("pulse", name="flash"), "window 'pulse' is missing"),
        (replace(SOUND, windows=SOUND.windows[:2]), "no counting gate"),
        (replace(SOUND, drive=SOUND.drive[:1]), "no single tone .* 'pulse' .1.04 ms to 1.045 ms"),
        (replace(SOUND, coupling=()), "no single tone of the coupling"),
        (
            replace(SOUND, coupling=(Tone(0.0, 2e-3, 100.0),)),
            "reaches into the pulse at 1.04 ms: the cavity must be decoupled",
        ),
        (
            replace(SOUND, drive=(Tone(0.0, 1.2e-3, 1e4), Tone(1.04e-3, 6e-6, 5e4))),
            "tones of the drive overlap: 10000 Hz until 1.2 ms and 50000 Hz from 1.04 ms",
        ),
        (replace(SOUND, period=10e-3), "ends at 13 ms"),
    ],
)
def test_refusals_name_the_offending_times(sequence, complaint):
    """Overlaps, minimum pulses, order, period: nothing is compiled."""
    with pytest.raises(SequenceError, match=complaint):
        compile_sequence(sequence, ROLES, 200)


def test_all_problems_are_told_at_once():
    """The operator mends a sequence in one round."""
    broken = replace(with_window("pulse", duration=10e-9), coupling=(), period=10e-3)
    assert len(broken.problems()) == 3


def test_a_pulse_before_the_preparation_is_refused():
    """The order of the light windows matters, not their place in the list."""
    late = with_window("preparation", start=1.05e-3, duration=0.5e-3)
    assert any("comes before the preparation" in problem for problem in late.problems())


def test_a_station_without_the_role_is_refused_by_name():
    """The message lists what is missing and what is there."""
    roles = {name: role for name, role in ROLES.items() if name not in ("timing", "coupling")}
    with pytest.raises(SequenceError, match="no role 'coupling', 'timing'; it has detector, drive"):
        compile_sequence(SOUND, roles, 200)
    with pytest.raises(SequenceError, match="at least one shot"):
        compile_sequence(SOUND, ROLES, 0)


def test_windows_are_found_by_name():
    """An unknown name is refused with those that there are."""
    assert SOUND.window("pulse").duration == 5e-6
    with pytest.raises(SequenceError, match="no window 'flash'; it has preparation, pulse"):
        SOUND.window("flash")
