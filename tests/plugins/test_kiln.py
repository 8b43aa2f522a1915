"""A managed provider as others publish theirs: Kiln, a made-up service that nothing of cloudtune knows."""

import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from made_up import install_project
from places import profile_of, write_profiles
from shown_elsewhere import OF_STRANGERS

from cloudtune import TuningJob, api
from cloudtune.cli.app import run_app
from cloudtune.errors import ConfigError, ProviderError, RunNotFound, SpecError, UnsupportedError
from cloudtune.plugins.entry_points import aliases, emulators, providers
from cloudtune.provider.emulated import emulator_of
from cloudtune.provider.interface import load_provider
from cloudtune.run import Run
from cloudtune.spec.schema import job_schema
from cloudtune.store.records import RunState, TrialState
from cloudtune.testing import ProviderConformance, scripts
from cloudtune.testing.conformance import wait_until
from cloudtune.testing.submitting import submitting

PROJECT = Path(__file__).parents[1] / "support" / "provider_kiln"

pytestmark = pytest.mark.xdist_group("kiln")


@pytest.fixture(scope="module", autouse=True)
def _installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        install_project(tmp_path_factory.mktemp("site") / "kiln", PROJECT, monkeypatch)
        yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "cloudtune_kiln"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def emulator(_installed: None) -> Iterator[Any]:
    with emulator_of("kiln")(grace=0.2) as made:  # type: ignore[call-arg]
        yield made


@pytest.fixture
def on(emulator: Any, project: Path) -> str:
    write_profiles(project, there=profile_of("kiln", emulator.environment))
    return "there"


@pytest.mark.complete_are(*OF_STRANGERS)
class TestKiln(ProviderConformance):
    @pytest.fixture
    def on(self, on: str) -> str:
        return on


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src").mkdir()
    return tmp_path


Job = Callable[..., TuningJob]


@pytest.fixture
def job(project: Path) -> Job:
    def make(script: str = scripts.QUADRATIC, **fields: Any) -> TuningJob:
        (project / "src" / "train.py").write_text(script)
        data = {
            "name": "pots", "trial": {"source": "src", "command": "python train.py", "environment": {"GLAZE": "blue"}},
            "objective": {"metric": "score", "goal": "maximize"},
            "space": {
                "x": {"type": "float", "low": 0.0, "high": 1.0},
                "rate": {"type": "float", "low": 0.001, "high": 1.0, "scale": "log"},
                "clay": {"type": "categorical", "values": ["red", "white"]},
            },
            "strategy": {"type": "random", "seed": 3}, "limits": {"trials": 3, "parallel": 2}, **fields,
        }  # fmt: skip
        made = TuningJob.from_data(data)
        (project / "job.yaml").write_text(made.to_yaml())
        return made

    return make


@pytest.fixture
def submit(on: str, project: Path) -> Iterator[Callable[[TuningJob], Run]]:
    with submitting(project, on) as submit:
        yield submit


WAITS = """\
import pathlib, sys, time
import cloudtune.trial as trial

trial.report(score=trial.params()["x"])
print("waiting", flush=True)
while not pathlib.Path("GO").exists():
    time.sleep(0.02)
"""


def test_it_takes_no_more_than_250_lines() -> None:
    files = [path for path in (PROJECT / "cloudtune_kiln").glob("*.py") if path.name != "emulator.py"]
    assert len(files) == 4
    assert sum(len(path.read_text().splitlines()) for path in files) <= 250


def test_its_names_are_known() -> None:
    assert "kiln" in providers()
    assert aliases()["oven"] == "kiln"
    assert "kiln" in emulators()


# Its jobs


def test_its_key_is_in_the_schema_and_merged_into_the_request(job: Job) -> None:
    made = job(kiln={"labels": {"shelf": "top"}})
    jsonschema.validate(json.loads(json.dumps(made.to_data())), job_schema())
    short = made.to_yaml().replace("kiln:", "oven:")
    assert TuningJob.from_yaml(short) == made
    plan = api.plan(made, "oven")
    assert (plan.provider, plan.mode) == ("kiln", "managed")
    assert plan.request["labels"] == {"shelf": "top"}
    assert plan.support("kiln.labels.shelf").value == "exact"
    assert plan.request["knobs"][0] == {"name": "x", "kind": "real", "low": 0.0, "high": 1.0}
    assert plan.support("space.rate").value == "encoded"


def test_of_several_machine_types_it_takes_the_first_and_says_so(job: Job) -> None:
    plan = api.plan(job(compute={"instance": ["big", "small"]}), "kiln")
    assert plan.request["machine"] == "big"
    assert plan.support("compute.instance").value == "approximate"
    assert [each.message for each in plan.notes if each.path == "compute.instance"] == [
        "the service takes one machine type: the first"
    ]


