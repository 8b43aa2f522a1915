"""What the documentation shows is true: its jobs plan, its Python runs, its commands have the options that they are given."""

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from snippets import PAGES, ROOT, Snippet, all_snippets, snippets_of

from cloudtune import TuningJob, api
from cloudtune.cli.app import app, run_app
from cloudtune.config import places, price_tables, profiles

SNIPPETS = all_snippets()
PROJECT = ROOT / "docs" / "generate" / "project"
PYTHON = [each for each in SNIPPETS if each.language == "python"]
FRAGMENT = """\
name: example
trial: {command: python train.py}
objective: {metric: loss, goal: minimize}
space: {lr: {type: float, low: 1e-4, high: 1, scale: log}, depth: {type: int, low: 1, high: 9}}
limits: {trials: 20}
"""
"""The job that a fragment is a part of."""


def of(*languages: str) -> list[Any]:
    return [pytest.param(each, id=str(each)) for each in SNIPPETS if each.language in languages]


def pages_with(snippets: list[Snippet]) -> list[str]:
    return list(dict.fromkeys(each.page for each in snippets))


def runs_by_default(snippet: Snippet) -> bool:
    return not snippet.title and not snippet.marks


def runs_with_complete(snippet: Snippet) -> bool:
    return not snippet.title and "not run" not in snippet.marks


def write_files(page: str, folder: Path) -> None:
    """Write the files that a page shows, and the example project, unless the page's commands are to find those files alone."""
    if not any(each.page == page and each.marks.get("run") == "alone" for each in SNIPPETS):
        shutil.copytree(PROJECT, folder, dirs_exist_ok=True)
    for each in SNIPPETS:
        if each.page == page and each.title:
            (folder / each.title).parent.mkdir(parents=True, exist_ok=True)
            (folder / each.title).write_text(each.text, "utf-8")


def run_page(snippets: list[Snippet]) -> None:
    """Run the blocks of a page one after the other, with one name space."""
    names: dict[str, Any] = {"__name__": "__snippets__"}
    for each in snippets:
        missing = [
            name
            for name in re.split(r",\s*", each.marks.get("needs", ""))
            if name and not importlib.util.find_spec(name)
        ]
        if missing:
            pytest.skip(f"{each} wants {', '.join(missing)}")
        exec(compile(each.placed, str(ROOT / each.page), "exec"), names)


@pytest.mark.parametrize("snippet", of("python"))
def test_python_compiles(snippet: Snippet) -> None:
    compile(snippet.placed, snippet.page, "exec")


@pytest.mark.parametrize("page", pages_with([each for each in PYTHON if runs_by_default(each)]))
def test_python_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_files(page, tmp_path)
    run_page([each for each in PYTHON if each.page == page and runs_by_default(each)])


@pytest.mark.complete
@pytest.mark.parametrize(
    "page", pages_with([each for each in PYTHON if runs_with_complete(each) and not runs_by_default(each)])
)
def test_python_that_takes_long_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_files(page, tmp_path)
    run_page([each for each in PYTHON if each.page == page and runs_with_complete(each)])


@pytest.mark.parametrize("snippet", of("yaml"))
def test_a_job_plans(snippet: Snippet, tmp_path: Path) -> None:
    data = yaml.safe_load(snippet.text)
    if "not a job" in snippet.marks:
        return
    text = snippet.text
    if not {"objective", "space"} <= data.keys():
        beside = {**yaml.safe_load(FRAGMENT), **yaml.safe_load(snippet.marks.get("with", "{}"))}
        text = yaml.safe_dump({name: value for name, value in beside.items() if name not in data}) + text
    shutil.copytree(PROJECT, tmp_path, dirs_exist_ok=True)
    write_files(snippet.page, tmp_path)
    job = TuningJob.from_yaml(text)
    api.plan(job, snippet.marks.get("on", "local"), project=tmp_path, base=tmp_path).refuse()
    assert TuningJob.from_yaml(job.to_yaml()) == job


