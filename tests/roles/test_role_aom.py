"""The AOM role: tones become a table, what cannot be played is refused with its time."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cavitylab.instruments.calibration import Calibration
from cavitylab.instruments.errors import CalibrationError, InstrumentError, LimitError
from cavitylab.instruments.roles import Aom
from cavitylab.instruments.roles.aom import dbm, watt
from cavitylab.instruments.timeline import Tone


@pytest.fixture
def aom(synthesizer: Any, rabi: Calibration) -> Aom:
    """A drive of 60 kHz at 1.6 W, at most 30 dBm."""
    return Aom("drive", source="rf.ch1", calibration=rabi, frequency=80e6, max_power=30.0)


PREPARATION = Tone(20e-6, 12e-3, 10e3)
PULSE = Tone(12.1e-3, 5e-6, 50e3)


def test_amplitude_reaches_to_the_middle_of_the_gap_and_ends_dark(
    aom: Aom, rabi: Calibration
) -> None:
    """First entry from T0 to the gap's middle, second to 2 us after the end, then darkness."""
    program = aom.compile([PULSE, PREPARATION])
    first, second, dark = program.entries
    assert first.duration == pytest.approx((12.02e-3 + 12.1e-3) / 2)
    assert first.duration + second.duration == pytest.approx(12.105e-3 + 2e-6)
    assert rabi.forward(watt(first.power or 0)) == pytest.approx(10e3)
    assert rabi.forward(watt(second.power or 0)) == pytest.approx(50e3)
    assert dark.power is None
    assert {entry.frequency for entry in program.entries} == {80e6}


