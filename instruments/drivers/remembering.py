"""For instruments that do not say that they were restarted: what was set is asked again."""

from __future__ import annotations

from typing import Any

from ..journal import printable
from .base import CavityLabInstrument


class RememberingInstrument(CavityLabInstrument):
    """A driver that finds out a restart by the settings it left.

    A subclass calls `_remember` with the question that reads a setting back, after setting
    it, and `_forget` before it changes it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._remembered: dict[str, str] = {}
        super().__init__(*args, **kwargs)

    def _remember(self, question: str) -> str:
        """Ask `question`; after a reopening the answer must be the same.

        Raises:
            LinkError: If there is no answer.
        """
        self._remembered[question] = self.ask(question)
        return self._remembered[question]

    def _forget(self, question: str) -> None:
        """The setting that `question` reads is about to change."""
        self._remembered.pop(question, None)

    def _settings_survived(self) -> str:
        found = {question: self.ask(question) for question in self._remembered}
        changed = [
            f"{question} answers '{printable(answer)}' instead of "
            f"'{printable(self._remembered[question])}'"
            for question, answer in found.items()
            if answer != self._remembered[question]
        ]
        if changed:
            # Told once: what is set from now on is compared again.
            self._remembered = {}
        return "; ".join(changed)
