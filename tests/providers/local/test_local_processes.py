"""Trials as processes: what they see, what they leave behind, and how they are ended."""

import json
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from plain_jobs import plain_data

from cloudtune import api
from cloudtune.errors import ProviderError, SpecError, UnsupportedError
from cloudtune.run import Run
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import RunState, TrialState
from cloudtune.testing.conformance import wait_until

X = {"type": "float", "low": 0.0, "high": 1.0}


@pytest.fixture
def finish(tmp_path: Path) -> Callable[..., Run]:
    """Runs a job in this process: a command or a script, with any fields."""

    def run(script: str | None = None, **fields: Any) -> Run:
        if script is not None:
            (tmp_path / "train.py").write_text(textwrap.dedent(script))
        data = {
            "name": "j",
            "trial": {"command": "python train.py", **fields.pop("trial", {})},
            "objective": {"metric": "score", "goal": "maximize"},
            "space": {"x": X},
            "strategy": {"type": "random", "seed": 1},
            "limits": {"trials": 1, **fields.pop("limits", {})},
            "local": {"grace": 0.3},
            **fields,
        }
        made = api.prepare(TuningJob.from_data(data), "local", project=tmp_path, base=tmp_path)
        made.wait()
        return made

    return run


def only(run: Run) -> Any:
    (trial,) = run.trials()
    return trial


@pytest.mark.parametrize(
    "command",
    [
        "echo score={x}",
        ["echo", "score={x}"],
        "printf 'score: %s\\n' {x} | cat",
        "python -c 'import sys; print(\"score =\", sys.argv[2])'",
        ["python", "-c", "import sys; print('score=', sys.argv[sys.argv.index('--x') + 1])"],
    ],
)
def test_commands_take_parameters_in_their_places_or_as_options(finish: Callable[..., Run], command: Any) -> None:
    trial = only(finish(trial={"command": command}))
    assert trial.state is TrialState.COMPLETED, trial.reason
    assert trial.metrics["score"] == pytest.approx(trial.parameters["x"])


def test_a_trial_has_a_folder_with_everything_of_it(finish: Callable[..., Run]) -> None:
    run = finish(
        """
        import os, pathlib
        pathlib.Path(os.environ["CLOUDTUNE_OUTPUT_DIR"], "model.txt").write_text("the model")
        pathlib.Path(os.environ["CLOUDTUNE_CHECKPOINT_DIR"], "epoch").write_text("3")
        print("score=1")
        """
    )
    folder = run.folder / only(run).place
    assert json.loads((folder / "parameters.json").read_text())["parameters"] == only(run).parameters
    assert (folder / "output" / "model.txt").read_text() == "the model"
    assert (folder / "checkpoint" / "epoch").read_text() == "3"
    assert (folder / "log.txt").read_text() == "score=1\n"


def test_outputs_go_to_the_folder_that_the_job_names(finish: Callable[..., Run], tmp_path: Path) -> None:
    run = finish(
        "import os; open(os.environ['CLOUDTUNE_OUTPUT_DIR'] + '/m', 'w').write('x'); print('score=1')",
        output="out",
    )
    assert (tmp_path / "out" / run.id / "00000" / "m").read_text() == "x"


def test_no_folder_of_a_trial_that_never_came_is_left(finish: Callable[..., Run]) -> None:
    run = finish("print('score=1')", limits={"trials": 9, "target": 0.5})
    assert [path.name for path in sorted((run.folder / "trials").iterdir())] == ["00000"]


def test_a_checkpoint_outlives_a_failed_attempt(finish: Callable[..., Run]) -> None:
    run = finish(
        """
        import os, pathlib, sys
        mark = pathlib.Path(os.environ["CLOUDTUNE_CHECKPOINT_DIR"], "mark")
        if not mark.exists():
            mark.write_text("half way")
            sys.exit(3)
        print("score=2")
        """,
        retries=1,
    )
    assert only(run).state is TrialState.COMPLETED
    assert only(run).attempt == 2
    assert list(run.logs(0)) == ["--- attempt 1 ---", "--- attempt 2 ---", "score=2"]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("import sys; sys.exit(7)", "exited with code 7"),
        ("raise ValueError('the learning rate is too high')", "ValueError: the learning rate is too high"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "killed by SIGSEGV"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "memory ran out"),
        ("print('score=nan')", "was nan at the end"),
        ("print('score=banana')", "without reporting the objective 'score'"),
    ],
)
def test_a_failure_says_what_it_was(finish: Callable[..., Run], script: str, reason: str) -> None:
    run = finish(script)
    assert only(run).state is TrialState.FAILED
    assert reason in only(run).reason
    assert run.state is RunState.FAILED


