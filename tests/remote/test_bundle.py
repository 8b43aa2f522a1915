"""What travels with a driver that runs elsewhere."""

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil
import pytest
from made_up import install
from plain_jobs import plain_data

from cloudtune import TuningJob, api
from cloudtune.errors import SpecError
from cloudtune.planning.plan import Plan
from cloudtune.remote.bundle import Target, bundle
from cloudtune.remote.program import MANIFEST, STORES, make_environment
from cloudtune.remote.resolving import resolve
from cloudtune.store.store import RunStore, Store

STRATEGY = '''
    """A strategy as somebody else would publish it, in one file."""

    from typing import Literal

    from cloudtune.search import Strategy, StrategySpec


    class ZigzagSpec(StrategySpec):
        type: Literal["zigzag"] = "zigzag"


    class Zigzag(Strategy):
        spec = ZigzagSpec

        def _propose(self, number):
            return self.space.at((number * 0.25) % 1 for _ in self.space.dimensions)
'''
CONFIG = '[profiles.team]\nprovider = "sagemaker"\nrole = "arn:aws:iam::123456789012:role/r"\nimage = "own:latest"\nbucket = "b"\n'
LOADS = """
import json, sys
from pathlib import Path
from cloudtune.search import Search
from cloudtune.spec.job import TuningJob
from cloudtune.store.store import Store
import cloudtune, cloudtune_zigzag
folder = Path(sys.argv[1])
assert Path(cloudtune_zigzag.__file__).parent == folder, cloudtune_zigzag.__file__
assert folder in Path(cloudtune.__file__).parents
job = TuningJob.from_data(json.loads(sys.stdin.read()))
print([Search.for_job(job, seed=1).ask().parameters["x"] for _ in range(1)])
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    site = tmp_path / "site"
    site.mkdir()
    points = {"cloudtune.strategies": {"zigzag": "cloudtune_zigzag:Zigzag"}}
    install(site, "cloudtune-zigzag", points, {"cloudtune_zigzag": STRATEGY})
    with (site / "cloudtune_zigzag-1.dist-info" / "METADATA").open("a") as metadata:
        metadata.write("Requires-Dist: zigzag-maths>=2\n")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(sys.modules, "cloudtune_zigzag", raising=False)
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "cloudtune.toml").write_text(CONFIG)
    return folder


def job_of(**fields: Any) -> TuningJob:
    data = {
        **plain_data(name="away"),
        "limits": {"trials": 3},
        "compute": {"instance": "ml.m5.large"},
        "mode": "driven",
    }
    return TuningJob.from_data({**data, **fields})


def bundled(job: TuningJob, project: Path) -> tuple[RunStore, Path]:
    run = Store(project).run(api.prepare(job, "team", project=project, base=project).id)
    provider = resolve("team", project)[0]
    bundle(run, Target(provider, provider.settings, ("sagemaker",)), project / "bundle")
    return run, project / "bundle"


def test_the_strategy_of_another_package_travels_and_is_loaded_there(project: Path) -> None:
    run, folder = bundled(job_of(strategy={"type": "zigzag"}), project)
    requirements = json.loads((folder / MANIFEST).read_text())["requirements"]
    assert "zigzag-maths>=2" in requirements
    found = subprocess.run(
        [sys.executable, "-P", "-c", LOADS, str(folder)],
        input=run.record().job,
        env={"PYTHONPATH": str(folder)},
        text=True,
        capture_output=True,
        check=False,
    )
    assert (found.returncode, found.stdout) == (0, "[0.0]\n"), found.stderr


def test_nothing_of_other_packages_travels_where_the_job_uses_nothing_of_them(project: Path) -> None:
    _, folder = bundled(job_of(strategy={"type": "random"}), project)
    assert not (folder / "cloudtune_zigzag.py").exists()
    assert "zigzag-maths>=2" not in json.loads((folder / MANIFEST).read_text())["requirements"]


def test_one_that_cannot_travel_is_refused_with_what_to_do(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloudtune.remote.bundle.find_spec", lambda name: None)
    with pytest.raises(SpecError, match="strategy: 'zigzag' is of the package cloudtune_zigzag.*leave --driver away"):
        api.prepare(job_of(strategy={"type": "zigzag"}), "team", project=project, base=project, driver="team")


def test_the_driver_charges_by_the_prices_that_the_run_was_planned_with(project: Path) -> None:
    run, folder = bundled(job_of(limits={"trials": 3, "cost": 5}), project)
    (folder / "there").mkdir()
    (folder / STORES).rename(folder / "there" / ".cloudtune")
    planned, plan = (
        Plan.from_data(json.loads(each.record().plan)) for each in (run, Store(folder / "there").run(run.id))
    )
    assert plan.rates == planned.rates
    assert plan.rates[0].per_hour > Decimal(0)
    assert plan.machines == planned.machines


def test_an_environment_made_for_a_driver_has_what_is_beneath_it_but_what_it_was_given_goes_before(
    tmp_path: Path,
) -> None:
    python = make_environment(tmp_path / "environment")
    (own,) = (tmp_path / "environment").glob("[lL]ib/**/site-packages")
    (own / "threadpoolctl.py").write_text("")
    code = "import sys, psutil, threadpoolctl; print(sys.prefix, psutil.__file__, threadpoolctl.__file__, sep='\\n')"
    said = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    assert said == [str(tmp_path / "environment"), psutil.__file__, str(own / "threadpoolctl.py")]
