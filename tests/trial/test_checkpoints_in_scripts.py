"""Scripts that this project gives to others keep a whole checkpoint, whenever they are ended."""

import ast
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from snippets import all_snippets

import cloudtune.trial as trial
from cloudtune.cli import starting
from cloudtune.testing import scripts

WRITING = {"write_text", "write_bytes", "open", "save", "save_model", "dump", "save_weights"}


def given() -> Iterator[tuple[str, str]]:
    """The scripts with a checkpoint: those for tests, the templates', the documentation's."""
    yield "scripts.GOES_ON", scripts.GOES_ON
    for name in starting.TEMPLATES:
        yield f"init --template {name}", starting._project_of(name)["train.py"]
    for snippet in all_snippets():
        if snippet.language == "python":
            yield str(snippet), snippet.text


def checkpoints_of(tree: ast.AST) -> set[str]:
    """The variables that name a file in `trial.checkpoint_dir()`; what is assigned besides in the same statement is among them."""
    assigned = [each for each in ast.walk(tree) if isinstance(each, ast.Assign)]
    from_it = [each for each in assigned if "Path(trial.checkpoint_dir()" in ast.unparse(each.value)]
    return {name.id for each in from_it for name in ast.walk(each.targets[0]) if isinstance(name, ast.Name)}


def written_in_place(text: str) -> list[str]:
    """The calls that write to a checkpoint under its own name."""
    tree = ast.parse(text)
    names = checkpoints_of(tree)
    calls = [call for call in ast.walk(tree) if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)]
    writes = [call for call in calls if call.func.attr in WRITING]  # type: ignore[attr-defined]
    return [
        ast.unparse(call)
        for call in writes
        if any(isinstance(each, ast.Name) and each.id in names for each in [call.func.value, *call.args])  # type: ignore[attr-defined]
    ]


def test_no_script_writes_a_checkpoint_under_its_own_name() -> None:
    found = {name: written_in_place(text) for name, text in given() if "checkpoint_dir" in text}
    assert len(found) >= 5, "few scripts were looked at"
    assert {name: calls for name, calls in found.items() if calls} == {}


def test_a_checkpoint_outlives_the_end_of_the_script_in_its_next_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, reported = tmp_path / "step", []

    def cut(path: Path, text: str) -> None:
        with path.open("w") as file:
            if text == "3":
                raise SystemExit  # as SIGTERM ends it: the file is there, and nothing is in it
            file.write(text)

    monkeypatch.setattr(trial, "params", lambda: {"x": 0.5})
    monkeypatch.setattr(trial, "checkpoint_dir", lambda: str(tmp_path))
    monkeypatch.setattr(trial, "report", lambda **values: reported.append(values["step"]))
    monkeypatch.setattr("time.sleep", lambda _: None)
    with monkeypatch.context() as ended:
        ended.setattr(Path, "write_text", cut)
        with pytest.raises(SystemExit):
            exec(scripts.GOES_ON, {})
    assert kept.read_text() == "2"
    exec(scripts.GOES_ON, {})
    assert (reported, kept.read_text()) == ([1, 2, 3, *range(3, 21)], "20")


@pytest.fixture
def huggingface(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The callback's module, beside a library that has nothing but the base of callbacks."""
    library = ModuleType("transformers")
    library.TrainerCallback = object  # type: ignore[attr-defined]
    monkeypatch.setitem(__import__("sys").modules, "transformers", library)
    import cloudtune.trial.callbacks as package

    file = Path(package.__file__).with_name("huggingface.py")
    module = module_from_spec(spec_from_loader("huggingface_callback", None))  # type: ignore[arg-type]
    exec(compile(file.read_text("utf-8"), str(file), "exec"), module.__dict__)
    return module


def test_the_newest_whole_checkpoint_of_hugging_face_is_taken(
    huggingface: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "checkpoint_dir", lambda: str(tmp_path))
    assert huggingface.last_checkpoint() is None, "no trial"
    monkeypatch.setattr(trial, "active", lambda: True)
    assert huggingface.last_checkpoint() is None
    for name, state in {
        "checkpoint-9": "{}",
        "checkpoint-10": "{}",
        "checkpoint-11": '{"ep',
        "checkpoint-12": None,
    }.items():
        (tmp_path / name).mkdir()
        if state is not None:
            (tmp_path / name / "trainer_state.json").write_text(state)
    (tmp_path / "checkpoint-best").mkdir()
    assert huggingface.last_checkpoint() == str(tmp_path / "checkpoint-10")