def test_a_program_that_does_not_exist_is_refused_and_one_that_cannot_start_fails_the_trial_with_its_name(
    finish: Callable[..., Run], tmp_path: Path
) -> None:
    with pytest.raises(SpecError, match="no-such-program"):
        finish(trial={"command": ["no-such-program"]})
    start = tmp_path / "start.sh"
    start.write_text("#!/no/such/interpreter\n")
    start.chmod(0o755)
    assert "start.sh" in only(finish(trial={"command": ["./start.sh"]})).reason


def test_a_trial_that_needs_too_much_memory_is_ended(finish: Callable[..., Run]) -> None:
    hungry = "import time; hoard = bytearray(300_000_000); print('has it', flush=True); time.sleep(60)"
    run = finish(hungry, compute={"memory": "100MB"})
    assert only(run).state is TrialState.FAILED
    assert "compute.memory" in only(run).reason
    assert only(run).duration < 30


def test_memory_of_child_processes_counts(finish: Callable[..., Run]) -> None:
    script = """
        import subprocess, sys
        subprocess.run([sys.executable, "-c", "import time; hoard = bytearray(300_000_000); time.sleep(60)"])
        """
    assert "compute.memory" in only(finish(script, compute={"memory": "100MB"})).reason


def test_a_trial_that_ignores_the_request_to_end_is_made_to(finish: Callable[..., Run]) -> None:
    script = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('score=1', flush=True); time.sleep(60)"
    run = finish(script, limits={"trial_time": "500ms"})
    assert only(run).state is TrialState.FAILED
    assert "limits.trial_time" in only(run).reason
    assert only(run).duration < 10


def test_a_trial_may_save_its_state_when_it_is_asked_to_end(finish: Callable[..., Run]) -> None:
    script = """
        import os, pathlib, signal, sys, time
        def save(*_):
            pathlib.Path(os.environ["CLOUDTUNE_CHECKPOINT_DIR"], "saved").write_text("in time")
            sys.exit(0)
        signal.signal(signal.SIGTERM, save)
        print("score=1", flush=True)
        time.sleep(60)
        """
    run = finish(script, limits={"trial_time": "1s"}, local={"grace": 20})
    assert (run.folder / only(run).place / "checkpoint" / "saved").read_text() == "in time"


@pytest.mark.parametrize("how", ["in its group", "in a session of its own", "as a daemon"])
def test_what_a_trial_starts_does_not_survive_it(finish: Callable[..., Run], how: str, tmp_path: Path) -> None:
    start = {
        "in its group": "subprocess.Popen(sleeper)",
        "in a session of its own": "subprocess.Popen(sleeper, start_new_session=True)",
        "as a daemon": "subprocess.run([sys.executable, '-c', 'import subprocess; subprocess.Popen(%r, start_new_session=True)' % (sleeper,)])",
    }[how]
    script = f"""
        import subprocess, sys
        sleeper = [sys.executable, "-c", "import os, time; open({str(tmp_path / "pid")!r}, 'w').write(str(os.getpid())); time.sleep(600)"]
        {start}
        import os, time
        while not os.path.exists({str(tmp_path / "pid")!r}) or not open({str(tmp_path / "pid")!r}).read():
            time.sleep(0.01)
        print("score=1")
        """
    run = finish(script)
    assert only(run).state is TrialState.COMPLETED, only(run).reason
    pid = int((tmp_path / "pid").read_text())
    wait_until(lambda: not psutil.pid_exists(pid) or gone(psutil.Process(pid)))


