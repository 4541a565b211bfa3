"""Ctrl-C, SIGTERM and the pause: what the operator asks for, and when it happens."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import pytest

from cavitylab.protocols.engine import State, run
from cavitylab.protocols.engine import events as heard
from cavitylab.protocols.engine.interrupts import Interrupts, Request
from cavitylab.protocols.engine.states import TRANSITIONS, StateMachine

SETTINGS: dict[str, Any] = {"shots": 90, "block": 30}


def press(*numbers: signal.Signals, at: int = 1):
    """An action that sends signals to this process the `at`-th time."""
    calls = [0]

    def act() -> None:
        calls[0] += 1
        if calls[0] == at:
            for number in numbers:
                os.kill(os.getpid(), number)

    return act


def test_first_ctrl_c_without_a_terminal_finishes_the_block_and_stops(station, ramsey, tmp_path):
    """The block in progress is kept, the rest is not taken, the outputs go safe."""
    station.hooks["timing.fire"] = press(signal.SIGINT, at=2)
    result = run(ramsey(**SETTINGS), station, data=tmp_path)
    assert result.state is State.STOPPED and result.shots == 60
    assert result.run.state == "stopped" and result.estimate.shots == 60
    assert station.diary[-1] == "make_safe" and station.count("make_safe") == 1


def test_first_ctrl_c_pauses_and_the_operator_goes_on(station, ramsey, tmp_path):
    """The prompt comes after the block, and a resumed run takes all of its shots."""
    asked: list[heard.Progress] = []

    def on_pause(progress: heard.Progress) -> bool:
        asked.append(progress)
        return True

    events: list[heard.RunEvent] = []
    station.hooks["timing.fire"] = press(signal.SIGINT, at=1)
    result = run(
        ramsey(**SETTINGS), station, data=tmp_path, on_pause=on_pause,
        subscribers=(events.append,),
    )  # fmt: skip
    assert result.state is State.DONE and result.shots == 90
    assert [progress.shots for progress in asked] == [30]
    moves = [(e.old.value, e.new.value) for e in events if isinstance(e, heard.StateChanged)]
    assert moves == [
        ("idle", "running"),
        ("running", "pausing"),
        ("pausing", "paused"),
        ("paused", "running"),
        ("running", "making safe"),
        ("making safe", "done"),
    ]


def test_the_operator_of_a_paused_run_may_stop_it(station, ramsey, tmp_path):
    """False from the prompt, a second Ctrl-C at the prompt, or a closed terminal."""
    answers = [lambda: False, lambda: os.kill(os.getpid(), signal.SIGINT), lambda: [].pop()]
    for answer in answers[:2]:
        station.diary.clear()
        station.hooks["timing.fire"] = press(signal.SIGINT, at=1)
        result = run(
            ramsey(**SETTINGS), station, data=tmp_path,
            on_pause=lambda progress, answer=answer: bool(answer()),
        )  # fmt: skip
        assert result.state is State.STOPPED and result.shots == 30
        assert station.diary[-1] == "make_safe"


@pytest.mark.parametrize("signals", [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM,)])
def test_second_ctrl_c_and_sigterm_do_not_wait_for_the_block(station, ramsey, tmp_path, signals):
    """The counter is not read any more; what was acknowledged before stays."""
    station.hooks["timing.fire"] = press(*signals, at=2)
    result = run(ramsey(**SETTINGS), station, data=tmp_path)
    assert result.state is State.STOPPED and result.shots == 30
    assert station.count("detector.read") == 1 and station.diary[-1] == "make_safe"


def test_signals_are_ignored_while_outputs_go_safe(station, ramsey, tmp_path):
    """Any number of them: the way into the safe state is walked once, to its end."""
    station.hooks["make_safe"] = press(*[signal.SIGINT] * 3, signal.SIGTERM)
    result = run(ramsey(shots=30, block=30), station, data=tmp_path)
    assert result.state is State.DONE and station.count("make_safe") == 1


def test_handlers_are_restored(station, ramsey, tmp_path):
    """After a run Ctrl-C and SIGTERM do again what they did before."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    run(ramsey(shots=30, block=30), station, data=tmp_path)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_another_thread_may_run_without_signal_handlers(station, ramsey, tmp_path):
    """Only the main thread may install handlers; a run elsewhere works without."""
    results = []

    def work() -> None:
        results.append(run(ramsey(shots=30, block=30), station, data=tmp_path))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert results[0].state is State.DONE


def test_requests_only_grow_until_they_are_ignored():
    """A weaker request never weakens a stronger one; resuming forgets a pause, not a stop."""
    interrupts = Interrupts(can_pause=True)
    interrupts.ask(Request.PAUSE)
    interrupts.resume()
    assert interrupts.request is Request.NONE
    interrupts.ask(Request.STOP_AFTER_BLOCK)
    interrupts.ask(Request.PAUSE)
    interrupts.resume()
    assert interrupts.request is Request.STOP_AFTER_BLOCK
    interrupts.ignore()
    interrupts.ask(Request.STOP_NOW)
    assert interrupts.request is Request.STOP_AFTER_BLOCK


def test_every_exit_leads_through_making_safe():
    """No final state is reached from anywhere else, none is left, and none comes back."""
    final = {State.DONE, State.STOPPED, State.FAILED}
    for state, following in TRANSITIONS.items():
        assert not following & final or state is State.MAKING_SAFE
        assert not (state in final and following)
    machine = StateMachine(lambda old, new: None)
    with pytest.raises(RuntimeError, match="idle cannot become done"):
        machine.to(State.DONE)
