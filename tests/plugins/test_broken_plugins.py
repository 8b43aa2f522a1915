"""Plug-ins that are broken: told with their distribution's name and what to do, and nothing else is affected."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_up import install
from published_runs import finished_run

from cloudtune import TuningJob, api
from cloudtune.cli.app import run_app
from cloudtune.cli.exchange import _complete
from cloudtune.config import load_profile
from cloudtune.errors import ConfigError, PluginError, SpecError
from cloudtune.plugins.entry_points import (
    ALIASES,
    EMULATORS,
    FORMATS,
    PROVIDERS,
    STOPPING,
    STRATEGIES,
    TARGETS,
    aliases,
    providers,
)
from cloudtune.provider.interface import load_provider
from cloudtune.store.store import Store

GROUPS = {
    PROVIDERS: "provider",
    EMULATORS: "emulator of",
    FORMATS: "format",
    STRATEGIES: "strategy",
    STOPPING: "stopping rule",
    TARGETS: "target",
}

OWN = {
    PROVIDERS: "ray",
    EMULATORS: "vertex",
    FORMATS: "katib",
    STRATEGIES: "grid",
    STOPPING: "median",
    TARGETS: "mlflow",
}
"""A name of cloudtune's own in each group."""

JOB = """\
name: job
trial: {command: "true"}
objective: {metric: loss, goal: minimize}
space:
  x: {type: float, low: 0, high: 1}
limits: {trials: 2}
"""


@pytest.fixture(autouse=True)
def _broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two distributions whose plug-ins break at their import, are no such class, and have names that are taken."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    modules = {
        "tune_breaks": "raise RuntimeError('at import')\n",
        "tune_plain": "class Plain: ...\n",
        "tune_exits": "raise SystemExit(3)\n",
    }
    points = {
        group: {"breaks": "tune_breaks:It", "exits": "tune_exits:It", "plain": "tune_plain:Plain", "taken": "tune_plain:Plain", own: "tune_plain:Plain"}
        for group, own in OWN.items()
    }  # fmt: skip
    one = {**points, ALIASES: {"aws": "breaks", "both": "breaks"}}
    install(site, "broken-one", one, modules)
    install(
        site, "broken-two", {**{group: {"taken": "tune_plain:Other"} for group in OWN}, ALIASES: {"both": "local"}}, {}
    )
    monkeypatch.chdir(tmp_path)
    yield
    for name in [*modules]:
        sys.modules.pop(name, None)


def told_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]


