"""The simulated DLC pro: expressions, refusals, light and lock."""

from __future__ import annotations

import pytest

from cavitylab.instruments.errors import StationFileError
from cavitylab.instruments.simulated.devices.toptica_dlcpro import TopticaDLCpro
from cavitylab.instruments.simulated.laboratory import Laboratory
from cavitylab.instruments.simulated.lines import LightState


class Bench:
    """One DLC pro and a link to it."""

    def __init__(self, **settings: object) -> None:
        self.laboratory = Laboratory()
        self.device = TopticaDLCpro("laser", self.laboratory, settings)
        self.laboratory.add(self.device)
        self.link = self.laboratory.link_to(self.device, "here", framed=False)
        self.greeting = self.link.arrived()

    def ask(self, expression: str) -> str:
        self.link.write(expression.encode() + b"\n")
        answer = self.link.arrived()
        assert answer.endswith(b"\n> ")
        return answer[:-3].decode()

    def ref(self, name: str) -> str:
        return self.ask(f"(param-ref '{name})")

    def put(self, name: str, value: str) -> int:
        return int(self.ask(f"(param-set! '{name} {value})"))

    def light(self) -> LightState:
        shot = self.laboratory._make_shot(0, self.laboratory.now(), 0.1, None)
        state = self.device.signal("laser1", shot)[0].value
        assert isinstance(state, LightState)
        return state


@pytest.fixture
def bench() -> Bench:
    """A laser that was left on and locked."""
    return Bench()


def test_greeting_ends_with_the_prompt(bench: Bench) -> None:
    """And has a `>` inside, which is no prompt."""
    assert bench.greeting.endswith(b"\n> ")
    assert b" > " in bench.greeting[:-3]


def test_values_are_written_as_in_scheme(bench: Bench) -> None:
    """Booleans, numbers and texts."""
    assert bench.ref("laser1:emission") == "#t"
    assert float(bench.ref("laser1:dl:cc:current-set")) == 150.0
    assert bench.ref("system-type") == '"DLC pro"'
    assert bench.ask("(param-gsv 'laser1:dl:cc:current-set)") == "150.0"


def test_set_answers_a_status(bench: Bench) -> None:
    """0 done; negative refused: above the clip, read only, wrong type."""
    assert bench.put("laser1:dl:cc:current-set", "120.5") == 0
    assert float(bench.ref("laser1:dl:cc:current-act")) == 120.5
    assert bench.put("laser1:dl:cc:current-set", "500") < 0
    assert bench.put("serial-number", '"x"') < 0
    assert bench.put("laser1:dl:cc:enabled", "1") < 0
    assert float(bench.ref("laser1:dl:cc:current-set")) == 120.5


@pytest.mark.parametrize("text", ["(param-ref 'nothing)", "hello", "(fly 'away)", "(exec 'dance)"])
def test_errors_begin_with_error(bench: Bench, text: str) -> None:
    """There is no queue; the answer is the error."""
    assert bench.ask(text).lower().startswith("error")


def test_clip_needs_a_higher_user_level(bench: Bench) -> None:
    """Maintenance level with a password may change the clip."""
    assert bench.put("laser1:dl:cc:current-clip", "230.0") < 0
    assert bench.ask('(exec \'change-ul 2 "secret")') == "2"
    assert bench.put("laser1:dl:cc:current-clip", "230.0") == 0


def test_no_emission_with_open_interlock() -> None:
    """Emission is false, no current flows, the lock is lost."""
    bench = Bench(interlock_open=True)
    assert bench.ref("emission") == "#f"
    assert float(bench.ref("laser1:dl:cc:current-act")) == 0.0
    assert not bench.light().good


def test_lost_lock_stays_lost_until_engaged_again(bench: Bench) -> None:
    """Switching the lock off and on takes 0.3 s to lock."""
    assert bench.light().good
    bench.device.trip("laser_unlocked", None, None)
    assert bench.ref("laser1:dl:lock:state-txt") == '"Lock Lost"'
    assert not bench.light().locked
    bench.put("laser1:dl:lock:lock-enabled", "#f")
    bench.put("laser1:dl:lock:lock-enabled", "#t")
    assert bench.ref("laser1:dl:lock:state-txt") == '"Locking"'
    bench.laboratory.clock.wait(0.3)
    assert bench.ref("laser1:dl:lock:state-txt") == '"Locked"'
    assert bench.light().good


def test_current_below_threshold_gives_no_light(bench: Bench) -> None:
    """The lock goes with the light."""
    bench.put("laser1:dl:cc:current-set", "50.0")
    assert bench.light().emission is False
    bench.put("laser1:dl:cc:current-set", "150.0")
    assert bench.light().locked is False


def test_uptime_counts_on_the_clock(bench: Bench) -> None:
    """Seconds since the laboratory was built."""
    bench.laboratory.clock.wait(12.0)
    assert bench.ref("uptime") == "12"


def test_settings_are_checked() -> None:
    """Unknown keys and wrong types of a laboratory file are named."""
    with pytest.raises(StationFileError, match="no setting `colour`"):
        Bench(colour="red")
    with pytest.raises(StationFileError, match="`current` must be a float"):
        Bench(current="high")
