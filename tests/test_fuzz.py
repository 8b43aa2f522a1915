"""Whatever a file or a flag holds: a documented end in bounded time and memory, never a traceback.

500 inputs by default, 10,000 with ``--complete``.
"""

import io
import random
import resource
import sys
import time
from pathlib import Path
from typing import Any

import fuzzing
import pytest

from cloudtune.cli.app import run_app

SECONDS = 2
"""Of the processor, which a busy machine does not take from us."""

MEGABYTES = 500
CODES = {0, 1, 2, 3, 4, 5, 6}
DEFAULT, COMPLETE = 500, 10_000
PLACES = ("local", "sagemaker", "vertex", "azureml", "ray", "katib")

FILES: dict[str, tuple[Any, tuple[tuple[str, ...], ...]]] = {
    "job": (fuzzing.JOB, (*(("plan", "FILE", "--on", on) for on in PLACES[:5]), *(("export", "FILE", "--to", to) for to in ("sagemaker", "vertex", "azureml", "katib")))),
    "wandb": (fuzzing.WANDB, (("import", "FILE", "--from", "wandb"),)),
    "katib": (fuzzing.KATIB, (("import", "FILE", "--from", "katib"),)),
    "sagemaker": (fuzzing.SAGEMAKER, (("import", "FILE", "--from", "sagemaker"),)),
    "vertex": (fuzzing.VERTEX, (("import", "FILE", "--from", "vertex"),)),
    "azureml": (fuzzing.AZUREML, (("import", "FILE", "--from", "azureml"),)),
    "body": (fuzzing.BODY, (("import", "FILE", "--from", "azureml"),)),
}  # fmt: skip
"""A sample of each kind of file, and the commands that read it."""

KINDS = (*FILES, "stranger", "config", "flags")


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", KINDS)
def test_any_input_ends_as_the_documents_say(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    count = (COMPLETE if request.config.getoption("--complete") else DEFAULT) // len(KINDS)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cloudtune.toml").write_text("", "utf-8")
    run_app(["import", str(_strange(tmp_path)), "--from", "vertex"])  # loads the SDK, once
    capsys.readouterr()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    failures = []
    for number in range(count):
        chance = random.Random(f"{kind} {number}")
        words = _input(kind, chance, tmp_path)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"method: grid\n")))
        began = time.process_time()
        code = run_app(words)
        took = time.process_time() - began
        told = capsys.readouterr()
        if code not in CODES or "unexpected:" in told.err or "Traceback" in told.err or took > SECONDS:
            failures.append(f"{kind} {number}: {words!r:.300} ended with {code} after {took:.1f} s: {told.err[:500]}")
    assert not failures, f"{len(failures)} of {count}:\n" + "\n".join(failures[:20])
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < MEGABYTES


def _strange(folder: Path) -> Path:
    """A message with a field that only the SDK could know."""
    file = folder / "strange.json"
    file.write_text('{"nothing": 1}', "utf-8")
    return file


def _input(kind: str, chance: random.Random, folder: Path) -> list[str]:
    """The words of a command, whose file is written."""
    if kind == "flags":
        return _flags(chance, folder)
    if kind == "config":
        (folder / "cloudtune.toml").write_bytes(fuzzing.bitten(fuzzing.CONFIG.encode(), chance))
        (folder / "job.yaml").write_bytes(fuzzing.written(fuzzing.JOB, random.Random(1)))
        return ["plan", "job.yaml", *chance.choice(([], ["--on", "team"], ["--on", "both"], ["--on", "local,team"]))]
    if kind == "stranger":  # a file of one tool, read as another's
        sample, _ = FILES[chance.choice(list(FILES))]
        _, commands = FILES[chance.choice(list(FILES))]
    else:
        sample, commands = FILES[kind]
    (folder / "input").write_bytes(fuzzing.written(fuzzing.damaged(sample, chance), chance))
    return ["input" if word == "FILE" else word for word in chance.choice(commands)]


_WORDS = (
    "", "-", "--", "job.yaml", "missing.yaml", "latest", "0", "-1", "1", "99999999999999999999", "1e3", "nan", "local", "aws", "nope", "local,nope", ",",
    "a=b", "=", "limits.trials=0", "limits.trials=" + "9" * 400, "name=" + "x" * 5000, "space.lr.low=[[[[", "space.lr=*a", "space=", "a.b.c.d=1",
    "trial.command={lr", "strategy.type=grid", "tags.x=\udc80", "\udcff", "é\udc80.yaml", "x" * 300, "$(id)", "\n", "--json", "--help", "--trials", "-o",
    "table.csv", "out.html", "running", "completed", "\u202e", "module:space", "json:dumps", "os:nothing", "job:", ":x", "sqlite:///none.db", "postgresql://u:pw@/x",
)  # fmt: skip
_COMMANDS = (
    ["plan", "job.yaml"], ["plan"], ["export", "job.yaml", "--to"], ["import", "job.yaml", "--from"], ["import"], ["run", "missing.yaml"],
    ["ls"], ["show"], ["trials"], ["best"], ["logs"], ["fetch"], ["report"], ["publish"], ["cancel"], ["resume"], ["retry"], ["try"], ["try", "lr=1"], ["providers"], ["schema"],
    ["completion"], ["plan", "job.yaml", "--set"], ["plan", "job.yaml", "--on"], ["import", "-", "--from", "wandb"],
    ["import", "--from", "hyperopt"], ["import", "--from", "optuna"], ["nothing"], [],
)  # fmt: skip
_OPTIONS = (
    "--on",
    "--set",
    "--from",
    "--to",
    "--study",
    "--trials",
    "--state",
    "--sort",
    "--json",
    "--strict",
    "-o",
    "--seed",
    "--limit",
    "--follow",
    "-q",
)


def _flags(chance: random.Random, folder: Path) -> list[str]:
    (folder / "job.yaml").write_bytes(fuzzing.written(fuzzing.JOB, random.Random(1)))
    words = list(chance.choice(_COMMANDS))
    for _ in range(chance.choice((0, 1, 1, 2, 3))):
        words += (
            [chance.choice(_WORDS)] if chance.random() < 0.5 else [chance.choice(_OPTIONS), chance.choice(_WORDS)]
        )  # one of two
    return words
