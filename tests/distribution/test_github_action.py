"""The GitHub Action: its scripts run against an API of GitHub on this machine, and nothing of a pull request reaches a shell."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

_ROOT = Path(__file__).parents[2]
_ACTION = yaml.safe_load((_ROOT / "action.yml").read_text())
_JOB = """
name: planned
trial: {source: ., command: "python train.py", image: "123456789012.dkr.ecr.eu-west-1.amazonaws.com/image:1"}
identity: "arn:aws:iam::123456789012:role/tuning"
objective: {metric: loss, goal: minimize}
space: {x: {type: float, low: 0, high: 1}}
limits: {trials: 3, trial_time: 1h}
"""
_EVIL = ["$(touch pwned)", "`touch pwned`", "x'; touch pwned; '", 'x"; touch pwned; "', "--help; touch pwned"]


@dataclass
class GitHub:
    """Comments of one pull request, as GitHub's REST API has them."""

    comments: list[dict[str, Any]] = field(default_factory=list)
    refuses: int = 0
    seen: list[tuple[str, str, str]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def github() -> Iterator[GitHub]:
    state = GitHub()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            state.seen.append((self.command, self.path, self.headers["Authorization"]))
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "{}")
            data: Any = {}
            if state.refuses:
                self.send_response(state.refuses)
            else:
                self.send_response(200)
                if self.command == "GET":
                    page = int(self.path.rpartition("page=")[2])
                    data = state.comments[100 * (page - 1) : 100 * page]
                elif self.command == "POST":
                    state.comments.append({"id": len(state.comments) + 1, "user": {"type": "Bot"}, **body})
                else:
                    number = int(self.path.rpartition("/")[2])
                    next(each for each in state.comments if each["id"] == number).update(body)
            self.end_headers()
            self.wfile.write(json.dumps(data).encode())

        do_GET = do_POST = do_PATCH = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield state
        server.shutdown()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    (tmp_path / "job.yaml").write_text(_JOB)
    (tmp_path / "train.py").write_text("print('loss=1')\n")
    (tmp_path / "event.json").write_text(json.dumps({"pull_request": {"number": 7}}))
    return tmp_path