def test_one_trial_in_trouble_does_not_touch_the_others(finish: Callable[..., Run]) -> None:
    script = """
        import os, signal, sys, time
        import cloudtune.trial as trial
        fate = trial.params()["fate"]
        if fate == "crash": os.kill(os.getpid(), signal.SIGSEGV)
        if fate == "hang": time.sleep(600)
        if fate == "fill": sys.stdout.write("x" * 3_000_000)
        if fate == "fork": os.fork()
        if fate == "garbage": os.write(1, bytes(range(256)) * 100)
        print()
        print("score=1")
        """
    fates = ["crash", "hang", "fill", "fork", "garbage", "fine"]
    run = finish(
        script, space={"fate": {"type": "categorical", "values": fates}}, strategy={"type": "grid"},
        limits={"trials": None, "parallel": 3, "trial_time": "2s"},
    )  # fmt: skip
    states = {trial.parameters["fate"]: trial.state.value for trial in run.trials()}
    assert states == {fate: "failed" if fate in ("crash", "hang") else "completed" for fate in fates}


def test_a_full_disk_below_one_trial_is_that_trials_end(finish: Callable[..., Run]) -> None:
    """A limit on file sizes stands for the full disk: the write fails with an error, as it would there."""
    script = """
        import resource, cloudtune.trial as trial
        if trial.number() == 1:
            resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
            import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            open(trial.output_dir() + "/model", "wb").write(b"x" * 1000)
        trial.report(score=1.0)
        """
    run = finish(script, limits={"trials": 3})
    assert [trial.state.value for trial in run.trials()] == ["completed", "failed", "completed"]


