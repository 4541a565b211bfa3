"""The physics answers for what the wires did: from driver calls to counts, nothing passed round.

Every test compiles the demo's shot, uploads it, then changes one thing on one instrument through
its driver, as a lab's mistake or wish would, and looks at the counts and at the revealed truth.
"""

import math
from dataclasses import replace

import numpy as np
import pytest

from cavitylab import Station
from cavitylab.instruments.drivers.moglabs_xrf import TableEntry
from cavitylab.protocols import RamseyEllipse
from cavitylab.protocols.sequence import compile_sequence

SHOTS = 200


@pytest.fixture
def station():
    """The shipped station on its laboratory, without drifts."""
    with Station.open(
        "two_ensemble", rehearse="two_ensemble", seed=11, options={"drifts": "off"}
    ) as opened:
        yield opened


def prepare(station):
    """Gradient on, the demo's shot uploaded."""
    protocol = RamseyEllipse(shots=SHOTS, block=SHOTS)
    station.roles["gradient"].detuning_difference(protocol.settings.detuning_hz)
    compiled = compile_sequence(protocol.sequence(), station.roles, SHOTS)
    for name, program in compiled.programs.items():
        station.roles[name].upload(program)
    return compiled


def take(station):
    """One block of what is uploaded now; raw readings (shots, 2) in order of time."""
    roles = station.roles
    roles["detector"].arm()
    roles["drive"].arm()
    roles["coupling"].arm()
    roles["timing"].fire()
    roles["timing"].wait_done()
    return np.asarray(roles["detector"].read())


def truth_of_one_block(seed=11, change=None):
    """Counts and revealed truth of a fresh laboratory in which `change(station)` was made."""
    with Station.open(
        "two_ensemble", rehearse="two_ensemble", seed=seed, options={"drifts": "off"}
    ) as station:
        prepare(station)
        if change is not None:
            change(station)
        counts = take(station)
        return counts, station.reveal()


def table(station, role, edit):
    """Reload a channel's table with its entries edited."""
    compiled = compile_sequence(
        RamseyEllipse(shots=SHOTS, block=SHOTS).sequence(), station.roles, SHOTS
    )
    channel = station.instruments["rf"].ch1 if role == "drive" else station.instruments["rf"].ch2
    channel.stop()
    channel.load_table([edit(k, entry) for k, entry in enumerate(compiled.programs[role].entries)])
    channel.rearm(True)


def test_a_longer_delay_shifts_the_phase_by_half_the_detuning_times_time():
    """Moving C (and with it D) later by 20 us adds (Delta/2) * 20 us to the phase, no more."""
    extra = 20e-6

    def later(station):
        box = station.instruments["timing_box"]
        reference, delay = box.get_delay("C")
        box.set_delay("C", reference, delay + extra)

    counts, plain = truth_of_one_block()
    moved, shifted = truth_of_one_block(change=later)
    detuning = 2 * math.pi * 250.0 * 4.0  # rad/s, nominal; the true slope is within 8 %
    assert shifted["phase"] - plain["phase"] == pytest.approx(detuning / 2 * extra, rel=0.08)
    assert shifted["pulse_area"] == pytest.approx(plain["pulse_area"], rel=1e-12)
    assert not np.array_equal(counts, moved)


def test_another_coil_current_shifts_the_phase_in_proportion():
    """20 % more current makes 20 % more bias phase; the signal stays."""

    def stronger(station):
        station.instruments["coil_supply"].ramp_current(4.8, 4.0)
        station.clock.wait(2.0)

    _, plain = truth_of_one_block()
    _, shifted = truth_of_one_block(change=stronger)
    bias = plain["phase"] - plain["signal"]
    assert shifted["signal"] == plain["signal"]
    assert shifted["phase"] - plain["phase"] == pytest.approx(0.2 * bias, rel=2e-3)
    assert shifted["detuning_ratio"] == pytest.approx(1.2 * plain["detuning_ratio"], rel=2e-3)


def test_the_tables_amplitude_changes_the_contrast():
    """3 dB less RF in the pulse's entry leaves a smaller pulse area and a smaller ellipse."""

    def weaker(station):
        table(station, "drive", lambda k, e: replace(e, power=e.power - 3.0) if k == 1 else e)

    counts, plain = truth_of_one_block()
    flat, shrunk = truth_of_one_block(change=weaker)
    assert shrunk["pulse_area"] < 0.85 * plain["pulse_area"]
    assert flat.std() < 0.97 * counts.std()


def test_a_constant_in_the_phase_column_changes_nothing():
    """The common phase is random in every shot, so the counts stay the same, bit for bit."""

    def turned(station):
        table(
            station,
            "drive",
            lambda k, e: e if e.power is None else replace(e, phase=(e.phase + 77.0) % 360.0),
        )

    counts, plain = truth_of_one_block()
    same, truth = truth_of_one_block(change=turned)
    assert np.array_equal(counts, same)
    assert truth == plain


def test_swapped_gates_exchange_the_ensembles():
    """With the delays of EF and GH exchanged the first reading of a shot is ensemble 2."""

    def swapped(station):
        box = station.instruments["timing_box"]
        e, g = box.get_delay("E"), box.get_delay("G")
        box.set_delay("E", *g)
        box.set_delay("G", *e)

    counts, _ = truth_of_one_block()
    exchanged, _ = truth_of_one_block(change=swapped)

    def correlation(a, b):
        return float(np.corrcoef(a, b)[0, 1])

    for k in (0, 1):
        # the same atoms, new photons: 0.7 atoms of noise on a spread of some 30
        assert correlation(counts[:, k], exchanged[:, 1 - k]) > 0.99
        assert correlation(counts[:, k], exchanged[:, k]) < 0.98


def test_a_hold_too_short_is_said_not_guessed(station):
    """The apparatus has no honest answer for an unfinished preparation, and says why."""
    prepare(station)
    box = station.instruments["timing_box"]
    box.set_delay("B", "A", 0.5e-3)
    with pytest.raises(Exception) as caught:
        take(station)
    reasons = station.apparatus_faults()
    assert reasons, caught.value
    assert "preparation" in " ".join(reasons) or "hold" in " ".join(reasons)


def test_a_dark_table_entry_is_needed_at_the_end(station):
    """The driver refuses a table that would leave the RF on after the shot."""
    with pytest.raises(ValueError, match="dark"):
        station.instruments["rf"].ch1.load_table([TableEntry(80e6, 10.0, 0.0, 1e-3)])