def step(name: str, clone: Path, github: GitHub | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a step of the action as GitHub does: its text as a file of bash, its inputs as environment variables."""
    chosen = next(each for each in _ACTION["runs"]["steps"] if each.get("name") == name)
    assert set(variables) <= set(chosen["env"])
    for file in ("summary", "output"):
        (clone / file).write_text("")
    script = clone / "step.sh"
    script.write_text(chosen["run"])
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {
        **os.environ, "PATH": path, "GITHUB_ACTION_PATH": str(_ROOT), "GITHUB_REPOSITORY": "owner/name", "GITHUB_EVENT_PATH": str(clone / "event.json"),
        "GITHUB_STEP_SUMMARY": str(clone / "summary"), "GITHUB_OUTPUT": str(clone / "output"), "GITHUB_API_URL": github.url if github else "http://127.0.0.1:9",
        "INPUT_TOKEN": "token-of-the-workflow", **variables,
    }  # fmt: skip
    shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)]
    return subprocess.run(shell, cwd=clone, env=environment, capture_output=True, text=True)


def test_a_plan_is_commented_with_its_cost_and_replaced_when_it_changes(clone: Path, github: GitHub) -> None:
    github.comments = [
        {"id": number, "user": {"type": "User"}, "body": "<!-- cloudtune plan:  -->"} for number in range(1, 103)
    ]
    done = step("Plan", clone, github, INPUT_JOB="job.yaml", INPUT_ON="sagemaker")
    assert done.returncode == 0, done.stdout + done.stderr
    written = github.comments[-1]["body"]
    assert len(github.comments) == 103
    assert "0.35 USD" in written
    assert "ml.m5.large at 0.1152 USD an hour" in written
    assert (clone / "summary").read_text() == written
    assert (clone / "output").read_text().startswith("most=0.34")
    assert {authorization for _, _, authorization in github.seen} == {"Bearer token-of-the-workflow"}
    assert "token-of-the-workflow" not in written + done.stdout + done.stderr
    (clone / "job.yaml").write_text(_JOB.replace("trials: 3", "trials: 30"))
    assert step("Plan", clone, github, INPUT_JOB="job.yaml", INPUT_ON="sagemaker").returncode == 0
    assert len(github.comments) == 103
    assert "3.46 USD" in github.comments[-1]["body"]


@pytest.mark.complete
def test_a_job_that_is_refused_or_too_dear_fails_the_step(clone: Path, github: GitHub) -> None:
    (clone / "wrong.yaml").write_text(_JOB.replace("minimize", "minimise"))
    done = step("Plan", clone, github, INPUT_JOB="job.yaml,wrong.yaml", INPUT_ON="sagemaker")
    assert done.returncode == 1
    assert "::error::cloudtune refuses wrong.yaml on sagemaker" in done.stdout
    assert "did you mean 'minimize'?" in github.comments[0]["body"].replace("\\", "")
    done = step("Plan", clone, github, INPUT_JOB="job.yaml", INPUT_ON="sagemaker", INPUT_MAX_COST="0.1")
    assert done.returncode == 1
    assert "max-cost is 0.1" in done.stdout


@pytest.mark.complete
def test_a_token_that_may_not_comment_is_a_warning(clone: Path, github: GitHub) -> None:
    github.refuses = 403
    done = step("Plan", clone, github, INPUT_JOB="job.yaml", INPUT_ON="sagemaker")
    assert done.returncode == 0
    assert "::warning::" in done.stdout
    (clone / "event.json").write_text("{}")
    assert "no pull request" in step("Plan", clone, github, INPUT_JOB="job.yaml", INPUT_ON="sagemaker").stdout


@pytest.mark.parametrize(
    "evil",
    [
        "$(touch pwned)`touch pwned`'; touch pwned; '\"; touch pwned; \"; touch pwned",
        *(pytest.param(each, marks=pytest.mark.complete) for each in _EVIL),  # each way out of a word alone
    ],
)
def test_what_a_pull_request_names_is_no_command(clone: Path, evil: str) -> None:
    for name, variables in (
        ("Plan", {"INPUT_JOB": evil, "INPUT_ON": evil, "INPUT_COMMENT": "false"}),
        ("Try it in an emulator", {"JOB": evil, "PROFILE": evil, "TRIALS": evil}),
        ("Install cloudtune", {"EXTRAS": evil}),
    ):
        done = step(name, clone, **variables)
        assert done.returncode != 0
        assert not (clone / "pwned").exists()
    assert "`" not in (clone / "summary").read_text().replace("\\`", "")


def test_markup_of_a_pull_request_is_shown_as_text(clone: Path, github: GitHub) -> None:
    name = "a|b<img src=x>@everyone[x](y).yaml"
    (clone / name).write_text("- <script>")
    step("Plan", clone, github, INPUT_JOB=name, INPUT_ON="sagemaker")
    body = github.comments[0]["body"]
    assert "<img" not in body
    assert "<script" not in body
    assert "@everyone" not in body
    assert "[x](y)" not in body


def test_no_step_has_an_expression_in_its_shell_and_the_action_is_valid() -> None:
    steps = [each for each in _ACTION["runs"]["steps"] if "run" in each]
    assert all("${{" not in each["run"] and each["shell"] == "bash" for each in steps)
    used = {
        name
        for each in _ACTION["runs"]["steps"]
        for text in each.get("env", {}).values()
        for name in re.findall(r"inputs\.([\w-]+)", text)
    }
    assert used | {"emulate"} == set(_ACTION["inputs"])


@pytest.mark.complete
def test_the_emulated_run_of_the_action_runs(clone: Path) -> None:
    done = step("Try it in an emulator", clone, JOB="job.yaml", PROFILE="sagemaker", TRIALS="1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "completed" in done.stdout