def test_trials_find_this_python_and_the_users_environment(
    finish: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("OF_THE_USER", "4.5")
    script = f"import os, sys; assert os.path.samefile(sys.prefix, {sys.prefix!r}); print('score=' + os.environ['OF_THE_USER'])"
    assert only(finish(script)).metrics == {"score": 4.5}


def test_the_values_of_the_environment_are_kept_private_and_only_while_needed(
    finish: Callable[..., Run], tmp_path: Path
) -> None:
    script = """
        import os, pathlib, stat
        kept = pathlib.Path(os.environ["CLOUDTUNE_PARAMETERS"]).parents[2] / "environment.json"
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        print("score=" + os.environ["TOKEN"])
        """
    run = finish(script, trial={"environment": {"TOKEN": "31337"}})
    assert only(run).metrics == {"score": 31337.0}, only(run).reason
    held = [
        path
        for path in tmp_path.rglob("*")
        if path.is_file() and b"31337" in path.read_bytes() and path.name != "log.txt"
    ]
    assert [path for path in held if not path.name.startswith("store.db")] == []
    assert not (run.folder / "environment.json").exists()


def test_a_function_of_a_module_is_a_trial(finish: Callable[..., Run], tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text(
        textwrap.dedent("""
            import os
            def score(x):
                print("pid", os.getpid(), "group", os.getpgid(0))
                return {"score": x * 2, "other": 1}
            """)
    )
    run = finish(trial={"command": None, "function": "work:score"}, limits={"trials": 2})
    for trial in run.trials():
        assert trial.metrics == {"score": pytest.approx(trial.parameters["x"] * 2), "other": 1.0}
        words = next(iter(run.logs(trial.number))).split()
        assert words[1] == words[3], "each trial leads a process group of its own"
    assert next(iter(run.logs(0))) != next(iter(run.logs(1)))


def test_a_function_that_cannot_be_imported_is_a_clear_failure(finish: Callable[..., Run], tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no_such_module"):
        finish(trial={"command": None, "function": "no_such_module:fn"})
    (tmp_path / "broken.py").write_text("import no_such_module\ndef fn(x): return x\n")
    run = finish(trial={"command": None, "function": "broken:fn"})
    assert "no_such_module" in only(run).reason


def test_files_that_are_not_there_are_told_before_anything_runs(finish: Callable[..., Run], tmp_path: Path) -> None:
    with pytest.raises(SpecError) as wrong:
        finish(trial={"command": "true", "source": "nowhere"}, data={"train": "also/nowhere"})
    assert {problem.path for problem in wrong.value.problems} == {"trial.source", "data.train"}
    assert not api.runs(project=tmp_path)


def test_what_this_machine_cannot_do_is_refused(finish: Callable[..., Run]) -> None:
    with pytest.raises(UnsupportedError) as refused:
        finish(
            "print('score=1')",
            data={"train": "s3://bucket/train"},
            network={"isolated": True},
            local={"gracious": 1},
        )
    assert {problem.path for problem in refused.value.problems} == {
        "data.train",
        "network.isolated",
        "local.gracious",
    }


def test_a_driver_that_cannot_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = TuningJob.from_data(
        plain_data(objective={"metric": "m", "goal": "maximize"}, space={"x": X}, limits={"trials": 1})
    )
    run = api.prepare(job, "local", project=tmp_path)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(ProviderError, match="did not start"):
        run.start()


def _terminal(tmp_path: Path, script: str, **fields: Any) -> subprocess.Popen[bytes]:
    """Runs a job in a process of its own, as the command line does."""
    (tmp_path / "train.py").write_text(textwrap.dedent(script))
    data = {
        "name": "j", "trial": {"command": "python train.py"}, "objective": {"metric": "score", "goal": "maximize"},
        "space": {"x": X}, "strategy": {"type": "random", "seed": 1}, "limits": {"trials": 4, "parallel": 2}, "local": {"grace": 0.3}, **fields,
    }  # fmt: skip
    (tmp_path / "job.json").write_text(json.dumps(data))
    code = "import json, sys; from cloudtune import TuningJob, api; api.prepare(TuningJob.from_data(json.load(open('job.json'))), 'local', run_id='it').wait()"
    return subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, start_new_session=True)


def gone(process: psutil.Process) -> bool:
    """Whether a process has ended (whoever its parent is now may be slow to take note)."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _states(tmp_path: Path) -> list[str]:
    return [trial.state.value for trial in api.attach("it", project=tmp_path).trials()]


def _has_begun(tmp_path: Path, *markers: str) -> Callable[[], bool]:
    return lambda: all((tmp_path / marker).exists() for marker in markers)


WAITS_FOR_A_FILE = """
    import os, pathlib, time
    import cloudtune.trial as trial
    pathlib.Path("{folder}", f"begun-{{trial.number()}}").touch()
    while not pathlib.Path("{folder}", "go").exists():
        time.sleep(0.01)
    with open("{folder}/runs", "a") as file:
        file.write(f"{{trial.number()}}\\n")
    trial.report(score=trial.params()["x"])
    """


def test_one_interrupt_lets_the_running_trials_end(tmp_path: Path) -> None:
    driver = _terminal(tmp_path, WAITS_FOR_A_FILE.format(folder=tmp_path))
    wait_until(_has_begun(tmp_path, "begun-0", "begun-1"))
    driver.send_signal(signal.SIGINT)
    (tmp_path / "go").touch()
    assert driver.wait(100) == 0
    run = api.attach("it", project=tmp_path)
    assert run.state is RunState.INTERRUPTED
    assert _states(tmp_path) == ["completed", "completed"]
    assert run.resume().wait() is RunState.COMPLETED
    assert sorted((tmp_path / "runs").read_text().split()) == ["0", "1", "2", "3"]


def test_two_interrupts_end_the_running_trials_which_a_resume_starts_again(tmp_path: Path) -> None:
    driver = _terminal(tmp_path, WAITS_FOR_A_FILE.format(folder=tmp_path))
    wait_until(_has_begun(tmp_path, "begun-0", "begun-1"))
    driver.send_signal(signal.SIGINT)
    driver.send_signal(signal.SIGTERM)
    assert driver.wait(100) == 0
    assert _states(tmp_path) == ["waiting", "waiting"]
    (tmp_path / "go").touch()
    assert api.attach("it", project=tmp_path).resume().wait() is RunState.COMPLETED
    assert sorted((tmp_path / "runs").read_text().split()) == ["0", "1", "2", "3"]


def test_trials_of_a_killed_driver_are_taken_over(tmp_path: Path) -> None:
    driver = _terminal(tmp_path, WAITS_FOR_A_FILE.format(folder=tmp_path))
    wait_until(_has_begun(tmp_path, "begun-0", "begun-1"))
    driver.kill()
    driver.wait()
    run = api.attach("it", project=tmp_path)
    assert run.state is RunState.INTERRUPTED
    run.resume()
    (tmp_path / "go").touch()
    assert run.wait() is RunState.COMPLETED
    assert sorted((tmp_path / "runs").read_text().split()) == ["0", "1", "2", "3"]
    assert [trial.attempt for trial in run.trials()] == [1, 1, 1, 1]


def test_a_trial_that_ended_while_no_driver_lived_is_not_run_again(tmp_path: Path) -> None:
    driver = _terminal(tmp_path, WAITS_FOR_A_FILE.format(folder=tmp_path))
    wait_until(_has_begun(tmp_path, "begun-0", "begun-1"))
    driver.kill()
    driver.wait()
    (tmp_path / "go").touch()
    folder = tmp_path / ".cloudtune" / "runs" / "it" / "trials"
    wait_until(lambda: all("status" in (folder / name / "process.txt").read_text() for name in ("00000", "00001")))
    run = api.attach("it", project=tmp_path)
    assert run.resume().wait() is RunState.COMPLETED
    assert sorted((tmp_path / "runs").read_text().split()) == ["0", "1", "2", "3"]
    assert all(trial.metrics["score"] == trial.parameters["x"] for trial in run.trials())


def test_when_driver_and_keeper_are_killed_orphans_are_ended_and_their_trials_run_again(
    tmp_path: Path,
) -> None:
    driver = _terminal(tmp_path, WAITS_FOR_A_FILE.format(folder=tmp_path))
    wait_until(_has_begun(tmp_path, "begun-0", "begun-1"))
    family = psutil.Process(driver.pid).children(recursive=True)
    keeper = next(process for process in family if "process.keeper" in " ".join(process.cmdline()))
    orphans = keeper.children()
    driver.kill()
    keeper.kill()
    driver.wait()
    assert all(orphan.is_running() for orphan in orphans)
    (tmp_path / "begun-0").unlink()
    run = api.attach("it", project=tmp_path).resume()
    wait_until(_has_begun(tmp_path, "begun-0"))
    assert all(gone(orphan) for orphan in orphans)
    (tmp_path / "go").touch()
    assert run.wait() is RunState.COMPLETED
    assert sorted((tmp_path / "runs").read_text().split()) == ["0", "1", "2", "3"]


def test_a_killed_keeper_is_replaced_and_its_trials_start_again(tmp_path: Path) -> None:
    driver = _terminal(tmp_path, WAITS_FOR_A_FILE.format(folder=tmp_path))
    wait_until(_has_begun(tmp_path, "begun-0", "begun-1"))
    keeper = next(p for p in psutil.Process(driver.pid).children() if "process.keeper" in " ".join(p.cmdline()))
    keeper.kill()
    (tmp_path / "go").touch()
    assert driver.wait(60) == 0
    assert _states(tmp_path) == ["completed"] * 4


def test_cancel_from_another_process_ends_everything(tmp_path: Path) -> None:
    driver = _terminal(tmp_path, WAITS_FOR_A_FILE.format(folder=tmp_path))
    wait_until(_has_begun(tmp_path, "begun-0", "begun-1"))
    api.attach("it", project=tmp_path).cancel()
    assert driver.wait(100) == 0
    assert api.attach("it", project=tmp_path).state is RunState.CANCELLED


def test_cancel_of_a_run_without_a_driver_ends_its_orphans(tmp_path: Path) -> None:
    driver = _terminal(tmp_path, WAITS_FOR_A_FILE.format(folder=tmp_path))
    wait_until(_has_begun(tmp_path, "begun-0", "begun-1"))
    orphans = psutil.Process(driver.pid).children(recursive=True)
    driver.kill()
    driver.wait()
    run = api.attach("it", project=tmp_path)
    run.cancel()
    assert run.state is RunState.CANCELLED
    wait_until(lambda: all(gone(orphan) for orphan in orphans))
    assert time.time() - run.record.ended < 30
    assert run.folder.exists()


def test_runs_of_one_id_in_two_projects_leave_each_other_alone(tmp_path: Path) -> None:
    projects = [tmp_path / "one", tmp_path / "other"]
    drivers = []
    for project in projects:
        project.mkdir()
        drivers.append(_terminal(project, WAITS_FOR_A_FILE.format(folder=project)))
        wait_until(_has_begun(project, "begun-0", "begun-1"))
    drivers[0].kill()
    drivers[0].wait()
    api.attach("it", project=projects[0]).cancel()
    (projects[1] / "go").touch()
    assert drivers[1].wait(100) == 0
    assert [trial.attempt for trial in api.attach("it", project=projects[1]).trials()] == [1, 1, 1, 1]
