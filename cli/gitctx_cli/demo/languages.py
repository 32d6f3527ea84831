"""Languages by file name, what a file of each imports, and which file of the project an import means.

Regular expressions over lines, not parsers: quick, never failing, and now and then wrong.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

Imports = Callable[[str, str], Iterator[tuple[str, Sequence[str]]]]
"""From a file's path and text: what is imported, and the paths that it may stand for, likeliest first."""


@dataclass(frozen=True, slots=True)
class Language:
    """A language and how to read its imports; None where there is nothing to import."""

    name: str
    imports: Imports | None = None


class ProjectFiles:
    """The files that imports can lead to."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._by_name: dict[str, list[str]] = {}
        for path in paths:
            self._by_name.setdefault(posixpath.basename(path), []).append(path)

    def find(self, candidates: Sequence[str], importer: str) -> str | None:
        """The file that one of the candidates names, whole or by its end; of several the nearest to the importer."""
        for candidate in candidates:
            fitting = [
                path
                for path in self._by_name.get(posixpath.basename(candidate), ())
                if path != importer and (path == candidate or path.endswith("/" + candidate))
            ]
            if fitting:
                return max(fitting, key=lambda path: (len(posixpath.commonprefix([path, importer])), -len(path)))
        return None


_PYTHON = re.compile(
    r"^[ \t]*(?:from[ \t]+(\.*[\w.]*)[ \t]+import[ \t]+(\([^)]*\)|[^\n#;]+)|import[ \t]+([\w.]+[^\n#;]*))",
    re.MULTILINE,
)
_SCRIPT = re.compile(
    r"""^[ \t]*(?:import|export)\b[^'"\n;]*?(?:\bfrom[ \t]*)?['"]([^'"\n]+)['"]"""
    r"""|^[ \t]*\}[ \t]*from[ \t]*['"]([^'"\n]+)['"]"""
    r"""|\b(?:require|import)\([ \t]*['"]([^'"\n]+)['"]""",
    re.MULTILINE,
)
_INCLUDE = re.compile(r"""^[ \t]*#[ \t]*(?:include|import)[ \t]*[<"]([^>"\n]+)[>"]""", re.MULTILINE)
_JVM = re.compile(r"^[ \t]*import[ \t]+(?:static[ \t]+)?([\w.]+)", re.MULTILINE)
_RUST = re.compile(r"^[ \t]*(?:pub(?:\([^)]*\))?[ \t]+)?(?:use[ \t]+([\w:]+)|mod[ \t]+(\w+)[ \t]*;)", re.MULTILINE)
_GO_BLOCK = re.compile(r'^import[ \t]*(?:\(([^)]*)\)|[\w.]*[ \t]*("[^"\n]+"))', re.MULTILINE)
_QUOTED = re.compile(r'"([^"\n]+)"')
_RUBY = re.compile(r"""^[ \t]*(?:require|require_relative|load)[ \t(]+['"]([^'"\n]+)['"]""", re.MULTILINE)
_SHELL = re.compile(r"""^[ \t]*(?:source|\.)[ \t]+["']?([^\s"';&|<>()]+)""", re.MULTILINE)
_SCRIPT_ENDS = ("", ".ts", ".tsx", ".js", ".jsx", ".mjs", ".cjs", ".vue", "/index.ts", "/index.tsx", "/index.js")


def _joined(importer: str, relative: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(importer), relative))


def _python(path: str, text: str) -> Iterator[tuple[str, Sequence[str]]]:
    for match in _PYTHON.finditer(text):
        if match[3]:
            for part in match[3].split(","):
                name = part.split(" as ")[0].strip()
                if re.fullmatch(r"[\w.]+", name):
                    yield name, _python_files(name.replace(".", "/"))
            continue
        module = match[1]
        ups = len(module) - len(module.lstrip("."))
        place = module.lstrip(".").replace(".", "/")
        if ups:
            place = _joined(path, posixpath.join(*[".."] * (ups - 1), place or "."))
        for part in match[2].strip("()").split(","):
            name = part.split(" as ")[0].strip()
            if re.fullmatch(r"\w+", name):
                yield module, [*_python_files(posixpath.join(place, name)), *_python_files(place)]
            elif name == "*":
                yield module, _python_files(place)


def _python_files(place: str) -> list[str]:
    return [f"{place}.py", f"{place}/__init__.py"] if place not in ("", ".") else ["__init__.py"]


def _script(path: str, text: str) -> Iterator[tuple[str, Sequence[str]]]:
    for match in _SCRIPT.finditer(text):
        name = match[1] or match[2] or match[3]
        place = _joined(path, name) if name.startswith(".") else ""
        yield name, [place + end for end in _SCRIPT_ENDS] if place else []


def _include(path: str, text: str) -> Iterator[tuple[str, Sequence[str]]]:
    for match in _INCLUDE.finditer(text):
        yield match[1], [_joined(path, match[1]), match[1]]


