"""What is loaded when: an import, or a run, loads nothing that it does not use (times are in `benchmarks/imports.py`)."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

_OPTIONAL = {"scipy", "plotly", "cmaes", "pandas", "pyarrow", "optuna", "hyperopt", "mlflow", "ray", "boto3", "azure", "sklearn"}  # fmt: skip

_REPORTING = "import json, sys; before = set(sys.modules); {body}; print(json.dumps(sorted(set(sys.modules) - before)))"


def _loaded_by(body: str, cwd: Path) -> set[str]:
    """Return the modules that statements load in an interpreter of their own; they must print nothing themselves."""
    code = _REPORTING.format(body=body)
    ended = subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=True)
    return set(json.loads(ended.stdout.splitlines()[-1]))


def _packages(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


def _of_requirements(modules: set[str]) -> set[str]:
    """Return the modules that only spaces with requirements use."""
    ours = ("cloudtune.space.requirements", "cloudtune.space.cover", "cloudtune.space.boxes", "cloudtune.space.outcomes", "cloudtune.search.feasible")  # fmt: skip
    return {name for name in modules if name.startswith(ours)}


def test_the_package_alone_loads_none_of_its_rooms(tmp_path: Path) -> None:
    loaded = _loaded_by("import cloudtune", tmp_path)
    assert {name for name in loaded if name.startswith("cloudtune")} == {
        "cloudtune",
        "cloudtune.plugins",
        "cloudtune.plugins.version",
    }
    heavy = {"pydantic", "pydantic_core", "numpy", "rich", "click", "yaml", "typing", "dataclasses", "inspect", "email"}
    assert not heavy & _packages(loaded)
    assert "importlib.metadata" not in loaded


def test_the_job_loads_what_its_models_need_and_builds_no_schema(tmp_path: Path) -> None:
    loaded = _loaded_by("from cloudtune import TuningJob; assert not TuningJob.__pydantic_complete__", tmp_path)
    assert "pydantic.main" in loaded
    unneeded = {"numpy", "yaml", "rich", "click", "email", "zipfile", "difflib", "sqlite3", "psutil", "tomllib"}
    assert not (unneeded | _OPTIONAL) & _packages(loaded)
    assert not {"difflib", "statistics"} & loaded
    assert "importlib.metadata" not in loaded  # pydantic reads its plugins by it when a schema is built
    rooms = {name.split(".")[1] for name in loaded if name.startswith("cloudtune.")}
    assert rooms == {"plugins", "space", "spec"}
    assert "cloudtune.spec.text" not in loaded
    assert not _of_requirements(loaded)


def test_a_run_loads_nothing_that_draws(tmp_path: Path) -> None:
    loaded = _loaded_by("import cloudtune.run, cloudtune.store.records", tmp_path)
    assert "cloudtune.report" in loaded
    assert not _OPTIONAL & _packages(loaded)
    drawing = {f"cloudtune.report.{name}" for name in ("plots", "plotly_figures", "charts", "study", "cards")}
    assert not (drawing | {"cloudtune.store.cards", "cloudtune.publishing"}) & loaded


def test_the_help_loads_no_spec(tmp_path: Path) -> None:
    body = "sys.argv = ['cloudtune', '--help']; from cloudtune.cli.app import app; app.main(['--help'], standalone_mode=False)"
    loaded = _loaded_by(body, tmp_path)
    assert "click" in loaded
    unneeded = {"pydantic", "numpy", "yaml", "rich", "sqlite3", "psutil", "email", "tomllib"}
    assert not (unneeded | _OPTIONAL) & _packages(loaded)
    assert "importlib.metadata" not in loaded


def test_profiles_are_read_without_places_and_machines(tmp_path: Path) -> None:
    (tmp_path / "cloudtune.toml").write_text(
        '[profiles.team]\nprovider = "local"\n[places]\n"s3://b" = {local = "./b"}\n'
    )
    loaded = _loaded_by("import pathlib, cloudtune.config as c; c.load_profile('team', pathlib.Path())", tmp_path)
    assert "tomllib" in loaded
    assert not ({"numpy"} | _OPTIONAL) & _packages(loaded)
    rooms = {name.split(".")[1] for name in loaded if name.startswith("cloudtune.")}
    assert not {"porting", "machines", "planning"} & rooms


_FUNCTION = """
import json, sys

def objective(x: float) -> float:
    with open("trial.json", "w") as file:
        json.dump(sorted(sys.modules), file)
    return x
"""

_JOB = """
name: loads
trial: {trial}
objective: {{metric: loss, goal: minimize}}
space: {{x: {{type: float, low: 0, high: 1, step: 0.25}}}}
strategy: {{type: {strategy}}}
limits: {{trials: 1}}
"""


@pytest.mark.parametrize("strategy", ["random", "grid"])
@pytest.mark.parametrize("kind", ["command", "function"])
def test_a_simple_search_here_loads_nothing_of_the_others(tmp_path: Path, strategy: str, kind: str) -> None:
    trial = {"command": "{command: 'echo loss={x}'}", "function": "{function: 'program:objective'}"}[kind]
    (tmp_path / "program.py").write_text(_FUNCTION)
    (tmp_path / "job.yaml").write_text(_JOB.format(trial=trial, strategy=strategy))
    driver = _loaded_by(
        "sys.argv = ['cloudtune', 'run', 'job.yaml', '--quiet']; from cloudtune.cli import main; assert main() == 0",
        tmp_path,
    )
    assert "cloudtune.driver.loop" in driver
    # models of a search, sources, configs, leftovers, data, mistakes, repetitions
    of_other_jobs = {"numpy", "pathspec", "tomllib", "psutil", "tarfile", "difflib", "statistics"}
    assert not (of_other_jobs | _OPTIONAL) & _packages(driver)
    places = {"cloudtune.porting.words", "cloudtune.porting.adapting", "cloudtune.porting.reading"}
    assert not {name for name in driver if name.startswith("cloudtune.machines")} | places & driver
    assert not {"cloudtune.process.leases", "cloudtune.process.devices", "cloudtune.costs.rating"} & driver
    assert not {"cloudtune.report.page", "cloudtune.report.charts"} & driver
    assert not _of_requirements(driver)
    assert "email.parser" not in driver  # of packages' metadata
    if kind == "function":
        in_trial = set(json.loads((tmp_path / "trial.json").read_text()))
        assert "cloudtune.trial" in in_trial
        assert not ({"numpy", "pydantic", "yaml", "click", "rich", "psutil", "typing"} | _OPTIONAL) & _packages(
            in_trial
        )
