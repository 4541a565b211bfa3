"""What the simulated instruments remember of messages changes no answer."""

from __future__ import annotations

import pytest

from cavitylab.instruments.simulated.devices.scpi_language import (
    LONGEST_REMEMBERED,
    commands_in,
    split_outside,
)


@pytest.mark.parametrize(
    ("message", "commands"),
    [
        ("*IDN?", [("*IDN?", ())]),
        ("SOUR1:FREQ 1000", [("SOUR1:FREQ", ("1000",))]),
        ("SOUR1:FREQ 1;PHAS 2", [("SOUR1:FREQ", ("1",)), ("SOUR1:PHAS", ("2",))]),
        ("SOUR1:FREQ 1;:OUTP1 ON", [("SOUR1:FREQ", ("1",)), ("OUTP1", ("ON",))]),
        ("A:B 1;*OPC?;C 2", [("A:B", ("1",)), ("*OPC?", ()), ("A:C", ("2",))]),
        ('DISP:TEXT "a;b,c" , 2', [("DISP:TEXT", ('"a;b,c"', "2"))]),
        ("CONF:TOT:TIM 1,(@1,2)", [("CONF:TOT:TIM", ("1", "(@1,2)"))]),
        (" ; ;", []),
    ],
)
def test_commands_of_a_message(message: str, commands: list[tuple[str, tuple[str, ...]]]) -> None:
    """Headers continue at the node of the one before; the second time is as the first."""
    assert list(commands_in(message)) == commands
    assert list(commands_in(message)) == commands


def test_long_messages_are_not_kept() -> None:
    """A waveform as text is read each time anew, with the same result."""
    numbers = ",".join(["0.5"] * LONGEST_REMEMBERED)
    ((header, parameters),) = commands_in(f"DATA:ARB shape,{numbers}")
    assert header == "DATA:ARB"
    assert len(parameters) == LONGEST_REMEMBERED + 1


@pytest.mark.parametrize("text", ["", ",", "a,b", 'a,"b,c",d', "(@1,2),3", "'x,y'", 'a,"open,b'])
def test_the_short_way_of_splitting_is_the_long_one(text: str) -> None:
    """Without quotes and parentheses a plain split does."""
    parts, depth, quote, start = [], 0, "", 0
    for place, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter in "()":
            depth += 1 if letter == "(" else -1
        elif letter == "," and depth <= 0:
            parts.append(text[start:place])
            start = place + 1
    assert split_outside(text, ",") == [*parts, text[start:]]