def test_the_command_plan_says_what_it_does(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    job(stopping={"type": "median"}, limits={"trials": 3, "target": 0.9})
    assert run_app(["plan", "job.yaml", "--on", "kiln"]) == 3
    printed = capsys.readouterr()
    assert "watched" in printed.out
    assert "the service ends no trial early" in printed.out + printed.err
    with pytest.raises(UnsupportedError, match="stopping: the service ends no trial early; take it away"):
        api.plan(TuningJob.from_yaml(Path("job.yaml")), "kiln").refuse()
    with pytest.raises(UnsupportedError, match="no plain jobs that cloudtune could drive"):
        api.plan(job(mode="driven"), "kiln").refuse()


def test_its_requests_are_exported_and_imported(job: Job, project: Path) -> None:
    made = job(kiln={"labels": {"shelf": "top"}})
    assert run_app(["export", "job.yaml", "--to", "kiln", "-o", "experiment.json"]) == 0
    said = json.loads((project / "experiment.json").read_text())
    assert said["env"]["GLAZE"] == "blue"
    assert run_app(["import", "experiment.json", "--from", "kiln", "-o", "again.yaml"]) == 0
    again = TuningJob.from_yaml(project / "again.yaml")
    assert again == made
    assert run_app(["import", "job.yaml", "--from", "kiln"]) == 2


def test_an_experiment_of_another_client_is_imported_whole(project: Path) -> None:
    theirs = {
        "title": "vases", "goals": [{"metric": "score", "goal": "maximize"}], "trials": 4, "program": "kiln://mine/fire.py",
        "knobs": [{"name": "heat", "kind": "real", "low": 1.0, "high": 2.0}, {"name": "coats", "kind": "whole", "low": 1, "high": 4}],
        "search": {"method": "random", "seed": 5}, "env": {"A": "b"}, "at_once": 2,
    }  # fmt: skip
    (project / "theirs.yaml").write_text(yaml.safe_dump(theirs))
    assert run_app(["import", "theirs.yaml", "--from", "kiln", "-o", "mine.yaml"]) == 0
    made = TuningJob.from_yaml(project / "mine.yaml")
    assert made.space["coats"].high == 4
    native = load_provider("kiln")({}).to_native(made)
    assert {name: native[name] for name in theirs} == theirs
    with pytest.raises(SpecError, match="it is no experiment"):
        load_provider("kiln").from_native({"knobs": []})


# Its runs


def test_a_run_is_started_followed_read_and_fetched(job: Job, submit: Any, project: Path) -> None:
    script = (
        scripts.QUADRATIC
        + "import pathlib\npathlib.Path(trial.output_dir(), 'pot.txt').write_text('glazed')\nprint('fired')\n"
    )
    run = submit(job(script))
    assert run.record.native["job"] == run.id
    seen: list[int] = []
    assert run.wait(lambda progress: seen.append(sum(progress.counts.values()))) is RunState.COMPLETED
    assert seen
    assert [trial.state for trial in run.trials()] == [TrialState.COMPLETED] * 3
    assert list(run.logs(1))[-1] == "fired"
    files = run.fetch(1, project / "got")
    assert [path.read_text() for path in files] == ["glazed"]
    assert files[0].parent == project / "got"


def test_one_that_follows_may_leave_and_another_goes_on(job: Job, submit: Any, project: Path) -> None:
    run = submit(job(WAITS.replace("GO", str(project / "go"))))
    wait_until(lambda: run.refresh() and len([each for each in run.trials() if each.metrics]) == 2)
    assert run.state is RunState.RUNNING
    other = api.attach(run.id, project=project)
    (project / "go").touch()
    assert other.resume().wait() is RunState.COMPLETED
    assert len(api.runs(project=project)) == 1
    assert [trial.attempt for trial in other.trials()] == [1, 1, 1]


def test_a_cancelled_run_ends_with_its_experiment(job: Job, submit: Any, emulator: Any, project: Path) -> None:
    run = submit(job(WAITS.replace("GO", str(project / "never"))))
    wait_until(lambda: run.refresh() and len(run.trials()) == 2)
    assert run_app(["cancel", run.id]) == 0
    assert run.wait() is RunState.CANCELLED
    assert {trial.state for trial in run.trials()} == {TrialState.CANCELLED}
    assert emulator._find(run.id).told()["state"] == "stopped"
    assert run.resume().state is RunState.CANCELLED, "for good"


def test_an_experiment_that_was_started_elsewhere_is_attached(job: Job, submit: Any, on: str, tmp_path: Path) -> None:
    run = submit(job())
    run.wait()
    there = tmp_path / "other"
    there.mkdir()
    (there / "cloudtune.toml").write_text((tmp_path / "cloudtune.toml").read_text())
    found = api.attach(run.id, on, project=there)
    assert found.wait() is RunState.COMPLETED
    assert [trial.parameters for trial in found.trials()] == [trial.parameters for trial in run.trials()]
    assert found.job.space == run.job.space
    with pytest.raises(RunNotFound, match="Kiln has no experiment 'nothing'"):
        api.attach("nothing", on, project=there)


def test_who_has_no_token_is_not_let_in(
    job: Job, emulator: Any, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_profiles(project, there={"provider": "kiln", "endpoint": emulator.url, "token": "guessed"})
    job()
    assert run_app(["check", "--on", "there"]) == 1
    assert "Kiln says 401" in capsys.readouterr().out
    with pytest.raises(ProviderError, match="401") as refused:
        api.submit(job(), "there", project=project, base=project)
    assert "guessed" not in str(refused.value)
    with pytest.raises(ConfigError, match="did you mean 'token'"):
        load_provider("kiln")({"tokn": "x"})


# Its emulator, by every door


def test_the_option_and_the_argument_emulate_start_it(job: Job, project: Path) -> None:
    job()
    assert run_app(["run", "job.yaml", "--on", "kiln", "--emulate", "--quiet"]) == 0
    (record,) = api.runs(project=project)
    assert record.where == "kiln (emulated)"
    with api.emulated("oven", project=project) as variables:
        assert {"CLOUDTUNE_KILN_ENDPOINT", "CLOUDTUNE_KILN_TOKEN"} <= variables.keys()
        run = api.submit(job(), "kiln", project=project, base=project)
        assert run.wait() is RunState.COMPLETED
    run = api.submit(job(), "kiln", project=project, base=project, emulate=True)
    assert run.wait() is RunState.COMPLETED


def test_the_command_emulate_serves_it(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloudtune.cli.emulating._wait_for_signal", lambda _: None)
    assert run_app(["emulate", "kiln", "--json"]) == 0
    assert json.loads(capsys.readouterr().out).keys() == {
        "CLOUDTUNE_KILN_ENDPOINT", "CLOUDTUNE_KILN_TOKEN", "CLOUDTUNE_KILN_POLL",
    }  # fmt: skip
    assert run_app(["emulate", "kiln", "--image", "*=python3 x.py"]) == 2
    assert run_app(["emulate", "kln"]) == 2
    assert "there is no emulator of 'kln'; did you mean 'kiln'?" in capsys.readouterr().err


@pytest.mark.parametrize("to", ["the main thread", "another thread"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_emulate_ends_well_by_a_signal_that_comes_with_its_first_words(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals, to: str
) -> None:
    over = threading.Event()
    other = threading.Thread(target=over.wait)
    other.start()
    thread = other if to == "another thread" else threading.main_thread()
    monkeypatch.setattr("cloudtune.cli.emulating.print_json", lambda _: signal.pthread_kill(thread.ident or 0, number))
    assert run_app(["emulate", "kiln", "--json"]) == 0
    over.set()
    other.join()


@pytest.mark.cloudtune_emulator("kiln", grace=0.1)
def test_the_fixture_serves_it(cloudtune_emulator: Any, job: Job, project: Path) -> None:
    run = api.submit(job(), "kiln", project=project, base=project)
    assert run.wait() is RunState.COMPLETED
    assert cloudtune_emulator.calls["PUT experiments"] == 1
    assert run.record.emulated


def test_what_is_mounted_is_read(job: Job, project: Path) -> None:
    (project / "data").mkdir()
    (project / "data" / "number.txt").write_text("7.25")
    (project / "cloudtune.toml").write_text('[mounts]\n"kiln://shared/data" = "data"\n')
    made = job(scripts.READS_DATA, data={"train": "kiln://shared/data"}, limits={"trials": 1})
    with api.emulated("kiln", project=project):
        run = api.submit(made, "kiln", project=project, base=project)
        run.wait()
        assert run.best is not None, [trial.reason for trial in run.trials()]
        assert run.best.metrics == {"score": 7.25}


def test_an_emulator_that_lacks_a_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "cloudtune_kiln.emulator", raising=False)
    monkeypatch.setitem(sys.modules, "werkzeug.wrappers", None)
    with pytest.raises(
        ConfigError, match=r"the emulator of 'kiln' needs werkzeug.wrappers; .* 'cloudtune-kiln\[kiln-emulator\]'"
    ):
        emulator_of("kiln")
