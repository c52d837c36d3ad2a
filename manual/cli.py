"""docs/cli.md: every command of `hub`, from the command line's own definition."""

from typing import Any

import typer.main

from manual.markdown import table
from pipeline.cli.main import app


def _parameters(command: Any) -> str:
    rows, context = [], command.make_context(command.name, [], resilient_parsing=True)
    for one in command.params:
        if "--help" in one.opts:
            continue
        is_argument = one.param_type_name == "argument"
        name = one.name.upper() if is_argument else ", ".join([*one.opts, *one.secondary_opts])
        choice = "" if is_argument or getattr(one, "is_flag", False) else f" {one.metavar or one.display_type(context).upper()}"
        default = one.default if isinstance(one.default, str | int) and not isinstance(one.default, bool) else None
        need = "required" if one.required else ("" if default is None else f"default {default}")
        rows.append([f"`{name}{choice}`", getattr(one, "help", None) or "", need])
    return table(["parameter", "meaning", ""], rows)


def _command(path: str, command: Any) -> str:
    arguments = "".join(f" {p.name.upper()}" for p in command.params if p.param_type_name == "argument")
    text = (command.help or "").strip()
    return f"### `{path}{arguments}`\n\n{text}\n\n{_parameters(command)}\n"


def _commands(path: str, command: Any) -> list[str]:
    """A command, or what stands under it; what does something by itself as well comes first."""
    inner = [part for name, found in getattr(command, "commands", {}).items() for part in _commands(f"{path} {name}", found)]
    return [_command(path, command), *inner] if not inner or command.invoke_without_command else inner


def page() -> str:
    """The page."""
    root: Any = typer.main.get_command(app)
    parts = [
        "# Command line\n\n`hub` is `.venv/bin/hub`. Long work shows progress on a terminal; piped, output is plain text. With `--json` exactly one"
        " JSON value is printed on standard output. Logs go to standard error.\n",
        f"{root.epilog}\n",
    ]
    for name, command in root.commands.items():
        parts += _commands(f"hub {name}", command)
    return "\n".join(parts)
