"""What agents tell arrives as it was sent, and nothing else passes for it."""

from __future__ import annotations

import pytest

from gitctx_cli.demo import messages


@pytest.mark.parametrize(
    "message",
    [
        messages.Ready("01ABC"),
        messages.Halfway("survey-1", 3, 8),
        messages.FileSurveyed("caf\\xe9 \u2028\n.py", 2),
        messages.Noticed("01ABC", "elm", (("lease", "suspicious", "nobody holds it"), ("process", "dead", "gone"))),
        messages.Done(),
    ],
)
def test_a_message_is_one_line_and_comes_back(message: messages.Message) -> None:
    line = messages.encode(message)
    assert line.count(b"\n") == 1
    assert messages.decode(line) == message


@pytest.mark.parametrize(
    "line", [b"", b"Traceback (most recent call last):", b'["Nobody", {}]', b'["Ready", {}]', b"3"]
)
def test_a_line_that_is_no_message_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"no message|Expecting"):
        messages.decode(line)
