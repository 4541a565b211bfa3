"""Ctrl-C, SIGTERM, SIGHUP: requests that the engine obeys between two actions, never inside one.

A signal only leaves a request here. The engine looks at it between instrument calls and while it
waits, so no exchange on the wire is cut in two and the instruments can always be made safe.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from types import FrameType
from typing import Any


class Request(IntEnum):
    """What the operator wants; a larger one overrides a smaller one."""

    NONE = 0
    PAUSE = 1
    STOP_AFTER_BLOCK = 2
    STOP_NOW = 3


class Interrupts:
    """Collects requests from signals and from other threads.

    The first Ctrl-C asks for a pause after the block in progress (without a terminal: for a stop
    after it), the second for a stop at once, and all later ones are ignored, as are all signals
    once outputs are going safe. SIGTERM and SIGHUP (the terminal was closed) ask for a stop at
    once; a SIGHUP that is ignored already, as by nohup, stays ignored.

    Args:
        can_pause: Whether there is an operator to ask; else the first Ctrl-C stops.
    """

    def __init__(self, *, can_pause: bool) -> None:
        self._can_pause = can_pause
        self._request = Request.NONE
        self._deaf = False
        self._prompting = False

    @property
    def request(self) -> Request:
        """The strongest request so far."""
        return self._request

    def ask(self, request: Request) -> None:
        """Leave a request; weaker ones than the present are ignored."""
        if not self._deaf:
            self._request = max(self._request, request)

    def resume(self) -> None:
        """Forget a request to pause: the operator chose to go on."""
        if self._request is Request.PAUSE:
            self._request = Request.NONE

    def ignore(self) -> None:
        """From now on ignore everything: outputs are going safe."""
        self._deaf = True

    @contextmanager
    def prompting(self) -> Iterator[None]:
        """While the operator is asked a signal raises KeyboardInterrupt: it ends the question."""
        self._prompting = True
        try:
            yield
        finally:
            self._prompting = False

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handle the signals within; only in the main thread, and restored afterwards."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handlers: dict[signal.Signals, Callable[[int, FrameType | None], None]] = {
            signal.SIGINT: self._on_interrupt,
            signal.SIGTERM: self._on_terminate,
        }
        hang_up: signal.Signals | None = getattr(signal, "SIGHUP", None)
        if hang_up is not None and signal.getsignal(hang_up) is not signal.SIG_IGN:
            handlers[hang_up] = self._on_terminate
        before: dict[signal.Signals, Any] = {}
        try:
            for number, handler in handlers.items():
                before[number] = signal.signal(number, handler)
            yield
        finally:
            for number, old in before.items():
                signal.signal(number, signal.SIG_DFL if old is None else old)

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self._request is Request.NONE:
            self.ask(Request.PAUSE if self._can_pause else Request.STOP_AFTER_BLOCK)
        else:
            self.ask(Request.STOP_NOW)
        self._end_prompt()

    def _on_terminate(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.ask(Request.STOP_NOW)
        self._end_prompt()

    def _end_prompt(self) -> None:
        if self._prompting and not self._deaf:
            raise KeyboardInterrupt