@pytest.mark.parametrize("group", [group for group in GROUPS if group != PROVIDERS])
def test_the_list_of_what_is_installed_tells_each_once(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(["providers"]) == 0
    notes = told_of(capsys)
    for name, what in (
        ("breaks", "cannot be loaded: RuntimeError: at import; update broken-one, or go on without it: pip uninstall broken-one"),
        ("exits", "cannot be loaded: SystemExit: 3"),
        ("plain", ""),
        ("taken", "keep one of them: pip uninstall broken-two, or pip uninstall broken-one"),
        (OWN[group], "has the name of another, of cloudtune, which counts; update broken-one"),
    ):  # fmt: skip
        found = [note for note in notes if note.startswith(f"note: the {GROUPS[group]} {name!r} (tune_")]
        assert len(found) == 1, notes
        assert "broken-one" in found[0]
        assert what in found[0]


def test_providers_that_are_broken_are_listed_with_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(["providers", "--json"]) == 0
    printed = capsys.readouterr()
    rows = {row["name"]: row["summary"] for row in json.loads(printed.out)}
    assert rows["local"] == load_provider("local").summary
    assert "(tune_breaks:It of broken-one) cannot be loaded: RuntimeError" in rows["breaks"]
    assert "is no subclass of cloudtune.provider.interface.Provider; update broken-one" in rows["plain"]
    assert "pip uninstall broken-two" in rows["taken"]
    assert "the provider 'ray' (tune_plain:Plain of broken-one) has the name of another, of cloudtune" in printed.err


def test_the_schema_has_all_others(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(["schema"]) == 0
    printed = capsys.readouterr()
    schema = json.loads(printed.out)
    assert {"Grid", "Median"} <= schema["definitions"].keys()
    assert "breaks" not in schema["definitions"]
    assert {"local", "sagemaker", "breaks"} <= schema["properties"].keys(), "native settings of what is installed"
    assert printed.err.count("the strategy 'breaks' (tune_breaks:It of broken-one) cannot be loaded") == 1
    assert printed.err.count("the stopping rule 'breaks'") == 1


@pytest.mark.parametrize(
    "words", [["--help"], ["run", "--help"], ["emulate", "--help"], ["completion", "bash"], ["ls"]]
)
def test_other_commands_say_nothing_of_it(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(words) == 0
    assert "broken" not in capsys.readouterr().err


def test_completion_offers_what_is_there() -> None:
    assert {"katib", "vertex", "breaks"} <= {str(each) for each in _complete(None, None, "")}  # type: ignore[arg-type]


def test_cloudtunes_own_count(tmp_path: Path) -> None:
    assert load_provider("local").name == "local"
    assert load_provider("ray").name == "ray"
    assert aliases()["aws"] == "sagemaker"
    job = TuningJob.from_yaml(f"{JOB}strategy: {{type: grid, levels: 2}}\nstopping: {{type: median}}\n")
    assert api.plan(job, "local", project=tmp_path).mode == "driven"


@pytest.mark.parametrize("name", ["breaks", "exits", "plain", "taken"])
def test_a_use_of_one_is_refused_with_its_package(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert name in providers()
    assert load_profile(name, tmp_path).provider == name
    with pytest.raises(PluginError, match=rf"the provider '{name}' .* of broken-one"):
        load_provider(name)
    (tmp_path / "job.yaml").write_text(JOB)
    for words, noun in (
        (["run", "job.yaml", "--on", name], "provider"),
        (["emulate", name], "emulator of"),
        (["export", "job.yaml", "--to", name], "format"),
        (["publish", finished_run(tmp_path, f"run-{name}").id, "--to", f"{name}=x"], "target"),
    ):
        assert run_app(words) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"error: the {noun} {name!r} (")
        assert "broken-one" in said
    with pytest.raises(SpecError, match=f"strategy: the strategy '{name}' .* of broken-one"):
        TuningJob.from_yaml(f"{JOB}strategy: {{type: {name}}}\n")
    with pytest.raises(SpecError, match=f"stopping: the stopping rule '{name}' .* of broken-one"):
        TuningJob.from_yaml(f"{JOB}stopping: {{type: {name}}}\n")


def test_runs_of_a_provider_that_broke_are_read_and_others_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = finished_run(tmp_path, "ours")
    theirs = finished_run(tmp_path, "theirs")
    waiting = finished_run(tmp_path, "waiting")
    for each, state in ((theirs, "completed"), (waiting, "waiting")):
        Store(tmp_path).run(each.id).write(columns={"provider": "breaks", "profile": "breaks", "state": state})
    assert run_app(["ls"]) == 0
    listed = capsys.readouterr().out
    assert all(each.id in listed for each in (run, theirs, waiting))
    assert listed.count("the provider 'breaks' (tune_breaks:It of broken-one)") == 1, "of what would have to be asked"
    assert run_app(["best", theirs.id]) == 0
    assert len(api.attach(theirs.id, project=tmp_path).trials()) == len(run.trials())
    with pytest.raises(ConfigError, match="of broken-one"):
        api.attach(waiting.id, project=tmp_path).cancel()


def test_a_run_whose_strategy_broke_is_told_with_its_package(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, other = finished_run(tmp_path, "broke"), finished_run(tmp_path, "other")
    job = {**json.loads(run.record.job), "strategy": {"type": "breaks"}}
    Store(tmp_path).run(run.id).write(columns={"job": json.dumps(job)})
    assert run_app(["ls"]) == 0
    assert other.id in capsys.readouterr().out
    assert run_app(["show", run.id]) == 4
    assert "(tune_breaks:It of broken-one) cannot be loaded" in capsys.readouterr().err


def test_two_that_give_one_short_name_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(["providers"]) == 0
    notes = told_of(capsys)
    assert [
        note for note in notes if "the alias 'aws' (breaks of broken-one) has the name of another, of cloudtune" in note
    ]
    assert len([note for note in notes if "the alias 'both'" in note]) == 1
