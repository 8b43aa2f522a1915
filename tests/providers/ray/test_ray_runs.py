"""Runs on a real Ray cluster: what trials get, what they leave, and what cannot work."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray_clusters
from input_names import SCRIPT as SCRIPT_OF_INPUTS
from input_names import written_inputs
from ray_runs import actors_of, begun, driven_beside, driver_of_its_own

from cloudtune import api
from cloudtune.errors import ProviderError, SpecError, UnsupportedError
from cloudtune.run import Run
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import RunState, TrialState
from cloudtune.testing.conformance import wait_until

pytestmark = pytest.mark.xdist_group("ray")  # whose clusters are started once

# Whom trials share the cluster with


@pytest.mark.complete
def test_two_runs_of_one_id_do_not_disturb_each_other(
    waiting: Any, made: Any, job: Any, project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other_project = tmp_path_factory.mktemp("other")
    (other_project / "cloudtune.toml").write_text((project / "cloudtune.toml").read_text())
    run = made(waiting(limits={"trials": 2, "parallel": 2}), run_id="twin")
    with driven_beside(run, project):
        wait_until(lambda: len(begun(project)) == 2)
        other = api.prepare(job(), project=other_project, base=project, run_id="twin")
        assert other.wait() is RunState.COMPLETED
        assert [trial.state for trial in run.trials()] == [TrialState.RUNNING] * 2
        (project / "go").touch()
    assert run.state is RunState.COMPLETED
    assert [trial.attempt for trial in run.trials()] == [1, 1]


@pytest.mark.complete
def test_more_trials_at_once_than_the_cluster_holds_wait_for_their_turn(job: Any, finish: Any) -> None:
    run = finish(job(limits={"trials": 4, "parallel": 4}, compute={"cpus": 2}))
    assert [trial.state for trial in run.trials()] == [TrialState.COMPLETED] * 4


def test_a_trial_takes_the_resources_that_it_asks_for(waiting: Any, made: Any, project: Path, cluster: Any) -> None:
    import ray

    run = made(waiting(compute={"cpus": 2, "memory": "1GB"}, ray={"resources": {"second": 0.25}}))
    total = ray.cluster_resources()

    def taken(name: str) -> float:
        free: float = ray.available_resources().get(name, 0)
        return total[name] - free

    with driven_beside(run, project):
        wait_until(lambda: begun(project) == {"0.1"})
        wait_until(lambda: taken("second") == 0.25 and taken("CPU") == 2)
        assert taken("memory") == pytest.approx(1e9)
        (project / "go").touch()
    assert run.state is RunState.COMPLETED


def test_what_no_node_can_give_is_told_at_once(job: Any, made: Any) -> None:
    run = made(job(compute={"cpus": 64}))
    with pytest.raises(ProviderError, match=r"a trial needs 64 CPU \(the most is 2\), which none of the 2 nodes has"):
        run.wait()
    run = made(job(compute={"accelerators": "A100:1"}, ray={"wait": "1s"}))
    with pytest.raises(ProviderError, match=r"a trial needs an accelerator A100, .*ray: \{wait: 10m\}"):
        run.wait()
    assert run.state is RunState.INTERRUPTED


@pytest.mark.complete
def test_a_cluster_that_grows_is_waited_for(job: Any, made: Any, project: Path, cluster: Any) -> None:
    run = made(job(ray={"resources": {"late": 1}, "wait": "60s"}))
    with driven_beside(run, project):
        wait_until(lambda: len(run.trials()) == 1)
        node = ray_clusters.add_node(cluster, "late", cpus=1)
    assert run.state is RunState.COMPLETED
    cluster.remove_node(node)


# What trials get, and what they leave


def test_trials_see_their_environment_and_the_slots(job: Any, finish: Any, project: Path) -> None:
    script = """
        import os
        print(os.environ["FROM_RAY"], os.environ["SECRET"], os.environ["CLOUDTUNE_RUN"], sep="\\n")
        print("GPU", os.environ["CUDA_VISIBLE_DEVICES"])
        import ray
        ray.init(log_to_driver=False, logging_level="ERROR")
        print(f"score={len(ray.nodes())}")
        """
    ray_settings = {"runtime_env": {"env_vars": {"FROM_RAY": "of Ray"}}, "num_gpus": 0.5}
    run = finish(job(script, trial={"environment": {"SECRET": "mellon"}}, ray=ray_settings))
    assert run.best is not None, run.trials()[0].reason
    assert list(run.logs(0))[:3] == ["of Ray", "mellon", run.id]
    assert list(run.logs(0))[3] in ("GPU 0", "GPU 1"), "only the GPU that Ray gave it"
    assert run.best.metrics["score"] >= 2, "a trial can use the cluster itself"
    assert not (run.folder / "environment.json").exists()


def test_ignored_files_stay_and_nothing_of_the_run_is_left_on_the_nodes(job: Any, finish: Any, project: Path) -> None:
    tuning = job(
        "import os\nprint(sorted(os.listdir()), os.getcwd(), sep='\\n')\nprint('score=1')", trial={"ignore": ["*.bin"]}
    )
    (project / "src" / "big.bin").write_text("0")
    (project / "src" / "sub").mkdir()
    (project / "src" / "sub" / "tool.sh").write_text("")
    (project / "src" / "sub" / "tool.sh").chmod(0o755)
    (project / "src" / "link").symlink_to("sub/tool.sh")
    listing, place, _ = finish(tuning).logs(0)
    assert listing == "['link', 'sub', 'train.py']"
    assert not Path(place).exists()


def test_data_travels_unless_all_nodes_see_it(job: Any, finish: Any, project: Path) -> None:
    (project / "data").mkdir()
    (project / "data" / "number.txt").write_text("7.5")
    script = "import cloudtune.trial as t\nprint(t.data('train'))\nprint('score=', open(t.data('train')).read())"
    run = finish(job(script, data={"train": "data/number.txt"}))
    assert run.best is not None, run.trials()[0].reason
    assert run.best.metrics == {"score": 7.5}
    assert not next(iter(run.logs(0))).startswith(str(project))
    run = finish(job(script, data={"train": "data/number.txt"}, ray={"data": "shared"}))
    assert next(iter(run.logs(0))) == str(project / "data" / "number.txt")


def test_outputs_come_back_and_checkpoints_go_on(job: Any, finish: Any, tmp_path: Path) -> None:
    script = """
        import os, pathlib, sys
        import cloudtune.trial as trial
        out, kept = pathlib.Path(trial.output_dir()), pathlib.Path(trial.checkpoint_dir())
        if trial.attempt() == 1:
            (kept / "deep").mkdir()
            (kept / "deep" / "state").write_text("half way")
            sys.exit("broke down")
        print((kept / "deep" / "state").read_text())
        (out / "model.bin").write_bytes(bytes(range(256)) * 36_000)
        (out / "empty").touch()
        (out / "sub").mkdir()
        (out / "sub" / "run.sh").touch(0o755)
        trial.report(score=1)
        """
    run = finish(job(script, retries=1))
    assert run.best is not None, run.trials()[0].reason
    assert list(run.logs(0)) == ["--- attempt 1 ---", "broke down", "--- attempt 2 ---", "half way"]
    files = {path.relative_to(tmp_path / "got").as_posix(): path for path in run.fetch(0, tmp_path / "got")}
    assert set(files) == {"model.bin", "empty", "sub/run.sh"}
    assert files["model.bin"].read_bytes() == bytes(range(256)) * 36_000
    assert os.access(files["sub/run.sh"], os.X_OK)


@pytest.mark.complete
def test_outputs_lie_in_a_folder_that_all_nodes_see(job: Any, finish: Any, project: Path) -> None:
    script = """
        import os, pathlib
        pathlib.Path(os.environ["CLOUDTUNE_OUTPUT_DIR"], "m").write_text("x")
        pathlib.Path(os.environ["CLOUDTUNE_CHECKPOINT_DIR"], "c").write_text("y")
        print("score=1")
        """
    run = finish(job(script, output="out"))
    assert (project / "out" / run.id / "00000" / "m").read_text() == "x"
    assert (project / "out" / run.id / "checkpoints" / "00000" / "c").read_text() == "y"
    assert [path.name for path in run.fetch(0, project / "got")] == ["m"]


# Limits, and programs of all kinds


@pytest.mark.complete
def test_a_trial_that_takes_too_much_memory_is_ended(job: Any, finish: Any) -> None:
    script = "import time; hoard = bytearray(300_000_000); print('has it', flush=True); time.sleep(60)"
    (trial,) = finish(job(script, compute={"memory": "150MB"})).trials()
    assert trial.state is TrialState.FAILED
    assert "(compute.memory)" in trial.reason


FUNCTION = """
import os, sys, time
import cloudtune.trial as trial

