"""Whole runs on the shipped station and its simulated laboratory, drivers and wires included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cavitylab.instruments.errors import LinkError
from cavitylab.instruments.station import Station
from cavitylab.protocols import RamseyEllipse, shipped_rehearsal
from cavitylab.protocols.engine import ApparatusRefusal, GuardError, RunResult, State, run
from cavitylab.protocols.engine import events as heard

STATION, LABORATORY = shipped_rehearsal("ramsey_ellipse")


def rehearse(data: Path, seed: int, **settings: Any) -> RunResult:
    """One run on the shipped rehearsal."""
    with Station.open(STATION, rehearse=LABORATORY, seed=seed) as station:
        return run(RamseyEllipse(**settings), station, data=data)


def test_the_phase_is_found_in_a_rehearsal(tmp_path):
    """400 shots find the hidden phase within 5 standard deviations (false alarm 6e-7)."""
    result = rehearse(tmp_path, seed=11, shots=400)
    phase, truth = result.estimate["phase"], result.truth
    assert result.state is State.DONE and result.unsafe == ()
    assert abs(phase.value - truth["phase"]) < 5 * phase.std
    signal = result.estimate["signal"]
    assert abs(signal.value - truth["signal"]) < 5 * signal.std
    (other,) = [line for line in result.estimate.assumptions if "the same counts" in line]
    assert f"{-signal.value - 2 * 0.12:.4g} rad" in other
    assert result.gain_db > 3  # about 6 dB; the working point has a real gain
    assert phase.std == pytest.approx(result.bounds.cramer_rao_std, rel=0.25)
    assert result.run.state == "complete" and result.run.verify().ok
    assert result.run.provenance["station"]["rehearsal"] is True


def test_one_seed_gives_one_run_and_another_seed_another(tmp_path):
    """Same seed: identical counts and times between shots; another: another truth as well."""
    first, again, other = (rehearse(tmp_path, seed, shots=60, block=30) for seed in (5, 5, 6))
    counts = [r.records["counts"].values for r in (first, again, other)]
    assert np.array_equal(counts[0], counts[1]) and not np.array_equal(counts[0], counts[2])
    assert first.truth == again.truth and first.truth["phase"] != other.truth["phase"]
    steps = [np.diff(r.records["time"].values.astype("int64")) for r in (first, again)]
    assert np.array_equal(*steps)
    assert first.estimate["phase"].value == again.estimate["phase"].value


def test_what_a_block_repeats_is_not_sent_again(tmp_path):
    """The second block of the same sequence sends no delay, no table, no counter setting."""
    with Station.open(STATION, rehearse=LABORATORY, seed=1) as station:
        marks: list[int] = []

        def mark(event: heard.RunEvent) -> None:
            if isinstance(event, heard.BlockRecorded):
                marks.append(len(station.journal.sent()))

        run(
            RamseyEllipse(coil_check=0, shots=90, block=30),
            station,
            data=tmp_path,
            subscribers=(mark,),
        )
        sent = station.journal.sent()
    first, second = sent[: marks[0]], sent[marks[0] : marks[1]]
    for word in ("DLAY", "TABLE,APPEND", "SAMP:COUN"):
        assert any(word in line for line in first) and not any(word in line for line in second)
    assert sum("*TRG" in line for line in second) == 1


def test_an_exception_in_a_driver_leaves_everything_safe(tmp_path, monkeypatch):
    """RF off and coil at zero, asked of the simulated instruments; nothing is sent after that."""
    with Station.open(STATION, rehearse=LABORATORY, seed=2) as station:

        def broken(self: object, *, fresh: bool) -> None:
            raise ZeroDivisionError("a bug in the driver")

        monkeypatch.setattr(type(station.instruments["timing_box"]), "trigger", broken)
        finished: list[int] = []

        def finish(event: heard.RunEvent) -> None:
            if isinstance(event, heard.RunFinished):
                assert event.state is State.FAILED and event.unsafe == ()
                finished.append(len(station.journal.sent()))

        with pytest.raises(ZeroDivisionError):
            run(
                RamseyEllipse(coil_check=0, shots=40), station, data=tmp_path, subscribers=(finish,)
            )
        assert finished == [len(station.journal.sent())]
        assert station.instruments["coil_supply"].output_enabled.get() is False
        assert station.instruments["coil_supply"].current.get() == 0
        for channel in (1, 2):
            assert "SIG: OFF" in station.instruments["rf"].ask(f"STATUS,{channel}")


def test_nothing_is_sent_after_the_safe_state_of_a_good_run(tmp_path):
    """Neither by the engine nor by closing the station."""
    with Station.open(STATION, rehearse=LABORATORY, seed=2) as station:
        counts: list[int] = []

        def look(event: heard.RunEvent) -> None:
            if isinstance(event, heard.StateChanged) and event.new is State.DONE:
                counts.append(len(station.journal.sent()))

        run(
            RamseyEllipse(coil_check=0, shots=30, block=30),
            station,
            data=tmp_path,
            subscribers=(look,),
        )
    assert counts == [len(station.journal.sent())]


def test_a_lost_link_leaves_safe_what_still_answers(tmp_path, monkeypatch):
    """The coil supply goes silent for good: RF off all the same, and the coil is named."""
    with Station.open(STATION, rehearse=LABORATORY, seed=2) as station:
        coil = station.instruments["coil_supply"]

        def fall_silent(event: heard.RunEvent) -> None:
            if isinstance(event, heard.BlockRecorded):
                monkeypatch.setattr(type(coil), "_exchange", silent)

        def silent(*message: object, **options: object) -> None:
            raise LinkError("coil_supply: no answer")

        with pytest.raises(GuardError, match="no answer") as caught:
            run(
                RamseyEllipse(coil_check=0, shots=40, block=20), station, data=tmp_path,
                subscribers=(fall_silent,), patience=3.0,
            )  # fmt: skip
        assert any(n.startswith("NOT SAFE: gradient: LinkError") for n in caught.value.__notes__)
        for channel in (1, 2):
            assert "SIG: OFF" in station.instruments["rf"].ask(f"STATUS,{channel}")


def test_a_preparation_that_is_too_short_in_truth_is_told(tmp_path):
    """The calibrations promise just enough; this laboratory couples less, and says so."""
    with pytest.raises(ApparatusRefusal, match="too short"):
        rehearse(tmp_path, seed=3, shots=20, hold=7.05e-3)
