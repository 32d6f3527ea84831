"""What the demo reads in a file: lines, marks, imports, and nothing that breaks on odd bytes."""

from __future__ import annotations

import pytest

from gitctx_cli.demo.languages import ProjectFiles, language_of
from gitctx_cli.demo.survey import survey

FILES = ProjectFiles(
    [
        "app/__init__.py",
        "app/core/engine.py",
        "app/core/__init__.py",
        "app/names.py",
        "tests/names.py",
        "web/main.ts",
        "web/lib/index.ts",
        "web/lib/button.tsx",
        "src/io/file.h",
        "src/io/file.c",
        "java/com/acme/Tool.java",
        "crate/src/parser.rs",
        "crate/src/net/mod.rs",
        "go/store/store.go",
        "rb/lib/thing.rb",
        "bin/common.sh",
    ]
)


@pytest.mark.parametrize(
    ("path", "text", "inside"),
    [
        ("app/main.py", "import app.core.engine as e, os\n", ["app/core/engine.py"]),
        ("app/main.py", "from app.core import engine, missing\n", ["app/core/engine.py", "app/core/__init__.py"]),
        ("app/main.py", "from .core.engine import (\n    run,\n    stop,\n)\n", ["app/core/engine.py"]),
        ("app/core/x.py", "from .. import names\n", ["app/names.py"]),
        ("app/core/x.py", "    from app.names import *\n", ["app/names.py"]),
        ("tests/x.py", "import names\n", ["tests/names.py"]),
        (
            "web/main.ts",
            "import { a } from './lib'\nimport './lib/button'\n",
            ["web/lib/index.ts", "web/lib/button.tsx"],
        ),
        (
            "web/x.js",
            "const m = require('./main')\nimport {\n  a\n} from './lib/button'\n",
            ["web/main.ts", "web/lib/button.tsx"],
        ),
        ("src/io/file.c", '#include "file.h"\n#include <stdio.h>\n', ["src/io/file.h"]),
        ("src/main.c", "#include <io/file.h>\n", ["src/io/file.h"]),
        ("java/X.java", "import static com.acme.Tool;\n", ["java/com/acme/Tool.java"]),
        ("crate/src/lib.rs", "mod parser;\nuse crate::net::Socket;\n", ["crate/src/parser.rs", "crate/src/net/mod.rs"]),
        ("go/main.go", 'import (\n\t"fmt"\n\ts "example.com/x/store"\n)\n', ["go/store/store.go"]),
        ("rb/x.rb", "require_relative 'lib/thing'\n", ["rb/lib/thing.rb"]),
        ("bin/run.sh", 'source "$DIR/common.sh"\n. ./common.sh\n', ["bin/common.sh"]),
    ],
)
def test_imports_lead_to_the_projects_files(path: str, text: str, inside: list[str]) -> None:
    assert list(survey(path, text.encode(), FILES).imports) == inside


def test_what_comes_from_elsewhere_is_told_apart_and_sorted() -> None:
    found = survey("app/main.py", b"import os\nimport json, app.names\nfrom . import nothing\n", FILES)
    assert (found.uses, found.imports) == (("json", "os"), ("app/names.py", "app/__init__.py"))


def test_of_two_files_that_fit_the_nearer_is_taken_and_never_the_importer_itself() -> None:
    assert survey("tests/main.py", b"import names\n", FILES).imports == ("tests/names.py",)
    assert survey("app/main.py", b"import names\n", FILES).imports == ("app/names.py",)
    assert survey("tests/names.py", b"import names\n", FILES).imports == ("app/names.py",)


def test_marks_are_found_with_their_lines_and_only_as_words() -> None:
    found = survey("x.py", b"a\n# TODO: one\nTODOS = 1\n  FIXME\x1b two\n", FILES)
    assert found.todo == ((2, "# TODO: one"), (4, "FIXME  two"))


@pytest.mark.parametrize(("data", "lines"), [(b"", 0), (b"a", 1), (b"a\n", 1), (b"a\n\n", 2), (b"\xff\xfe\n", 1)])
def test_lines_are_counted_as_a_person_would(data: bytes, lines: int) -> None:
    assert survey("x.txt", data, FILES).lines == lines


def test_binary_and_unread_files_have_no_lines_but_a_note() -> None:
    binary, unread = survey("logo.png", b"\x89PNG\0", FILES), survey("big.py", None, FILES)
    assert (binary.language, binary.lines, binary.note) == ("Image", None, "binary")
    assert (unread.language, unread.lines) == ("Python", None)
    assert "not read" in unread.note


@pytest.mark.parametrize(
    ("path", "name"),
    [("a/Makefile", "Make"), ("X.PY", "Python"), (".bashrc", "other"), ("noext", "other"), ("a.tar.gz", "other")],
)
def test_languages_by_name(path: str, name: str) -> None:
    assert language_of(path).name == name