def train(x, what):
    print("what", what, flush=True)
    if what == "crash":
        os._exit(3)
    if what == "raise":
        raise ValueError("too much")
    if what == "hang":
        time.sleep(60)
    trial.report(score=x, step=1)
    with open(os.path.join(trial.output_dir(), "model"), "w") as file:
        file.write(str(x))
    return {"score": x, "pid": os.getpid()}
"""


@pytest.mark.parametrize("isolate", [True, False])
def test_functions_run_in_processes_of_their_own_or_in_workers(
    isolate: bool, job: Any, finish: Any, project: Path
) -> None:
    kinds = ["well", "well too", "crash", "raise", "hang", "well again"]
    tuning = job(
        "",
        trial={"function": "jobs:train"},
        space={"what": {"type": "categorical", "values": kinds}, "x": {"type": "constant", "value": 0.5}},
        strategy={"type": "grid"},
        limits={"trials": 6, "parallel": 1, "trial_time": "1s"},
        ray={"isolate": isolate, "grace": 0},
    )
    (project / "src" / "jobs.py").write_text(FUNCTION)
    run = finish(tuning)
    trials = {trial.parameters["what"]: trial for trial in run.trials()}
    for kind in ("well", "well too", "well again"):
        assert trials[kind].state is TrialState.COMPLETED, trials[kind].reason
        assert [report.metrics.get("score") for report in run.reports(trials[kind].number)] == [0.5, 0.5]
        assert list(run.logs(trials[kind].number)) == [f"what {kind}"]
        assert [path.name for path in run.fetch(trials[kind].number, project / "got")] == ["model"]
    assert trials["crash"].reason.startswith("it exited with code 3")
    assert "ValueError: too much" in trials["raise"].reason
    assert "(limits.trial_time)" in trials["hang"].reason
    same = trials["well"].metrics["pid"] == trials["well too"].metrics["pid"]
    assert same is not isolate


@pytest.mark.complete
def test_a_pruned_worker_makes_room_for_the_next(job: Any, finish: Any, project: Path) -> None:
    tuning = job(
        "",
        trial={"function": "jobs:train"},
        limits={"trials": 6, "parallel": 2},
        stopping={"type": "bandit", "slack_factor": 0.1, "grace": 2},
        ray={"isolate": False},
    )
    code = "import time\nimport cloudtune.trial as t\ndef train(x):\n    for s in range(1, 21):\n        t.report(score=x * s, step=s)\n        time.sleep(0.02)\n"
    (project / "src" / "jobs.py").write_text(code)
    run = finish(tuning)
    states = [trial.state for trial in run.trials()]
    assert states.count(TrialState.PRUNED) >= 1
    assert states.count(TrialState.PRUNED) + states.count(TrialState.COMPLETED) == 6


# What cannot work


def test_a_runtime_environment_that_cannot_be_made_ends_the_run_with_its_reason(job: Any, made: Any) -> None:
    run = made(job(ray={"runtime_env": {"conda": "no-such-environment"}}))
    with pytest.raises(ProviderError, match="no slot for trials could be started on the cluster: its runtime env"):
        run.wait()
    assert not actors_of(run)


def test_what_ray_would_refuse_is_refused_before_the_run(job: Any, made: Any, project: Path) -> None:
    with pytest.raises(SpecError, match=r"ray\.runtime_env: Only \.zip"):
        made(job(ray={"runtime_env": {"working_dir": "s3://bucket/folder"}}))
    with pytest.raises(UnsupportedError, match=r"ray\.num_gpus: is a part of one GPU, or a whole number of them"):
        made(job(ray={"num_gpus": 1.5}))
    with pytest.raises(SpecError, match=r"data\.train: there is no file or folder 'nowhere'"):
        made(job(data={"train": "nowhere"}))
    assert not api.runs(project=project)


def test_data_that_a_node_does_not_see_is_named(job: Any, made: Any) -> None:
    run = made(job(data={"train": "nowhere"}, ray={"data": "shared"}))
    with pytest.raises(ProviderError, match=r"there is no .*nowhere on .* \(ray.data: shared\)"):
        run.wait()


def test_a_cluster_that_does_not_answer_is_told_with_what_to_do(project: Path) -> None:
    code = (
        "from cloudtune.config import Profile\nfrom cloudtune_ray.provider import RayProvider\n"
        "for settings in ({'address': '127.0.0.1:9'}, {'address': 'ray://127.0.0.1:9'}):\n"
        "    for finding in RayProvider(settings).check():\n        print(finding.ok, finding.message)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.count("False no Ray cluster answers at") == 2
    assert said.stdout.count("start one with `ray start --head`") == 2
    assert not said.stderr


def test_check_tells_nodes_and_resources(project: Path, cluster: Any) -> None:
    from cloudtune_ray.provider import RayProvider

    findings = {finding.subject: finding for finding in RayProvider({"address": cluster.address}).check()}
    assert findings["cluster"].message.startswith(cluster.address)
    assert findings["nodes"].message == "2 alive"
    assert "of 4 CPU" in findings["resources"].message
    assert all(finding.ok for finding in findings.values())


@pytest.mark.complete
def test_a_signal_to_the_driver_still_is_the_drivers(waiting: Any, made: Any, project: Path) -> None:
    run = made(waiting())
    with driver_of_its_own(run, project) as driver:
        wait_until(lambda: begun(project) == {"0.1"})
        driver.send_signal(signal.SIGTERM)
        driver.wait(timeout=100)
    assert run.state is RunState.INTERRUPTED
    assert run.record.reason.startswith("by SIGTERM")
    assert [trial.state for trial in run.trials()] == [TrialState.WAITING]
    assert not actors_of(run)


@pytest.mark.parametrize("isolate", [pytest.param(True, marks=pytest.mark.complete), False])
def test_a_function_keeps_as_much_of_its_output_as_a_program(
    isolate: bool, job: Any, finish: Any, project: Path
) -> None:
    (project / "code").mkdir(exist_ok=True)
    (project / "code" / "chatty.py").write_text(CHATTY)
    run = finish(
        job(
            trial={"source": "code", "function": "chatty:train"},
            space={"x": {"type": "categorical", "values": [0.25, 0.75, 0.5, 1.0, 0.125]}},
            strategy={"type": "grid"},
            limits={"parallel": 1},
            ray={"isolate": isolate, "log_size": "16KB"},
        )
    )
    assert run.state is RunState.COMPLETED, run.events()
    for trial in run.trials():
        x = trial.parameters["x"]
        lines = list(run.logs(trial.number))
        assert (lines[0], lines[-1]) == (f"the beginning {x}", f"the end {x}")
        notes = [line for line in lines if "bytes of the output are left out here" in line]
        assert len(notes) == (float(x) > 0.5)
        assert sum(len(line) + 1 for line in lines) < 17_000


CHATTY = """
def train(x):
    print("the beginning", x)
    for number in range(40_000 if x > 0.5 else 40):
        print("line", number)
    print("the end", x)
    return x
"""


def test_inputs_of_every_name_are_found_by_one_rule(
    job: Callable[..., TuningJob], finish: Callable[[TuningJob], Run], project: Path
) -> None:
    run = finish(job(SCRIPT_OF_INPUTS, data=written_inputs(project)))
    assert run.trials()[0].state is TrialState.COMPLETED, list(run.logs(0))
