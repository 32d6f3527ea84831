"""From a plain function to a command: options that every command takes, help, and values without heavy imports.

A command's function takes an `Env` first; its other parameters carry Typer's annotations. Its docstring is the help.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Annotated, Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup

from gitctx_cli.env import Env
from gitctx_cli.table import OPTIONS, Entry

Function = Callable[..., None]
BROKEN_PIPE = 141
"""The exit code when nobody reads standard output any more: as a shell reports a program that SIGPIPE ended."""
_PREFIX = "global_"


def _version(asked: bool) -> None:
    if asked:
        from gitctx import __version__

        typer.echo(f"gitctx {__version__}")
        raise typer.Exit


def _option(name: str, kind: Any, *flags: str, **more: Any) -> inspect.Parameter:
    option = typer.Option(*flags, rich_help_panel=OPTIONS, show_default=False, **more)
    default = False if kind is bool else None
    return inspect.Parameter(
        _PREFIX + name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option]
    )


GLOBALS = {
    "store": _option("store", str | None, "--store", metavar="PATH", help="the store to use"),
    "folder": _option("folder", str | None, "-C", metavar="DIR", help="run as if started in DIR"),
    "actor": _option("actor", str | None, "--actor", metavar="NAME", help="who writes"),
    "session": _option("session", str | None, "--session", metavar="ID", help="the session that this belongs to"),
    "quiet": _option("quiet", bool, "-q", "--quiet", help="say nothing but errors"),
    "json": _option("json", bool, "--json", help="print JSON"),
    "version": _option("version", bool, "--version", help="print the version", callback=_version, is_eager=True),
}


class _Plain:
    """Turns a word of the command line into a value. Typer's own way would import pydantic, in every command."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        if self._kind is int and not isinstance(value, int):
            try:
                return int(value)
            except ValueError:
                raise typer.BadParameter(f"{value!r} isn't a whole number", ctx=ctx, param=param) from None
        return value


class _Helpful:
    """What commands and groups have in common: plain help, with the docstring's examples as they stand."""

    help: str | None

    def get_help_option(self, ctx: Any) -> Any:
        option = super().get_help_option(ctx)  # type: ignore[misc]
        _make_plain([option] if option is not None else [])
        return option

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        params = self.get_params(ctx)  # type: ignore[attr-defined]
        arguments = [param.metavar or param.name.upper() for param in params if param.param_type_name == "argument"]
        return ["[OPTIONS]", *arguments, *(["COMMAND ..."] if isinstance(self, TyperGroup) else [])]

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        text, _, _ = (self.help or "").partition("\nExamples:")
        if text:
            formatter.write_paragraph()
            formatter.write_text(text.strip())

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        _, found, examples = (self.help or "").partition("\nExamples:")
        if found:
            with formatter.section("Examples"):
                for line in inspect.cleandoc(examples).splitlines():
                    formatter.write(f"  {line}\n" if line else "\n")

    def format_options(self, ctx: Any, formatter: Any) -> None:
        own: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        everywhere: list[tuple[str, str]] = []
        for param in self.get_params(ctx):  # type: ignore[attr-defined]
            record = param.get_help_record(ctx)
            if param.param_type_name == "argument":
                if param.help:
                    own["Arguments"].append((param.metavar, param.help))
            elif record is not None:
                (everywhere if param.rich_help_panel == OPTIONS else own["Options"]).append(record)
        for title, records in own.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)
        self.format_members(ctx, formatter)
        self.format_everywhere(ctx, formatter, everywhere)

    def format_members(self, ctx: Any, formatter: Any) -> None:
        pass

    def format_everywhere(self, ctx: Any, formatter: Any, records: Sequence[tuple[str, str]]) -> None:
        """The options that every command takes: in short, as `gitctx --help` explains them."""
        with formatter.section(OPTIONS):
            formatter.write_text(", ".join(name for name, _ in records) + " (explained by `gitctx --help`)")


class Command(_Helpful, TyperCommand):
    """A command of gitctx."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        _make_plain(self.params)


class Group(_Helpful, TyperGroup):
    """A group of commands that are imported when they are asked for."""

    members: ClassVar[Mapping[str, Entry]] = {}

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        _make_plain(self.params)
        self.commands: Any = dict.fromkeys(self.members)

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.members)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        entry = self.members.get(cmd_name)
        return build(cmd_name, entry) if entry is not None else None

    def format_members(self, ctx: Any, formatter: Any) -> None:
        panels: dict[str, list[tuple[str, str]]] = {}
        for name, entry in self.members.items():
            panels.setdefault(entry.panel, []).append((name, entry.help))
        width = max(len(name) for name in self.members)
        for panel, rows in panels.items():
            with formatter.section(panel):
                formatter.write_dl([(name.ljust(width), text) for name, text in rows])

    def format_everywhere(self, ctx: Any, formatter: Any, records: Sequence[tuple[str, str]]) -> None:
        if ctx.parent is not None:
            super().format_everywhere(ctx, formatter, records)
        else:
            with formatter.section(OPTIONS):
                formatter.write_dl(records)


def build(name: str, entry: Entry) -> Any:
    """The command of that name, its module imported now."""
    if entry.members is not None:
        return build_group(name, entry.help, entry.members)
    module, _, function = entry.function.partition(":")
    return build_command(name, getattr(import_module(f"gitctx_cli.{module}"), function), entry.help)


def build_command(name: str, function: Function, short_help: str) -> Any:
    """A function as a command: its parameters after the first, and the options that every command takes."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    names = {parameter.name for parameter in own}

    def callback(context: typer.Context, **values: Any) -> None:
        env = _env(context, values)
        try:
            function(env, **values)
            env.output.flush()
        except BrokenPipeError:
            env.output.abandon()
            raise typer.Exit(BROKEN_PIPE) from None

    added = [parameter for key, parameter in GLOBALS.items() if key not in names]
    _describe(callback, [*(each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own), *added])
    app.command(name, cls=Command, help=inspect.getdoc(function), short_help=short_help)(callback)
    return typer.main.get_command(app)


def build_group(name: str, help: str, members: Any, *, completion: bool = False) -> Any:
    """A group of commands, for its members' names and short texts alone."""
    app = typer.Typer(
        name=name,
        cls=type("Members", (Group,), {"members": members}),
        help=help[:1].upper() + help[1:] + ("" if help.endswith(".") or "\n" in help else "."),
        add_completion=completion,
        rich_markup_mode=None,
    )

    def callback(context: typer.Context, **values: Any) -> None:
        _env(context, values)

    _describe(callback, list(GLOBALS.values()))
    app.callback()(callback)
    return typer.main.get_command(app)


def _env(context: Any, values: dict[str, Any]) -> Env:
    """The environment of this run, with the options that were given so far; they are taken out of the values."""
    env: Env = context.obj
    given = {name.removeprefix(_PREFIX): values.pop(name) for name in list(values) if name.startswith(_PREFIX)}
    env.adopt(**{name: value for name, value in given.items() if name != "version"})
    return env


def _describe(callback: Any, parameters: Sequence[inspect.Parameter]) -> None:
    """Give a callback the signature that Typer reads its parameters from."""
    context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    callback.__signature__ = inspect.Signature([context, *parameters])
    callback.__annotations__ = {}


def _make_plain(params: Sequence[Any]) -> None:
    """Have values converted by `_Plain`. Where a Typer of another version keeps them elsewhere, it is only slower."""
    for param in params:
        descriptor = getattr(param, "type_descriptor", None)
        if descriptor is not None:
            param._runtime_param = _Plain(descriptor.annotation)
