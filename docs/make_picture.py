"""Draws docs/demo.svg: what `gitctx demo` really prints on a terminal of 100 columns.

Any other command can be drawn likewise: python docs/make_picture.py --output FILE.svg COMMAND...
"""

from __future__ import annotations

import argparse
import io
import os
import pty
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path, PurePosixPath

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

COLUMNS = 100
HERE = Path(__file__).resolve().parent
GITCTX = str(Path(sys.executable).parent / "gitctx")
STORE_FOLDER = str(PurePosixPath("/tmp", "gitctx-demo"))
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
WEB_FONTS = re.compile(r"@font-face \{\{.*?\}\}\s*", re.DOTALL)
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\r\n]")


def run_on_terminal(command: list[str]) -> str:
    """Everything that the command writes to a terminal of its own. Raises SystemExit if it fails."""
    ours, theirs = pty.openpty()
    environment = {
        **os.environ,
        "COLUMNS": str(COLUMNS),
        "LINES": "200",
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "LC_ALL": "C.UTF-8",
        "PYTHONUTF8": "1",
    }
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    chunks = []
    try:
        while chunk := os.read(ours, 65536):
            chunks.append(chunk)
    except OSError:  # how Linux reports that the other side has closed
        pass
    os.close(ours)
    output = b"".join(chunks).decode("utf-8", "replace")
    if process.wait() != 0:
        raise SystemExit(f"{shlex.join(command)} exited {process.returncode}:\n{output}")
    return output


def final_lines(output: str) -> list[str]:
    """The lines that stay on the screen, their colours kept.

    Knows what rich's live displays send: whole lines are written again after a carriage return, moves up and erasing.
    """
    lines, row, fresh = [""], 0, False
    position = 0
    for control in [*CONTROL.finditer(output), None]:
        text = output[position : control.start() if control else None]
        if text:
            lines[row] = text if fresh else lines[row] + text
            fresh = False
        if control is None:
            break
        position = control.end()
        code = control.group()
        if code == "\n":
            row, fresh = row + 1, True
            if row == len(lines):
                lines.append("")
        elif code == "\r":
            fresh = True
        elif code.endswith("m"):
            lines[row] = code if fresh else lines[row] + code
            fresh = False
        elif code.endswith("A"):
            row = max(0, row - int(code[2:-1] or 1))
        elif code.endswith("K"):
            lines[row] = ""
        elif code.endswith("J"):
            del lines[row + 1 :]
    return lines


def neutral(text: str) -> str:
    """The text with this machine's temporary folder, project and home replaced by names that fit any machine.

    Raises SystemExit if another path in the temporary folder is left over.
    """
    temporary, home = tempfile.gettempdir(), str(Path.home())
    text = replaced(text, f"{temporary}/gitctx", r"[-\w]*", STORE_FOLDER)
    text = replaced(text, str(HERE.parent), "", "~/project")
    if home != "/":
        text = replaced(text, home, r"\b", "~")
    for line in COLOUR.sub("", text).replace(STORE_FOLDER, "").splitlines():
        if temporary + "/" in line:
            raise SystemExit(f"this line still shows a path of this machine: {line}")
    return text


def replaced(text: str, old: str, rest: str, new: str) -> str:
    """The text with `old` and what matches `rest` after it replaced, also across changes of colour, which are kept."""
    pattern = f"(?:{COLOUR.pattern})*".join([*map(re.escape, old), rest])
    return re.sub(pattern, lambda found: new + "".join(COLOUR.findall(found.group())), text)


def draw(lines: list[str], title: str) -> str:
    """The SVG, the same for the same lines, with no reference to another host."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    for line in lines:
        console.print(Text.from_ansi(line), soft_wrap=True)
    template = WEB_FONTS.sub("", CONSOLE_SVG_FORMAT)
    return console.export_svg(title=title, code_format=template, unique_id="gitctx")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=HERE / "demo.svg")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    command = options.command or [GITCTX, "demo"]
    title = shlex.join([Path(command[0]).name, *command[1:]])
    lines = neutral("\n".join(final_lines(run_on_terminal(command))).rstrip()).split("\n")
    options.output.write_text(draw(lines, title) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
