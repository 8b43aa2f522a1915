"""The trial helper as a program, from a copy that is alone in its folder."""

import ast
import contextlib
import importlib
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from trial_files import as_trial, reported

from cloudtune import trial
from cloudtune.space.parameters import Scalar
from cloudtune.trial import start as program_of_services


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a copy of the helper as a program, in a folder where there is nothing else of cloudtune."""
    copy = tmp_path / "copy" / "cloudtune_trial.py"
    shutil.copytree(Path(trial.__file__).parent, copy.with_name("cloudtune_helper"))
    shutil.copy(program_of_services.__file__, copy)
    with contextlib.ExitStack() as ends:

        def start(parameters: Mapping[str, Scalar], *arguments: str) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [sys.executable, "-I", str(copy), *arguments], cwd=tmp_path, text=True, start_new_session=True,
                env={"PATH": os.environ["PATH"], **as_trial(tmp_path, parameters)},
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
            ends.enter_context(process)
            ends.callback(_end_group, process.pid)  # whatever a failed test leaves
            return process

        yield start


def _end_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # nobody is left in it
        os.killpg(group, signal.SIGKILL)


def test_a_function_is_run_as_a_trial(program: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text("def score(x, y): return x + y\ndef metrics(x, y): return {'m': x, 'n n': y}\n")
    for arguments in (["--function", "work:score", "--metric", "total"], ["--function", "work:metrics"]):
        process = program({"x": 1, "y": 0.5}, *arguments)
        assert process.communicate(timeout=100) == ("", "")
        assert process.returncode == 0
    assert [line["metrics"] for line in reported(tmp_path)] == [{"total": 1.5}, {"m": 1.0, "n n": 0.5}]


def test_a_function_that_is_not_there_is_told_without_a_traceback(program: Callable[..., Any]) -> None:
    process = program({}, "--function", "nowhere:fn")
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 1
    assert (
        errors == "the function cannot be loaded: there is no module 'nowhere' in the working folder or Python's path\n"
    )


def test_a_call_without_sense_shows_how_to_call(program: Callable[..., Any]) -> None:
    process = program({}, "--metric", "m")
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 2
    assert "python -m cloudtune.trial --function package.module:name" in errors


@pytest.mark.parametrize(
    ("script", "code", "errors"),
    [
        ("import sys; print(sys.argv[1:])", 0, ""),
        ("raise SystemExit(3)", 3, "the command ended with exit code 3\n"),
        ("import os; os.kill(os.getpid(), 9)", 137, "the command was killed by SIGKILL: most likely memory ran out\n"),
        ("import os; os.kill(os.getpid(), 6)", 134, "the command was killed by signal SIGABRT\n"),
    ],
)
def test_a_command_is_run_with_its_parameters_and_its_end_is_told(
    program: Callable[..., Any], script: str, code: int, errors: str
) -> None:
    process = program({"lr": 0.1, "k": "a b"}, "--", sys.executable, "-I", "-S", "-c", script, "--rate={lr}")
    output, said = process.communicate(timeout=100)
    assert (process.returncode, said) == (code, errors)
    assert output == ("['--rate=0.1', '--k', 'a b']\n" if code == 0 else "")


def test_a_shell_that_tells_of_a_kill_is_understood(program: Callable[..., Any]) -> None:
    process = program({}, "--", "/bin/sh", "-c", "/bin/sh -c 'kill -9 $$'; exit $?")
    _, said = process.communicate(timeout=100)
    assert process.returncode == 137
    assert said.splitlines()[-1] == "the command was killed by SIGKILL: most likely memory ran out"


def test_a_command_that_is_not_there_is_told(program: Callable[..., Any]) -> None:
    process = program({}, "--", "no-such-program")
    _, said = process.communicate(timeout=100)
    assert (process.returncode, said) == (
        127,
        "the command 'no-such-program' cannot be started: No such file or directory\n",
    )


def test_a_request_to_end_is_passed_on_and_the_command_may_save_its_state(
    program: Callable[..., Any], tmp_path: Path
) -> None:
    script = """
        import os, signal, sys
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        os.write(1, b"ready\\n")
        signal.sigwait([signal.SIGTERM])
        os.write(1, b"saved\\n")
        sys.exit(5)
        """
    process = program({}, "--", sys.executable, "-I", "-S", "-c", textwrap.dedent(script))
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)  # of a terminal, which sends it to the command itself, too
    process.send_signal(signal.SIGTERM)
    output, said = process.communicate(timeout=100)
    assert (process.returncode, output, said) == (5, "saved\n", "the command ended with exit code 5\n")


def test_the_helper_imports_next_to_nothing() -> None:
    code = "import sys; before = set(sys.modules); sys.path.insert(0, sys.argv[1]); import trial; print(*set(sys.modules) - before)"
    folder = str(Path(trial.__file__).parent.parent)
    output = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, folder], capture_output=True, text=True, check=True
    ).stdout
    heavy = {
        "argparse",
        "typing",
        "subprocess",
        "pathlib",
        "shlex",
        "decimal",
        "statistics",
        "importlib.util",
        "signal",
    }
    assert heavy.isdisjoint(output.split())
    assert "trial" in output.split()


def test_all_that_travels_is_python_of_3_8_and_needs_the_standard_library_alone() -> None:
    contracts = [
        Path(importlib.import_module(f"cloudtune_{name}.container").__file__ or "")
        for name in ("azureml", "databricks", "kubernetes", "sagemaker", "vertex")
    ]
    travels = Path(trial.__file__).parent.rglob("*.py")
    files = [*(path for path in travels if path.parent.name != "callbacks"), *contracts]  # these need frameworks
    assert len(files) > 10
    for path in files:
        for node in ast.walk(ast.parse(path.read_text("utf-8"), feature_version=(3, 8))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            else:
                continue
            assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names, (path, names)


OVERHEARD = """
import sys, time
from cloudtune.trial import running

running._OUTPUT_TIMEOUT = 0.2
heard = []

def listen(data):
    time.sleep(1 if data else 0)  # as one does that must try again and again until a service hears it
    heard.append(data)

code = running.run_words(["sh", "-c", sys.argv[1]], None, listen)
print(code, heard, file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("command", "heard"),
    [("echo score=1", "[b'score=1\\n', b'']"), ("sleep 60 & echo score=1", "[b'score=1\\n']")],
    ids=["until all is heard", "but not for what holds the output open"],
)
def test_what_a_program_printed_last_is_heard_before_its_end_is_told(command: str, heard: str) -> None:
    words = [sys.executable, "-c", OVERHEARD, command]
    with subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True) as process:  # fmt: skip
        assert process.stderr is not None
        try:
            assert process.stderr.readline() == f"0 {heard}\n"
        finally:
            _end_group(process.pid)
