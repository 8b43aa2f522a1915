"""Tuning in one call: scripts, other places, mistakes in the words of Python, and what is shown meanwhile."""

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from cloudtune import NoGoodTrial, RunState, tune
from cloudtune.errors import ConfigError
from cloudtune.tuning.functions import importable

SCRIPT = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
parser.add_argument("--act")
given = parser.parse_args()
print(f"loss={(given.lr - 0.01) ** 2}")
"""
SPACE: dict[str, Any] = {"lr": (1e-4, 1e-1, "log"), "act": ["relu", "gelu"]}


def loss(lr: float, act: str = "relu") -> float:
    return (lr - 0.01) ** 2 + (act == "gelu")


@pytest.fixture
def script(tmp_path: Path) -> Path:
    file = tmp_path / "code" / "train.py"
    file.parent.mkdir()
    file.write_text(SCRIPT)
    return file


def test_a_script_is_tuned_here(script: Path, tmp_path: Path) -> None:
    run = tune(script, SPACE, minimize="loss", trials=3, strategy="random", project=tmp_path)
    assert (run.state, run.job.name, len(run.trials())) == (RunState.COMPLETED, "train", 3)
    assert run.best is not None
    assert run.best.metrics["loss"] == pytest.approx((run.best.parameters["lr"] - 0.01) ** 2, abs=1e-6)


@pytest.mark.complete
@pytest.mark.parametrize("cloud", ["aws", "gcp", "azure"])
@pytest.mark.parametrize("what", ["script", "function"])
def test_scripts_and_functions_are_tuned_in_an_emulator(what: str, cloud: str, script: Path, tmp_path: Path) -> None:
    (script.parent / "helpers_of_tune.py").write_text(f"def {loss.__name__}(lr, act='relu'):\n    return lr\n")
    sys.path.insert(0, str(script.parent))
    try:
        from helpers_of_tune import loss as elsewhere  # type: ignore[import-not-found]

        run = tune(
            script if what == "script" else elsewhere, SPACE, minimize="loss", trials=2, on=cloud, emulate=True,
            trial={"image": "own:latest"}, project=tmp_path, strategy="random",
        )  # fmt: skip
    finally:
        sys.path.remove(str(script.parent))
        sys.modules.pop("helpers_of_tune")
    assert run.state is RunState.COMPLETED, run.events()
    assert run.record.emulators
    assert run.best is not None


def test_a_function_in_a_file_is_named_as_others_import_it() -> None:
    folder, name = importable(loss)
    assert name == f"{__name__}:loss"
    assert (folder / f"{__name__.replace('.', '/')}.py").samefile(__file__)


def test_a_function_that_nobody_else_can_import_stays_here(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="is a lambda"):
        tune(lambda lr: lr, {"lr": (0.1, 1)}, minimize="loss", trials=1, on="aws", project=tmp_path)
    with pytest.raises(TypeError, match="belongs to an installed package"):
        importable(pytest.approx)
    typed_in = eval("lambda lr: lr", {"__name__": "notebook"})
    with pytest.raises(TypeError, match="stands in no file"):
        importable(typed_in)


LOCK = threading.Lock()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda **fixed: tune(loss, SPACE, minimize="loss", n_trials=3, **fixed), "no argument 'n_trials'; write trials=N"),
        (lambda **fixed: tune(loss, SPACE, maximise="loss", **fixed), "no argument 'maximise'; write maximize="),
        (lambda **fixed: tune(loss, SPACE, minimize="loss", paralel=2, **fixed), "did you mean 'parallel'"),
        (lambda **fixed: tune(loss, SPACE, **fixed), "needs maximize="),
        (lambda **fixed: tune(loss, {"lr": (0.1, 1), "atc": ["a"]}, minimize="loss", trials=1, **fixed), "takes no 'atc'.* mean 'act'"),
        (lambda **fixed: tune(loss, {"act": ["a"]}, minimize="loss", trials=1, **fixed), "needs 'lr', which is not in the space"),
        (
            lambda **fixed: tune(
                loss, {"act": ["a", "b"], "lr": {"type": "float", "low": 0, "high": 1, "when": {"act": "a"}}}, minimize="loss", trials=1, **fixed
            ),
            "needs 'lr', which the space has only under a condition",
        ),
        (lambda **fixed: tune(lambda x: LOCK and x, {"x": (0.1, 1)}, minimize="loss", trials=1, **fixed), "cannot pickle '_thread.lock'"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_the_words_of_python(call: Callable[..., Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=said):
        call(project=tmp_path)
    assert not (tmp_path / ".cloudtune" / "runs").exists()


def test_a_place_and_a_script_that_do_not_exist_are_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="found no script trian.py"):
        tune("trian.py", SPACE, minimize="loss", project=tmp_path)
    with pytest.raises(ConfigError, match="did you mean 'aws'"):
        tune(loss, SPACE, minimize="loss", trials=1, on="awss", project=tmp_path)


def test_a_run_without_a_good_trial_raises_with_the_first_reason_unless_it_is_to_be_returned(tmp_path: Path) -> None:
    def broken(lr: float) -> float:
        return lr / 0

    with pytest.raises(NoGoodTrial, match=r"trial 0 failed: ZeroDivisionError") as caught:
        tune(broken, {"lr": (0.1, 1)}, minimize="loss", trials=2, strategy="random", project=tmp_path)
    run = tune(
        broken, {"lr": (0.1, 1)}, minimize="loss", trials=2, strategy="random", on_failure="return", project=tmp_path
    )
    assert {trial.state.value for trial in run.trials()} == {"failed"}
    assert type(caught.value.run) is type(run)


class _Views:
    """What a notebook shows: the last state of each view."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def module(self) -> dict[str, ModuleType]:
        ipython, display = ModuleType("IPython"), ModuleType("IPython.display")
        ipython.get_ipython = lambda: SimpleNamespace(kernel=object())  # type: ignore[attr-defined]
        display.HTML = str  # type: ignore[attr-defined]
        display.display = self._display  # type: ignore[attr-defined]
        ipython.display = display  # type: ignore[attr-defined]
        return {"IPython": ipython, "IPython.display": display}

    def _display(self, html: str, *, display_id: bool) -> SimpleNamespace:
        assert display_id
        self.shown.append(html)
        return SimpleNamespace(update=self.shown.append)


@pytest.mark.parametrize("quiet", [False, True])
def test_a_notebook_shows_a_view_that_updates(quiet: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    views = _Views()
    for name, module in views.module().items():
        monkeypatch.setitem(sys.modules, name, module)
    tune(
        lambda lr, act: lr, {"lr": (0.1, 1), "act": ["<script>"]}, minimize="a<b", trials=3, strategy="random",
        quiet=quiet, project=tmp_path,
    )  # fmt: skip
    if quiet:
        assert views.shown == []
        return
    assert "3/3 trials" in views.shown[-1]
    assert "a&lt;b = " in views.shown[-1]
    assert "&lt;script&gt;" in views.shown[-1]
    assert "<script>" not in "".join(views.shown)