def printed(snippet: Snippet, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Run the command that has made a block, and return what it prints."""
    write_files(snippet.page, folder)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)  # where `module:attribute` is looked for
    program, *words = shlex.split(snippet.marks["made by"])
    assert program == "cloudtune"
    assert run_app(words) == 0, capsys.readouterr().err
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(folder)):
            del sys.modules[name]  # another page has a file of this name
    return "".join(f"{line.rstrip()}\n" for line in capsys.readouterr().out.splitlines())


def made(*, complete: bool) -> list[Any]:
    return [
        pytest.param(each, id=str(each))
        for each in SNIPPETS
        if "made by" in each.marks and ("complete" in each.marks) is complete
    ]


@pytest.mark.parametrize("snippet", made(complete=False))
def test_what_a_command_is_shown_to_print_is_what_it_prints(
    snippet: Snippet, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert printed(snippet, tmp_path, capsys, monkeypatch) == snippet.text


@pytest.mark.complete
@pytest.mark.parametrize("snippet", made(complete=True))
def test_what_a_long_command_is_shown_to_print_is_what_it_prints(
    snippet: Snippet, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert printed(snippet, tmp_path, capsys, monkeypatch) == snippet.text


@pytest.mark.complete
@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", pages_with([each for each in SNIPPETS if "run" in each.marks]))
def test_the_commands_of_a_page_run(page: str, tmp_path: Path) -> None:
    write_files(page, tmp_path)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for each in SNIPPETS:
        if each.page == page and "run" in each.marks:
            script = f"set -euo pipefail\n{each.text}"
            done = subprocess.run(
                ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{each}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("snippet", of("toml"))
def test_a_config_is_read(snippet: Snippet, tmp_path: Path) -> None:
    tomllib.loads(snippet.text)
    if "not a job" not in snippet.marks:
        (tmp_path / "cloudtune.toml").write_text(snippet.text, "utf-8")
        profiles(tmp_path)
        price_tables(tmp_path)
        places(tmp_path)


@pytest.mark.parametrize("snippet", of("json"))
def test_json_is_read(snippet: Snippet) -> None:
    json.loads(snippet.text)


def commands_in(snippet: Snippet) -> Iterator[list[str]]:
    """Yield the words of each command of a shell block; in a block of output, of the lines behind a prompt."""
    text = snippet.text.replace("\\\n", " ")
    for line in text.splitlines():
        if snippet.language not in ("sh", "bash") and not line.startswith("$ "):
            continue
        lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars=True)
        lexer.commenters, lexer.wordchars = "#", lexer.wordchars + "$@%,:[]{}^!"
        command: list[str] = []
        for word in [*lexer, ";"]:
            if word in (";", "&&", "||", "|", "&", "do", "then", ">", ">>", "<", "(", ")"):
                yield command
                command = []
            else:
                command.append(word)


def check_command(words: list[str], parent: click.Context, command: click.Command) -> None:
    """Parse the words of a command as click does, without calling it.

    Raises:
        click.UsageError: there is no such command or option, or a value is none that it takes.
    """
    context = click.Context(command, parent=parent, info_name=command.name)
    values, rest, _ = command.make_parser(context).parse_args(list(words))
    for parameter in command.get_params(context):
        value = values.get(parameter.name or "")
        if isinstance(parameter.type, click.Choice) and isinstance(value, str):
            parameter.type.convert(value, parameter, context)
        if isinstance(parameter, click.Argument) and parameter.required and not value:
            raise click.UsageError(f"the argument {parameter.name} is missing")
    if isinstance(command, click.Group) and rest:
        name, below, words = command.resolve_command(context, rest)
        assert below is not None, name
        check_command(words, context, below)
    elif rest:
        raise click.UsageError(f"{' '.join(rest)} is too much")


COMMANDS = [(each, words) for each in SNIPPETS for words in commands_in(each) if words]


@pytest.mark.parametrize(
    ("snippet", "words"),
    [
        pytest.param(each, words, id=f"{each}-{' '.join(words[:3])}")
        for each, words in COMMANDS
        if words[0] == "cloudtune"
    ],
)
def test_a_command_has_the_options_that_it_is_given(snippet: Snippet, words: list[str]) -> None:
    check_command(words[1:], click.Context(app, info_name="cloudtune"), app)


def test_extras_that_are_to_be_installed_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    named = {
        extra
        for page in PAGES
        for group in re.findall(r"(?:cloudtune|\.)\[([\w,-]+)\]", page.read_text("utf-8"))
        for extra in group.split(",")
    }
    assert named <= extras.keys()


def test_a_block_knows_its_marks_and_its_place() -> None:
    text = 'a\n<!-- not run: why -->\n\n```python title="x.py"\npass\n```\n'
    assert snippets_of(text, "p.md") == [Snippet("p.md", 5, "python", "pass\n", "x.py", {"not run": "why"})]
    with pytest.raises(ValueError, match="stands before no code block"):
        snippets_of("<!-- complete -->\ntext\n", "p.md")
    with pytest.raises(ValueError, match="no end"):
        snippets_of("```sh\n", "p.md")


@pytest.mark.parametrize(
    "line",
    [
        "cloudtune port job.yaml --to",
        "cloudtune run job.yaml --nothing",
        "cloudtune rum job.yaml",
        "cloudtune ls one two",
    ],
)
def test_a_command_that_is_wrong_is_found(line: str) -> None:
    with pytest.raises(click.UsageError):
        check_command(line.split()[1:], click.Context(app, info_name="cloudtune"), app)
