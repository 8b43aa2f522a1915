"""The commands as Markdown, made of what click knows of them."""

import inspect
import re
from collections.abc import Iterator

import click

from cloudtune.cli.app import app


def cli_page() -> str:
    """Return a section for each command, with its help, arguments and options."""
    context = click.Context(app, info_name="cloudtune")
    lines = ["## Options of all commands", "", *_options(app, context), ""]
    for name, command in _commands(app, context):
        lines += [f"## `cloudtune {name}` {{ #{name.replace(' ', '-')} }}", "", *_command(name, command, context), ""]
    return "\n".join(lines)


def _commands(group: click.Group, context: click.Context, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, f"{prefix}{name} is listed, but there is no such command"
        yield f"{prefix}{name}", command
        if isinstance(command, click.Group):
            yield from _commands(command, context, f"{prefix}{name} ")


def _command(name: str, command: click.Command, context: click.Context) -> list[str]:
    own = click.Context(command, parent=context, info_name=name)
    usage = " ".join([own.command_path, *command.collect_usage_pieces(own)])
    return ["```text", usage, "```", "", *_prose(command.help or ""), *_options(command, own)]


def _prose(text: str) -> list[str]:
    """Return a help text: its paragraphs, with those that click leaves alone, after \\b, as they stand."""
    lines: list[str] = []
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        kept = paragraph.startswith("\b")
        body = paragraph.removeprefix("\b\n") if kept else " ".join(paragraph.split())
        lines += ["```text", body, "```", ""] if kept else [body.replace("<", "&lt;"), ""]
    return lines


def _options(command: click.Command, context: click.Context) -> list[str]:
    rows = []
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None:
            meaning = record[1].replace("|", "\\|").replace("<", "&lt;")
            rows.append(f"| `{_line(record[0])}` | {_line(meaning)} |")
    return ["| option | what it does |", "|---|---|", *rows] if rows else []


def _line(text: str) -> str:
    return " ".join(text.split())
