"""One block of shots through the roles on the simulated laboratory, from windows to counts."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvisa

from cavitylab.instruments.errors import InstrumentError
from cavitylab.instruments.roles import Aom, Detector, ReadingsMismatch, Timing
from cavitylab.instruments.simulated.server import LaboratoryServer
from cavitylab.instruments.station import Station
from cavitylab.instruments.timeline import Tone, Window

SHIPPED = Path(str(resources.files("cavitylab.station_configs")))
PERIOD = 50e-3
PREPARATION = Window("preparation", 50e-6, 12e-3)
PULSE = Window("pulse", 12.1e-3, 5e-6)
GATES = (Window("ensemble_1", 12.2e-3, 5e-3), Window("ensemble_2", 17.3e-3, 5e-3))
DRIVE = (Tone(30e-6, 12.04e-3, 10e3), Tone(12.08e-3, 45e-6, 50e3))
COUPLING = (Tone(30e-6, 12.04e-3, 100.0),)


def rehearsal(seed: int = 7) -> Station:
    """The shipped station on its shipped laboratory, with the coil at its working point."""
    station = Station.open("two_ensemble", rehearse="two_ensemble", seed=seed)
    station.roles["gradient"].parameters["detuning_difference"](1000.0)
    return station


@pytest.fixture
def station() -> Iterator[Station]:
    """An open rehearsal."""
    with rehearsal() as opened:
        yield opened


def sent(station: Station) -> list[tuple[str, str]]:
    """Every message to an instrument, oldest first."""
    return [(one.instrument, one.text) for one in station.journal if one.direction == ">"]


def take(station: Station, shots: int, *, windows: tuple[Window, ...] | None = None) -> Any:
    """Upload, arm, fire, wait, check, read: the life of a block."""
    roles: dict[str, Any] = dict(station.roles)
    drive: Aom = roles["drive"]
    coupling: Aom = roles["coupling"]
    timing: Timing = roles["timing"]
    detector: Detector = roles["detector"]
    drive.upload(drive.compile(DRIVE))
    coupling.upload(coupling.compile(COUPLING))
    timing.upload(timing.compile(windows or (PREPARATION, PULSE, *GATES), shots, PERIOD))
    detector.upload(detector.compile(GATES, shots))
    detector.arm()
    drive.arm()
    coupling.arm()
    timing.fire()
    timing.wait_done()
    timing.check()
    return detector.read()


def test_a_block_gives_counts_of_both_ensembles(station: Station) -> None:
    """Two columns, mean near half of the atoms, anticorrelated or correlated as an ellipse is."""
    counts = take(station, 200)
    assert counts.shape == (200, 2)
    assert counts.min() >= 0
    truth = station.reveal()
    assert truth is not None
    # the common phase is uniform: the mean is gain * S + background, its error below 15 %
    # of the half range (2S gain / sqrt(8 * 200)) at far more than 4 sigma
    middle = truth["gain"] * 50 + truth["background"]
    assert counts.mean(axis=0) == pytest.approx([middle, middle], rel=0.2)
    assert truth["shots"] == 200


def test_equal_blocks_send_equal_messages_and_only_the_necessary(station: Station) -> None:
    """The second block uploads nothing: arming, firing, waiting, reading."""
    take(station, 20)
    station.journal.clear()
    take(station, 20)
    second = sent(station)
    station.journal.clear()
    take(station, 20)
    third = sent(station)
    assert second == third
    texts = [text for _, text in second]
    assert not [text for text in texts if text.startswith(("DLAY", "BURC", "CONF", "TABLE,APPEND"))]
    assert texts.count("*TRG") == texts.count("INIT") == 1
    assert len(texts) < 20


def test_the_same_seed_gives_the_same_counts(station: Station) -> None:
    """A rehearsal is repeatable to the last photon, in other portions too."""
    together = take(station, 40)
    station.close()
    with rehearsal() as again:
        assert np.array_equal(take(again, 40), together)


def test_a_missing_gate_rejects_the_block_and_the_next_is_good(station: Station) -> None:
    """One gate a shot is lost: a typed error; after that the block can be taken again."""
    with pytest.raises(ReadingsMismatch, match="20 readings instead of 40"):
        take(station, 20, windows=(PREPARATION, PULSE, GATES[0]))
    for name in ("timing", "detector"):
        assert station.roles[name].safe().ok
    assert take(station, 20).shape == (20, 2)


def test_rf_is_dark_after_the_safe_state(station: Station) -> None:
    """Neither channel has a signal, whatever was armed; the burst no longer finds a table."""
    take(station, 5)
    station.make_safe()
    for name in ("drive", "coupling"):
        health = station.roles[name].health()
        assert health.text == "signal off, amplifier off"


def test_safe_in_the_middle_of_a_burst(station: Station) -> None:
    """The burst is stopped, and a new one can be taken afterwards."""
    take(station, 100)
    roles: dict[str, Any] = dict(station.roles)
    roles["detector"].arm()
    roles["timing"].fire()
    station.clock.wait(0.1)
    results = {result.role: result for result in station.make_safe()}
    assert all(result.ok for result in results.values())
    assert results["timing"].message == "burst stopped"
    assert results["detector"].message == "counting stopped"
    station.clock.wait(1.0)
    roles["gradient"].parameters["detuning_difference"](1000.0)
    assert take(station, 5).shape == (5, 2)


def test_a_cavity_left_coupled_is_told_not_counted(station: Station) -> None:
    """A preparation that reaches into the pulse has no honest answer: no readings, and why."""
    with pytest.raises(InstrumentError):
        take(station, 5, windows=(Window("preparation", 50e-6, 1e-3), PULSE, *GATES))
    assert station.apparatus_faults()


def test_the_truth_is_revealed_for_the_shots_taken(station: Station) -> None:
    """Equal seeds have equal truths, another seed another; also after the station is closed."""
    assert station.reveal() == {}
    take(station, 20)
    station.close()
    truth = station.reveal()
    assert truth is not None
    with rehearsal() as again:
        take(again, 20)
        assert again.reveal() == truth
    with rehearsal(seed=8) as other:
        take(other, 20)
        assert (other.reveal() or {})["gain"] != truth["gain"]


@pytest.mark.slow
def test_over_tcp_the_same_messages_are_sent(station: Station, tmp_path: Path) -> None:
    """A station on simulated instruments behind real sockets sends what a rehearsal sends.

    Real sockets are how hardware is reached: the station is locked, nothing is revealed.
    """
    take(station, 5)
    station.close()
    shutil.copytree(SHIPPED / "calibrations", tmp_path / "calibrations")
    text = (SHIPPED / "two_ensemble.yaml").read_text()
    visalib = f"{SHIPPED / 'two_ensemble.lab.yaml'}?seed=7&clock=real&session={tmp_path.name}"
    laboratory = pyvisa.ResourceManager(f"{visalib}@cavitylab").visalib.laboratory  # type: ignore[attr-defined]
    with LaboratoryServer(laboratory) as server:
        for endpoint, last in zip(server.endpoints, range(21, 26), strict=True):
            address = f"127.0.0.1::{endpoint.port}"
            text = re.sub(rf"192\.168\.10\.{last}::\d+", address, text)
        copy = tmp_path / "on_tcp.yaml"
        copy.write_text(text)
        with Station.open(copy) as over_tcp:
            opening = len(sent(over_tcp))
            over_tcp.roles["gradient"].parameters["detuning_difference"](1000.0)
            assert over_tcp.reveal() is None
            assert take(over_tcp, 5).shape == (5, 2)
    # real links are opened at the same time: in the opening only each one's own order is fixed
    assert sorted(sent(over_tcp)[:opening]) == sorted(sent(station)[:opening])
    assert sent(over_tcp)[opening:] == sent(station)[opening:]
