"""What a provider refuses is told with the line of the job's file, as other mistakes are."""

from pathlib import Path

import pytest

from cloudtune.cli.app import run_app
from cloudtune.errors import Problem
from cloudtune.spec.text.places import with_lines

TEXT = """\
name: j
trial: {command: python train.py, source: .}
objective: [{metric: loss, goal: minimize}, {metric: size, goal: maximize}]
space:
  a.b: {type: float, low: 0, high: 1}
local:
  gracee: 1
kubernetes: {spec: {containers: [{name: trial, image: x}]}}
limits: {trials: 3}
"""


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("local.gracee", (7, 3)),
        ("local", (6, 1)),
        ("objective[1].goal", (3, 60)),
        ("objective[1]", (3, 45)),
        ("space.a.b.low", (5, 22)),
        ("kubernetes.spec.containers[0].image", (8, 48)),
        ("trial.image", (None, None)),
        ("local.gracee.x", (None, None)),
        ("", (None, None)),
    ],
)
def test_a_path_is_found_in_the_text_or_has_no_line(
    path: str, place: tuple[int | None, int | None], tmp_path: Path
) -> None:
    (tmp_path / "job.yaml").write_text(TEXT)
    (found,) = with_lines([Problem(path, "is wrong")], tmp_path / "job.yaml")
    assert (found.line, found.column) == place


@pytest.mark.parametrize("command", ["run", "plan", "validate"])
def test_a_typo_below_a_providers_name_has_a_line_and_the_nearest_word(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.yaml").write_text(TEXT.replace("  a.b:", "  ab:"))
    assert run_app([command, "job.yaml", "--on", "local"]) == 3
    assert (
        "  line 7, column 3: local.gracee: is no setting of local; did you mean 'grace'?\n" in capsys.readouterr().err
    )
