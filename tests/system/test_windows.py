"""What runs on Windows runs in a Python that lacks what Windows' Python lacks; no Windows machine has run any of it."""

import subprocess
import sys
from pathlib import Path, PureWindowsPath

import pytest
import windows_like
from hypothesis import given
from hypothesis import strategies as st

from cloudtune.spec.places import is_local, local_path
from cloudtune.system import locks

_JOB = """
name: there
trial: {source: ., command: python train.py, image: "123456789012.dkr.ecr.eu-west-1.amazonaws.com/image:1"}
identity: "arn:aws:iam::123456789012:role/tuning"
objective: {metric: loss, goal: minimize}
space: {x: {type: float, low: 0, high: 1}}
strategy: {type: random, seed: 1}
limits: {trials: 2, trial_time: 1m}
"""


def _cloudtune(folder: Path, *commands: str) -> dict[str, tuple[int, str]]:
    """Run commands in one such process; return the exit code and the output of each."""
    words = [sys.executable, windows_like.__file__, " ; ".join(commands)]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    parts = ("\n" + done.stdout).split("\n$ ")[1:]
    assert len(parts) == len(commands), done.stdout + done.stderr
    found = {}
    for command, part in zip(commands, parts, strict=True):
        output, _, code = part.rpartition("\n= ")
        found[command] = (int(code), output + done.stderr)
    return found


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "job.yaml").write_text(_JOB)
    (tmp_path / "train.py").write_text("print('loss=1')\n")
    return tmp_path


def test_plans_imports_exports_schemas_and_prices_need_nothing_of_posix(project: Path) -> None:
    commands = (
        "plan job.yaml --on sagemaker --json",
        "export job.yaml --to sagemaker -o request.json",
        "import request.json --from sagemaker -o again.yaml",
        "export job.yaml --to katib -o experiment.yaml",
        "port job.yaml --to vertex -o ported.yaml",
        "schema -o schema.json",
        "machines --accelerator T4",
        "prices",
        "providers",
        "check --on local",
        "ls",
        "init fresh",
    )
    found = _cloudtune(project, *commands)
    codes = {command: code for command, (code, _) in found.items()}
    assert codes.pop("check --on local") == 1
    assert codes.pop("port job.yaml --to vertex -o ported.yaml") == 3  # what the config lacks is one message
    assert set(codes.values()) == {0}, found
    for name in ("request.json", "again.yaml", "experiment.yaml", "schema.json", "fresh/job.yaml"):
        assert (project / name).stat().st_size > 0


_PAGE = f"""
import sys, threading; sys.path.insert(0, {str(Path(windows_like.__file__).parent)!r})
import windows_like; windows_like.hide()
from pathlib import Path
from live_pages import served, stored_run
stored_run(Path(sys.argv[1]), state=__import__("cloudtune").RunState.INTERRUPTED)
with served(Path(sys.argv[1]), control=True) as client:
    assert client.get("/api/about")["control"] is True
    with client.stream(("list", "1"), ("run", "digits-1a2b")) as events:
        print(sorted({{next(events)[0] for _ in range(2)}}))
    print(len(client.get("/api/table", ("run", "digits-1a2b"), ("as", "json"))))
    print(client.act("try", "digits-1a2b", values="C=0.5 kernel=poly")[0], client.act("cancel", "digits-1a2b")[0])
"""


def test_the_live_page_and_what_it_may_do_need_nothing_of_posix(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _PAGE, str(tmp_path)], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-2:] == ["20", "200 200"]
    assert "Traceback" not in done.stderr


def test_trials_on_this_machine_and_emulators_are_refused_with_what_to_do(project: Path) -> None:
    run, emulated = "run job.yaml --on local", "run job.yaml --on aws --emulate"
    found = _cloudtune(project, run, emulated)
    assert found[run][0] == 3
    assert found[emulated][0] == 2
    for _, said in found.values():
        assert "WSL" in said
        assert "Traceback" not in said


def test_the_locks_of_windows_exclude_each_other_and_end_with_their_process(tmp_path: Path) -> None:
    program = f"""
import sys; sys.path.insert(0, {str(Path(windows_like.__file__).parent)!r})
import windows_like; windows_like.hide()
from cloudtune.system.locks import lock, open_lock, try_lock
held = open_lock({str(tmp_path / "lock")!r})
print(try_lock(held), flush=True)
sys.stdin.readline()
"""
    first = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert first.stdin is not None
    assert first.stdout is not None
    assert first.stdout.readline() == "True\n"
    second = subprocess.run([sys.executable, "-c", program], input="\n", capture_output=True, text=True)
    assert second.stdout == "False\n", second.stderr
    first.kill()
    first.wait()
    third = subprocess.run([sys.executable, "-c", program], input="\n", capture_output=True, text=True)
    assert third.stdout == "True\n"


def test_a_lock_is_free_again_when_its_descriptor_is_closed(tmp_path: Path) -> None:
    import os

    held = locks.open_lock(tmp_path / "lock")
    locks.lock(held)
    other = locks.open_lock(tmp_path / "lock", create=False)
    assert not locks.try_lock(other)
    assert not locks.try_lock(other, shared=True)
    os.close(held)
    assert locks.try_lock(other, shared=True)
    os.close(other)


_NAMES = st.text(st.characters(categories=("L", "N"), include_characters="-_ ."), min_size=1, max_size=8).filter(
    lambda text: text.strip(" .") == text
)
_PATHS = st.builds(
    lambda drive, parts: PureWindowsPath(f"{drive}:/", *parts), st.sampled_from("CDz"), st.lists(_NAMES, max_size=3)
)


@given(path=_PATHS)
def test_a_path_with_a_drive_is_of_this_machine_however_it_is_written(path: PureWindowsPath) -> None:
    for place in (str(path), path.as_posix(), f"file:///{path.as_posix()}"):
        assert is_local(place)
        assert PureWindowsPath(local_path(place, windows=True)) == path


@pytest.mark.complete
def test_a_run_on_a_service_is_launched_followed_and_read(project: Path, sagemaker_emulator: object) -> None:
    """The emulator is in this process, which has POSIX; its client's Python is the one without."""
    run = "run job.yaml --on sagemaker --yes --quiet --set trial.image=1.dkr.ecr.us-east-1.amazonaws.com/own:1"
    found = _cloudtune(project, run, "show --json", "trials --json", "logs latest 0", "ls")
    assert {command: code for command, (code, _) in found.items()} == dict.fromkeys(found, 0), found
    assert '"completed": 2' in found["show --json"][1]