def _jvm(path: str, text: str) -> Iterator[tuple[str, Sequence[str]]]:
    for match in _JVM.finditer(text):
        place = match[1].strip(".").replace(".", "/")
        yield match[1], [f"{place}.java", f"{place}.kt", f"{place}.scala"]


def _rust(path: str, text: str) -> Iterator[tuple[str, Sequence[str]]]:
    for match in _RUST.finditer(text):
        if match[2]:
            place = _joined(path, match[2])
            yield match[2], [f"{place}.rs", f"{place}/mod.rs"]
            continue
        first, *rest = [part for part in match[1].split("::") if part] or [""]
        inside = [*rest] if first in ("crate", "super", "self") else [first, *rest]
        longer, shorter = "/".join(inside), "/".join(inside[:-1])
        yield match[1], [f"{place}{end}" for place in (longer, shorter) if place for end in (".rs", "/mod.rs")]


def _go(path: str, text: str) -> Iterator[tuple[str, Sequence[str]]]:
    for match in _GO_BLOCK.finditer(text):
        for quoted in _QUOTED.finditer(match[1] or match[2]):
            folder = posixpath.basename(quoted[1])
            yield quoted[1], [f"{folder}/{folder}.go", f"{folder}/doc.go"]


def _ruby(path: str, text: str) -> Iterator[tuple[str, Sequence[str]]]:
    for match in _RUBY.finditer(text):
        name = match[1].removesuffix(".rb")
        yield match[1], [f"{_joined(path, name)}.rb", f"{name}.rb"]


def _shell(path: str, text: str) -> Iterator[tuple[str, Sequence[str]]]:
    for match in _SHELL.finditer(text):
        bare = re.sub(r"^\$[{(]?\w+[)}]?/|^(?:\.?\.?/)+", "", match[1])
        yield match[1], [_joined(path, match[1]), bare] if bare and "$" not in bare else []


_LANGUAGES = (
    (Language("Python", _python), "py pyi pyx"),
    (Language("JavaScript", _script), "js jsx mjs cjs"),
    (Language("TypeScript", _script), "ts tsx mts cts"),
    (Language("Vue", _script), "vue"),
    (Language("Svelte", _script), "svelte"),
    (Language("C", _include), "c h"),
    (Language("C++", _include), "cc cpp cxx hh hpp hxx ipp"),
    (Language("Objective-C", _include), "m mm"),
    (Language("Java", _jvm), "java"),
    (Language("Kotlin", _jvm), "kt kts"),
    (Language("Scala", _jvm), "scala"),
    (Language("Rust", _rust), "rs"),
    (Language("Go", _go), "go"),
    (Language("Ruby", _ruby), "rb rake gemspec"),
    (Language("Shell", _shell), "sh bash zsh bats"),
    (Language("C#"), "cs"),
    (Language("PHP"), "php"),
    (Language("Swift"), "swift"),
    (Language("Perl"), "pl pm t"),
    (Language("Lua"), "lua"),
    (Language("R"), "r"),
    (Language("Julia"), "jl"),
    (Language("Haskell"), "hs"),
    (Language("OCaml"), "ml mli"),
    (Language("Elixir"), "ex exs"),
    (Language("Erlang"), "erl hrl"),
    (Language("Clojure"), "clj cljs cljc"),
    (Language("Dart"), "dart"),
    (Language("Zig"), "zig"),
    (Language("Assembly"), "s asm"),
    (Language("SQL"), "sql"),
    (Language("HTML"), "html htm"),
    (Language("CSS"), "css scss sass less"),
    (Language("Markdown"), "md markdown"),
    (Language("reStructuredText"), "rst"),
    (Language("Text"), "txt"),
    (Language("JSON"), "json jsonl"),
    (Language("YAML"), "yml yaml"),
    (Language("TOML"), "toml"),
    (Language("INI"), "ini cfg conf"),
    (Language("XML"), "xml xsd xsl"),
    (Language("SVG"), "svg"),
    (Language("CSV"), "csv tsv"),
    (Language("Make"), "mk"),
    (Language("CMake"), "cmake"),
    (Language("Nix"), "nix"),
    (Language("Terraform"), "tf"),
    (Language("Protocol Buffers"), "proto"),
    (Language("Image"), "png jpg jpeg gif webp ico bmp"),
)
_BY_EXTENSION = {extension: language for language, extensions in _LANGUAGES for extension in extensions.split()}
_BY_NAME = {
    "makefile": Language("Make"),
    "gnumakefile": Language("Make"),
    "dockerfile": Language("Docker"),
    "cmakelists.txt": Language("CMake"),
    "rakefile": Language("Ruby", _ruby),
    "gemfile": Language("Ruby", _ruby),
    "license": Language("Text"),
    "copying": Language("Text"),
    "readme": Language("Text"),
    "changelog": Language("Text"),
}
OTHER = Language("other")


def language_of(path: str) -> Language:
    """The language of a file by its name."""
    name = posixpath.basename(path).lower()
    if name in _BY_NAME:
        return _BY_NAME[name]
    _, dot, extension = name.rpartition(".")
    return _BY_EXTENSION.get(extension, OTHER) if dot else OTHER
