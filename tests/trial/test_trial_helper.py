"""The trial helper: what a training script sees of its trial, under a tuner and by hand."""

import argparse
import json
import math
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amounts import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from trial_files import as_trial, reported

from cloudtune import trial
from cloudtune.space.codecs import NumberAsText, ValuesAsIndex
from cloudtune.space.parameters import Categorical, Int, Scalar
from cloudtune.space.space_codec import Flattened
from cloudtune.testing.specs import parameter_names, scalars
from cloudtune.trial import commands, functions

Reports = list[tuple[int, float, dict[str, float]]]


RANKS = ("RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID")


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process that knows nothing of a trial yet."""
    for name in [name for name in os.environ if name.startswith("CLOUDTUNE_") or name in RANKS]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(trial._Process, "found", None)
    yield
    trial.leave()


@pytest.fixture
def reports() -> Reports:
    """What the trial that this process is reports."""
    kept: Reports = []
    trial.enter(trial.Context({}, sink=lambda *report: kept.append(report)))
    return kept


# Under a tuner


def test_a_script_learns_of_its_trial_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters: dict[str, Scalar] = {"lr": 1e-3, "layers": 3, "kernel": "größer", "flag": True, "none": None}
    for name, value in as_trial(tmp_path, parameters).items():
        monkeypatch.setenv(name, value)
    assert trial.active()
    assert trial.params() == parameters
    assert [type(value) for value in trial.params().values()] == [float, int, str, bool, type(None)]
    assert (trial.number(), trial.attempt(), trial.run_id()) == (7, 2, "a-run")
    assert trial.data("train-set.1") == "/data/train"
    assert trial.checkpoint_dir() == str(tmp_path / "kept" / "here")
    (tmp_path / "kept" / "here" / "model").touch()
    assert Path(trial.checkpoint_dir(), "model").exists()
    assert Path(trial.output_dir()).is_dir()


def test_parameters_that_travelled_encoded_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codec = Flattened(
        {"kernel": Categorical(values=("rbf", "poly")), "degree": Int(low=2, high=4, when={"kernel": ("poly",)})},
        lambda parameter: [ValuesAsIndex if isinstance(parameter, Categorical) else NumberAsText],
    )
    environment = as_trial(tmp_path, {"kernel": "1", "degree": 3.0}, codecs=codec.to_data())
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert trial.params() == {"kernel": "poly", "degree": 3}
    assert type(trial.params()["degree"]) is int


def test_reports_are_lines_of_json_in_the_order_in_which_they_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in as_trial(tmp_path, {}).items():
        monkeypatch.setenv(name, value)
    trial.report(score=0.5)
    trial.report({"a b": 1}, loss=math.nan, step=10)
    trial.report(score=-math.inf)
    first, second, third = reported(tmp_path)
    assert (first["step"], first["metrics"]) == (1, {"score": 0.5})
    assert second["step"] == 10
    assert second["metrics"]["a b"] == 1
    assert math.isnan(second["metrics"]["loss"])
    assert (third["step"], third["metrics"]) == (3, {"score": -math.inf})
    assert first["time"] <= second["time"] <= third["time"]


def test_reports_of_several_processes_do_not_mix(tmp_path: Path) -> None:
    script = "import cloudtune.trial as t\nfor i in range(300): t.report({'m' * 50: i}, step=i)"
    environment = {**os.environ, **as_trial(tmp_path, {})}
    processes = [subprocess.Popen([sys.executable, "-c", script], env=environment) for _ in range(3)]
    assert [process.wait(100) for process in processes] == [0, 0, 0]
    assert sorted(line["step"] for line in reported(tmp_path)) == sorted(list(range(300)) * 3)


@pytest.mark.parametrize("variable", RANKS)
def test_only_the_first_process_of_a_distributed_trial_reports(
    variable: str, reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "1")
    trial.report(score=1)
    assert reports == []
    monkeypatch.setenv(variable, "0")
    trial.report(score=1)
    assert [report[2] for report in reports] == [{"score": 1.0}]


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (3, 3.0), (True, 1.0), (np.float32(0.5), 0.5), (np.int64(4), 4.0), (np.array(2.5), 2.5), (Fraction(1, 4), 0.25), (np.True_, 1.0),
    ],
)  # fmt: skip
def test_whatever_is_a_number_is_a_metric(value: object, number: float, reports: Reports) -> None:
    trial.report(score=value)
    assert reports[0][2] == {"score": number}
    assert type(reports[0][2]["score"]) is float


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("0.5", "str"), (None, "NoneType"), (1j, "complex"), (np.complex64(1), "complex64"), (b"1", "bytes"),
        ([1], "list"), (np.zeros(3), r"ndarray of shape \(3,\)"), (np.str_("1"), "str_"), (10**400, "int"),
    ],
)  # fmt: skip
def test_what_is_no_number_is_refused_with_its_name_and_type(value: object, kind: str, reports: Reports) -> None:
    with pytest.raises(TypeError, match=rf"the metric 'my score' must be (a|one) number, not {kind}$"):
        trial.report({"my score": value})
    assert reports == []


@pytest.mark.parametrize("step", ["1", 1.5, "one", math.nan, math.inf, [1]])
def test_a_step_is_a_whole_number(step: Any, reports: Reports) -> None:
    with pytest.raises(TypeError, match="the step must be a whole number"):
        trial.report(score=1, step=step)
    trial.report(score=1, step=np.int32(4))  # type: ignore[arg-type]  # as numpy counts
    trial.report(score=1, step=5.0)  # type: ignore[arg-type]  # as some frameworks count epochs
    assert [report[0] for report in reports] == [4, 5]


def test_metrics_may_have_any_name(reports: Reports) -> None:
    trial.report({"step": 1, "self": 2}, values=3)
    assert reports[0][2] == {"step": 1.0, "self": 2.0, "values": 3.0}
    with pytest.raises(TypeError, match="NAME=NUMBER or a mapping of metrics, not float"):
        trial.report(0.5)  # type: ignore[arg-type]  # the mistake that this is about


def test_one_process_runs_one_trial_after_the_other(tmp_path: Path) -> None:
    kept: Reports = []
    for number in range(2):
        folder = str(tmp_path / str(number))
        context = trial.Context(
            {"x": number}, number=number, attempt=3, run_id="r", sink=lambda *report: kept.append(report), folder=folder
        )
        assert not Path(folder).exists(), "folders are made when they are asked for"
        trial.enter(context)
        assert trial.active()
        assert trial.params() == {"x": number}
        assert (trial.number(), trial.attempt(), trial.run_id()) == (number, 3, "r")
        trial.params()["x"] = 9
        assert trial.params() == {"x": number}, "a script that changes its own copy changes nothing"
        assert trial.checkpoint_dir() == str(Path(folder, "checkpoint"))
        assert Path(trial.output_dir()).is_dir()
        trial.report(score=number)
        trial.leave()
    assert not trial.active()
    assert [(step, metrics) for step, _, metrics in kept] == [(1, {"score": 0.0}), (1, {"score": 1.0})]


# By hand


def test_a_script_that_is_run_by_hand_takes_its_parameters_from_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = 'train.py ignored --lr 1e-3 --n=3 --kernel rbf --flag true --nothing null --x -2 --quoted "1" --list [1] --nan NaN --empty= --bare --last'
    monkeypatch.setattr(sys, "argv", words.split())
    assert trial.params() == {
        "lr": 1e-3, "n": 3, "kernel": "rbf", "flag": True, "nothing": None, "x": -2, "quoted": "1",
        "list": "[1]", "nan": "NaN", "empty": "", "bare": True, "last": True,
    }  # fmt: skip
    assert not trial.active()
    assert (trial.number(), trial.attempt(), trial.run_id()) == (0, 1, "")
    trial.report(score=0.25, loss=2)
    trial.report(score=math.nan, step=9)
    assert capsys.readouterr().out == "step 1: score=0.25 loss=2.0\nstep 9: score=nan\n"


def test_data_that_the_job_has_not_is_told_with_what_to_do() -> None:
    with pytest.raises(LookupError, match=r"no data named 'train-set'.* set CLOUDTUNE_DATA_TRAIN_SET"):
        trial.data("train-set")


# Commands


NAMES = ["lr", "kernel", "degree", "a.b"]


@pytest.mark.parametrize(
    ("command", "placed"),
    [
        (["p", "--lr", "{lr}", "--kernel={kernel}"], ["p", "--lr", "0.001", "--kernel=rbf"]),
        (["p", "{kernel}-{lr}", "{kernel}"], ["p", "rbf-0.001", "rbf"]),
        (["p", "{kernel}"], ["p", "rbf", "--lr", "0.001"]),
        (["p", "{{lr}}", "${lr}", "{other}", "{}", '{"a":{lr}}', "${{lr}}", "{kernel}"],
         ["p", "{lr}", "${lr}", "{other}", "{}", '{"a":0.001}', "${{lr}}", "rbf"]),
        (["p", "{lr}{kernel}", "--degree", "{degree}", "x"], ["p", "0.001rbf", "x"]),
        (["p", "{lr}{kernel}", "--degree={degree}", "model.degree={degree}", "{degree}"], ["p", "0.001rbf"]),
        (["p", "{lr}{kernel}", "--", "{degree}", "d{degree}.txt"], ["p", "0.001rbf", "--", "d.txt"]),
        (["p", "{lr}{kernel}", "-d", "{degree}", "--x=1", "{degree}"], ["p", "0.001rbf", "--x=1"]),
    ],
)  # fmt: skip
def test_a_list_of_words_gets_its_parameters_where_they_stand(command: list[str], placed: list[str]) -> None:
    assert commands.place(command, {"lr": 0.001, "kernel": "rbf"}, NAMES) == placed


def seen_by_shell(line: str, parameters: Mapping[str, Scalar], names: Sequence[str]) -> list[str]:
    """The words that a program gets from a line, which calls it ``show``, from a real shell."""
    show = f"{shlex.quote(sys.executable)} -c 'import sys, json; print(json.dumps(sys.argv[1:]))'"
    words = commands.place(line.replace("show", show, 1), parameters, names)
    assert words[:2] == ["/bin/sh", "-c"]
    environment = {**os.environ, "VAR": "from the shell", "lr": "shell's own"}
    output = subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout
    found: list[str] = json.loads(output)
    return found


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("show --lr {lr} --kernel={kernel}\n", ["--lr", "0.001", "--kernel=it's \"$VAR\" \\ `x`"]),
        ("""show "{kernel}" '{kernel}' "a b"-{lr}""", ["it's \"$VAR\" \\ `x`"] * 2 + ["a b-0.001"]),
        ("show \\\n  {kernel} \\\n", ["it's \"$VAR\" \\ `x`", "--lr", "0.001"]),
        ("VAR2=1 show ${VAR:-x} \"${VAR}\" ${lr} {{lr}} {other} {kernel} && :", None),
        ("show {kernel}{lr} --degree {degree} --degree={degree} -d \"{degree}\" --q='{degree}' end", ["end"]),
        ("show {kernel}{lr} \"a {degree} b\" c{degree}", ["a  b", "c"]),
    ],
)  # fmt: skip
def test_a_line_gets_its_parameters_as_the_shell_needs_them(line: str, words: list[str] | None) -> None:
    wild = 'it\'s "$VAR" \\ `x`'
    found = seen_by_shell(line, {"lr": 0.001, "kernel": wild}, NAMES)
    if words is None:
        assert found == ["from", "the", "shell", "from the shell", "shell's", "own", "{lr}", "{other}", wild]
    else:
        assert [word for word in found if word != f"{wild}0.001"] == words


@given(
    values=st.dictionaries(
        parameter_names(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)),
        scalars(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)),
        max_size=4,
    ),
    places=st.integers(0, 4),
)
@settings(max_examples=examples(200), deadline=None)
def test_a_line_splits_into_the_words_that_the_list_has(values: dict[str, Scalar], places: int) -> None:
    words = ["p", *(f"{{{name}}}" for name in list(values)[:places])]
    argv = commands.place(words, values, list(values))
    line = commands.place(" ".join(words), values, list(values))[2]
    assert shlex.split(line.removeprefix("exec ")) == argv
    assert argv[1 : len(words)] == [commands.text_of(value) for value in list(values.values())[:places]]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.1, "0.1"), (1e-05, "1e-05"), (3.0, "3.0"), (3, "3"), (True, "true"), (None, "null"), ("null", "null"), ("a b", "a b")],
)  # fmt: skip
def test_values_are_written_as_json_and_texts_as_they_are(value: Scalar, text: str) -> None:
    assert commands.text_of(value) == text


@given(
    value=st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.sampled_from(["-x", "--help", "-", "a"])
)
@settings(max_examples=examples(100), deadline=None)
def test_argparse_takes_every_value_that_follows_as_an_option(value: Scalar) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--x", type=type(value))
    assert parser.parse_args(commands.place(["p"], {"x": value}, ["x"])[1:]).x == value


@pytest.mark.parametrize(
    ("line", "takes_the_place"),
    [
        ("python train.py > log", True), ("./run.sh {lr}", True), ("cd x && python y", False), ("a; b", False),
        ("exec x", False), ("A=1 x", False), ("x | y", False), ("x &", False), ("x\ny", False), ("echo hi", False), ("{lr} x", False),
    ],
)  # fmt: skip
def test_a_simple_command_takes_the_place_of_its_shell(line: str, takes_the_place: bool) -> None:
    assert commands.place(line, {"lr": "a;b"}, ["lr"])[2].startswith("exec ") is (
        takes_the_place or line.startswith("exec")
    )


def test_a_compiled_command_serves_trial_after_trial() -> None:
    arguments = commands.compile_command("p --lr {lr} --degree {degree}", ["lr", "degree"])
    assert arguments({"lr": 1, "degree": 2})[2] == "exec p --lr 1 --degree 2"
    assert arguments({"lr": 2})[2].split() == ["exec", "p", "--lr", "2"]
    assert arguments({"lr": 3, "degree": 4})[2] == "exec p --lr 3 --degree 4"


# Functions


@pytest.mark.parametrize(
    ("result", "metrics"),
    [
        (0.5, {"score": 0.5}), (np.float64(2), {"score": 2.0}), (True, {"score": 1.0}), (None, {}),
        ({"a": 1, "b": np.int8(2)}, {"a": 1.0, "b": 2.0}),
    ],
)  # fmt: skip
def test_a_function_returns_a_number_or_metrics_or_nothing(result: object, metrics: dict[str, float]) -> None:
    found = functions.call_function(lambda x, **others: result, {"x": 1, "a b": 2}, "score")
    assert found == metrics
    assert all(type(value) is float for value in found.values())


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ("0.5", "a number, a mapping of metrics or None, not str"),
        ((1, 2), "a number, a mapping of metrics or None, not tuple"),
        ({"a": "x"}, "the metric 'a' must be a number, not str"),
        (np.zeros(2), "the metric 'score' must be one number, not ndarray"),
    ],
)
def test_a_function_that_returns_something_else_is_told_what(result: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        functions.call_function(lambda: result, {}, "score")


def test_a_bare_number_needs_a_name() -> None:
    with pytest.raises(TypeError, match="a number without a name"):
        functions.call_function(lambda: 1, {})


def test_a_function_is_found_also_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "helper_of_a_test.py").write_text(
        "class Model:\n    @staticmethod\n    def fit(): return 1\nVALUE = 3\n"
    )
    (tmp_path / "broken_helper_of_a_test.py").write_text("import no_such_package_at_all\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    assert functions.load_function("helper_of_a_test:Model.fit")() == 1
    for place, message in {
        "helper_of_a_test:missing": "the module 'helper_of_a_test' has no function 'missing'",
        "helper_of_a_test:VALUE": "is not a function but int",
        "no_such.module:fn": "there is no module 'no_such'",
        "helper_of_a_test": "names no function; write package.module:name",
        "broken_helper_of_a_test:fn": "No module named 'no_such_package_at_all'",
    }.items():
        with pytest.raises(ImportError, match=message):
            functions.load_function(place)


def test_a_trial_with_a_parent_begins_with_its_checkpoint_but_not_over_one_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cloudtune.trial.container import _inherit

    parent, own = tmp_path / "parent", tmp_path / "own"
    (parent / "deep").mkdir(parents=True)
    (parent / "deep" / "step").write_text("3")
    monkeypatch.setenv("CLOUDTUNE_PARENT_CHECKPOINT_DIR", str(parent))
    monkeypatch.setenv("CLOUDTUNE_CHECKPOINT_DIR", str(own))
    monkeypatch.setenv("CLOUDTUNE_RANK", "1")
    _inherit()
    assert not own.exists()  # another machine of the trial does it
    monkeypatch.setenv("CLOUDTUNE_RANK", "0")
    _inherit()
    assert (own / "deep" / "step").read_text() == "3"
    (own / "deep" / "step").write_text("4")
    _inherit()
    assert (own / "deep" / "step").read_text() == "4"
