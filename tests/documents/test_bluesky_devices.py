"""Roles as Bluesky devices, in a real RunEngine on a rehearsal station."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from cavitylab.instruments.errors import LimitError
from cavitylab.instruments.station import Station
from cavitylab.protocols.bluesky_devices import MoveStatus, NotSettableError, RoleDevice

bluesky = pytest.importorskip("bluesky")
event_model = pytest.importorskip("event_model")

from bluesky import plans, protocols  # noqa: E402
from bluesky.utils import FailedStatus  # noqa: E402


@pytest.fixture
def station() -> Iterator[Station]:
    """The shipped rehearsal."""
    with Station.open("two_ensemble", rehearse="two_ensemble.lab.yaml", seed=2) as opened:
        yield opened


@pytest.fixture
def gradient(station: Station) -> RoleDevice:
    """The coil's role as a device."""
    return RoleDevice(station.roles["gradient"])


@pytest.fixture
def engine() -> Iterator[Any]:
    """A RunEngine whose loop ends with the test."""
    engine = bluesky.RunEngine({}, context_managers=[])
    yield engine
    engine.loop.call_soon_threadsafe(engine.loop.stop)


def test_roles_have_the_shape_of_devices(station, gradient):
    """Every role can be read; a settable parameter can be moved; both know their place."""
    for role in station.roles.values():
        device = RoleDevice(role)
        assert isinstance(device, protocols.Readable) and isinstance(device, protocols.HasHints)
        assert isinstance(device, protocols.Configurable) and device.parent is None
        assert device.read().keys() == device.describe().keys()
    detuning = gradient["detuning_difference"]
    assert isinstance(detuning, protocols.Movable) and isinstance(detuning, protocols.Readable)
    assert detuning.parent is gradient and detuning.name == "gradient_detuning_difference"
    assert detuning.hints == {"fields": ["gradient_detuning_difference"]}
    assert isinstance(MoveStatus(), protocols.Status)


def test_setting_goes_through_the_role(gradient, station):
    """The coil carries the current that the calibration says, and the status ends well."""
    status = gradient["detuning_difference"].set(1000.0)
    status.wait(60)
    assert status.done and status.success and status.exception() is None
    current = station.instruments["coil_supply"].measured_current.get()
    assert station.calibrations["gradient"].forward(current) == pytest.approx(1000.0, rel=0.02)
    assert gradient["detuning_difference"].position == pytest.approx(1000.0, rel=1e-3)


def test_a_status_calls_back_once_at_the_end_or_at_once(gradient):
    """A callback added late is called too."""
    called: list[MoveStatus] = []
    ended = threading.Event()
    status = gradient["detuning_difference"].set(500.0)
    status.add_callback(lambda one: (called.append(one), ended.set()))
    assert ended.wait(60)
    status.add_callback(called.append)
    assert called == [status, status]


def test_limits_are_the_roles(gradient):
    """What the coil may not do fails the status with the role's own words."""
    status = gradient["detuning_difference"].set(1e6)
    with pytest.raises(LimitError, match="detuning difference"):
        status.wait(60)
    assert status.done and not status.success


def test_what_can_only_be_read_is_not_set(station):
    """The lock of a laser is no knob."""
    with pytest.raises(NotSettableError, match="cannot|not set"):
        RoleDevice(station.roles["laser"])["lock_ok"].set(True)


def run_plan(engine: Any, plan: Any) -> list[tuple[str, dict[str, Any]]]:
    """All documents of a plan, each valid by its schema."""
    found: list[tuple[str, dict[str, Any]]] = []
    engine(plan, lambda name, document: found.append((name, document)))
    for name, document in found:
        kind = event_model.DocumentNames[name]
        event_model.schema_validators[kind].validate(document)
    return found


def test_a_scan_in_a_real_run_engine(engine, gradient):
    """`scan` moves the detuning through the coil; the documents hold what was reached."""
    found = run_plan(engine, plans.scan([gradient], gradient["detuning_difference"], 500, 1500, 5))
    names = [name for name, _ in found]
    assert names == ["start", "descriptor", *["event"] * 5, "stop"]
    reached = [d["data"]["gradient_detuning_difference"] for n, d in found if n == "event"]
    assert reached == pytest.approx([500, 750, 1000, 1250, 1500], rel=1e-3)
    descriptor = found[1][1]
    key = descriptor["data_keys"]["gradient_detuning_difference"]
    assert key["units"] == "Hz" and key["dtype"] == "number" and key["shape"] == []
    configuration = descriptor["configuration"]["gradient"]["data"]
    assert configuration["gradient_max_current"] > 0
    assert len(configuration["gradient_calibration_sha256"]) == 64
    assert found[-1][1]["exit_status"] == "success"


def test_count_reads_every_role(engine, station):
    """`count` over all roles collects whatever they can tell."""
    devices = [RoleDevice(role) for role in station.roles.values() if role.parameters]
    devices = [device for device in devices if len(device)]
    found = run_plan(engine, plans.count(devices, 3))
    events = [document for name, document in found if name == "event"]
    assert len(events) == 3
    assert events[0]["data"]["laser_lock_ok"] is True
    assert {"gradient_detuning_difference", "drive_amplitude"} <= set(events[0]["data"])


def test_a_refused_move_fails_the_plan(engine, gradient, station):
    """The RunEngine ends the run as failed; the station makes the coil safe on leaving."""
    with pytest.raises((FailedStatus, LimitError)):
        run_plan(engine, plans.scan([gradient], gradient["detuning_difference"], 500, 1e6, 2))
    assert all(result.ok for result in station.make_safe())
    assert station.instruments["coil_supply"].current.get() == 0