@given(
    lengths=st.lists(
        st.tuples(st.floats(2e-6, 2e-3), st.floats(1e-7, 3.0), st.floats(1e3, 40e3)),
        min_size=1,
        max_size=6,
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_each_tone_lies_within_its_entries(
    aom: Aom, lengths: list[tuple[float, float, float]]
) -> None:
    """At every moment of a tone the table plays that tone's power, whatever the times are."""
    tones, time = [], 0.0
    for gap, duration, amplitude in lengths:
        tones.append(Tone(time + gap, duration, amplitude))
        time = tones[-1].stop
    entries = aom.compile(tones).entries
    begin = 0.0
    played = []
    for entry in entries:
        assert 1 <= round(entry.duration / 1e-6) < 2**20
        assert entry.duration * 1e6 == pytest.approx(round(entry.duration * 1e6), abs=1e-6)
        played.append((begin, begin + entry.duration, entry.power))
        begin += entry.duration
    for tone in tones:
        for moment in (tone.start, (tone.start + tone.stop) / 2, tone.stop):
            power = next(p for a, b, p in played if a - 1e-12 <= moment < b + 1e-12)
            assert power == pytest.approx(aom.power_of(tone.amplitude_hz))


def test_every_refused_tone_is_named_with_its_time(aom: Aom) -> None:
    """Overlaps, short gaps and amplitudes out of reach come in one message."""
    tones = [
        Tone(0.0, 1e-3, 10e3),
        Tone(0.9e-3, 1e-4, 10e3),
        Tone(1.001e-3, 1e-4, 59e3),
    ]
    with pytest.raises(LimitError) as caught:
        aom.compile(tones)
    text = str(caught.value)
    assert "ending at 0.001 s and the one from 0.0009 s overlap by 100 us" in text
    assert "0.001 s and the one from 0.001001 s are 1 us apart, at least 2 us" in text
    assert "the tone at 0.001001 s: drive: Rabi frequency 59000 Hz lies outside" in text


@pytest.mark.parametrize(("max_power", "limit"), [(20.0, 30.0), (30.0, 20.0)])
def test_limits_are_the_narrowest_of_all(
    synthesizer: Any, rabi: Calibration, max_power: float, limit: float
) -> None:
    """Neither the station file nor the synthesizer can widen the other's limit."""
    synthesizer.ch1.limit.set(limit)
    aom = Aom("drive", source="rf.ch1", calibration=rabi, frequency=80e6, max_power=max_power)
    assert aom.limits[1] == pytest.approx(rabi.forward(0.1))
    wide = Aom("wide", source="rf.ch1", calibration=rabi, frequency=80e6, max_power=36.0)
    synthesizer.ch1.limit.set(36.0)
    assert wide.limits[1] == pytest.approx(rabi.forward(rabi.domain[1]))


def test_a_range_that_is_empty_is_refused(synthesizer: Any, rabi: Calibration) -> None:
    """A power limit below the calibration's domain is an error at once."""
    with pytest.raises(LimitError, match="nothing could be set"):
        Aom("drive", source="rf.ch1", calibration=rabi, frequency=80e6, max_power=-20.0)


def test_amplitude_goes_through_the_calibration(aom: Aom, synthesizer: Any) -> None:
    """Setting Hz sends dBm; reading dBm gives Hz; out of range sends nothing."""
    aom.amplitude(30e3)
    assert synthesizer.ch1.power() == pytest.approx(dbm(1.6 / 9))
    assert aom.amplitude() == pytest.approx(30e3)
    before = list(synthesizer.calls)
    with pytest.raises(LimitError, match="60000 Hz lies outside"):
        aom.amplitude(60e3)
    assert synthesizer.calls == before


def test_only_what_changed_is_uploaded(aom: Aom, synthesizer: Any) -> None:
    """The same program sends nothing; another one keeps the amplifier on."""
    program = aom.compile([PREPARATION])
    aom.upload(program)
    assert [call[0] for call in synthesizer.calls] == ["set", "load_table", "rearm"]
    synthesizer.calls.clear()
    aom.upload(aom.compile([PREPARATION]))
    assert synthesizer.calls == []
    aom.upload(aom.compile([PULSE]))
    assert [call[0] for call in synthesizer.calls] == ["stop", "signal", "load_table", "rearm"]


def test_a_restarted_synthesizer_gets_everything_again(aom: Aom, synthesizer: Any) -> None:
    """A driver that saw its instrument restart makes the role forget what was uploaded."""
    program = aom.compile([PREPARATION])
    aom.upload(program)
    synthesizer.restarts += 1
    with pytest.raises(LimitError, match="upload a program before arming"):
        aom.arm()
    synthesizer.calls.clear()
    aom.upload(program)
    assert "load_table" in [call[0] for call in synthesizer.calls]


def test_a_failed_upload_is_not_believed(aom: Aom, synthesizer: Any) -> None:
    """After an error in the middle the whole table is sent again."""
    program = aom.compile([PREPARATION])
    synthesizer.dead = True
    with pytest.raises(ConnectionError):
        aom.upload(program)
    synthesizer.dead = False
    aom.upload(program)
    assert "load_table" in [call[0] for call in synthesizer.calls]


def test_the_amplifier_settles_before_the_first_shot_only(aom: Aom, synthesizer: Any) -> None:
    """Arming waits on the clock once, not for every block."""
    aom.upload(aom.compile([PREPARATION]))
    aom.arm()
    assert synthesizer.clock.now() == pytest.approx(2.0)
    aom.upload(aom.compile([PULSE]))
    aom.arm()
    assert synthesizer.clock.now() == pytest.approx(2.0)


def test_safe_is_dark_and_out_of_the_table_mode(aom: Aom, synthesizer: Any) -> None:
    """RF off first, then no edge of T0 can start the table again; twice is as good as once."""
    aom.upload(aom.compile([PREPARATION]))
    synthesizer.calls.clear()
    first, second = aom.safe(), aom.safe()
    assert first == second
    assert first.ok
    assert synthesizer.calls == [("off",), ("set", "ch1", "mode", "NSB")] * 2


def test_a_dead_synthesizer_is_reported_not_raised(aom: Aom, synthesizer: Any) -> None:
    """safe() and health() tell of a dead link in words."""
    synthesizer.dead = True
    result = aom.safe()
    assert (result.role, result.ok) == ("drive", False)
    assert "rf does not answer" in result.message
    assert not aom.health().ok


def test_what_does_not_fit_is_refused(synthesizer: Any, counts: Calibration) -> None:
    """No source, no calibration, a calibration of another kind: each says so."""
    with pytest.raises(InstrumentError, match="no instrument called `fr`"):
        Aom("drive", source="fr.ch1", calibration=counts, frequency=80e6, max_power=30.0)
    with pytest.raises(InstrumentError, match=r"no channel `ch7` \(it has: ch1\)"):
        Aom("drive", source="rf.ch7", calibration=counts, frequency=80e6, max_power=30.0)
    with pytest.raises(CalibrationError, match="is needed"):
        Aom("drive", source="rf.ch1", frequency=80e6, max_power=30.0)
    with pytest.raises(CalibrationError, match="aom_amplitude or aom_power, but is counts"):
        Aom("drive", source="rf.ch1", calibration=counts, frequency=80e6, max_power=30.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"start": -1e-6},
        {"duration": 0.0},
        {"amplitude_hz": 0.0},
        {"amplitude_hz": math.nan},
        {"phase_rad": math.inf},
    ],
)
def test_impossible_tones_cannot_be_made(wrong: dict[str, float]) -> None:
    """A tone checks itself."""
    with pytest.raises(ValueError, match="Tone"):
        Tone(**{"start": 0.0, "duration": 1e-3, "amplitude_hz": 1e3, **wrong})
