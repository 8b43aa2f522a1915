"""Metrics in what trials print: one grammar, whole numbers, the same result on every provider, in bounded time."""

import contextlib
import io
import json
import math
import os
import re
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from late import LATE

from cloudtune import api, trial
from cloudtune.planning.plan import Support
from cloudtune.process.setting import TrialFiles
from cloudtune.process.tail import Tail
from cloudtune.results.objectives import what_is_missing
from cloudtune.spec.job import TuningJob
from cloudtune.spec.metric_patterns import metric_patterns, plain_patterns
from cloudtune.store.records import Report
from cloudtune.trial import matching, matching_process, printed_metrics, running
from cloudtune_azureml import container as azureml
from cloudtune_sagemaker.emulator.metrics import MetricFinder
from cloudtune_sagemaker.workload import LONGEST_REGEX
from cloudtune_vertex import container as vertex
from cloudtune_vertex.emulator.hypertune import MetricsFile

if LATE:
    from cloudtune_azureml.emulator.tracking import _logged


Readings = dict[str, float]


def objective(metric: str, regex: str | None = None) -> Any:
    return SimpleNamespace(metric=metric, regex=regex, source=None)


def patterns(*names: str, **own: str) -> dict[str, str | None]:
    return {**dict.fromkeys(names), **own}


# The readers: each gives the last value of each metric in the output of a trial


def by_local_tail(output: bytes, wanted: dict[str, str | None], folder: Path) -> Readings:
    files = TrialFiles(str(folder), 1)
    Path(files.log).write_bytes(output)
    tail, found = Tail(0, 1, files, wanted), {}
    for said in [*tail.new(), *tail.new(last=True)]:
        if isinstance(said, Report):
            found.update(said.metrics)
    tail.close()
    return found


def by_trial_helper(output: bytes, wanted: dict[str, str | None], _folder: Path, *, portion: int = 7) -> Readings:
    found: Readings = {}
    listener = printed_metrics.Listener(wanted, lambda _step, _time, metrics: found.update(metrics))
    for start in range(0, len(output), portion):
        listener.feed(output[start : start + portion])
    listener.feed(b"")
    return found


def by_sagemaker(output: bytes, wanted: dict[str, str | None], _folder: Path) -> Readings:
    objectives = [objective(name, regex) for name, regex in wanted.items()]
    definitions = plain_patterns(objectives, {}, LONGEST_REGEX)
    finder = MetricFinder([{"Name": name, "Regex": regex} for name, regex in definitions.items()])
    assert not finder.problems
    lines = [line.rstrip("\r") for line in output.decode(errors="replace").split("\n")]
    return {name: value for line in lines for name, value in finder.find(line)}


def by_sagemakers_own_search(output: bytes, wanted: dict[str, str | None], _folder: Path) -> Readings:
    """What the regexes alone find in whole lines: whoever searches, once a line, finds the same."""
    objectives = [objective(name, regex) for name, regex in wanted.items()]
    found: Readings = {}
    for name, regex in plain_patterns(objectives, {}, LONGEST_REGEX).items():
        assert len(regex) <= LONGEST_REGEX
        for line in output.decode(errors="replace").split("\n"):
            match = re.search(regex, line)
            if match is not None:
                found[name] = float(match[1])
    return found


def by_vertex(output: bytes, wanted: dict[str, str | None], folder: Path) -> Readings:
    path = folder / "metrics"
    path.unlink(missing_ok=True)
    listener = printed_metrics.Listener(wanted, vertex._hypertune_sink(str(path)))
    listener.feed(output)
    listener.feed(b"")
    remarks: list[str] = []
    measured = MetricsFile(path, 0.0, remarks.append).read(final=True)
    assert not remarks
    return {name: value for each in measured for name, value in each.metrics.items()}


def by_azureml(output: bytes, wanted: dict[str, str | None], _folder: Path) -> Readings:
    found: Readings = {}

    def sink(step: int, moment: float, metrics: dict[str, float]) -> None:
        for name, value in metrics.items():
            sent = {"key": name, "value": azureml._mlflow_number(value), "timestamp": int(moment * 1000), "step": step}
            logged = _logged(json.loads(json.dumps(sent)))
            found[logged.key] = logged.value

    listener = printed_metrics.Listener(wanted, sink)
    listener.feed(output)
    listener.feed(b"")
    return found


READERS: Sequence[Callable[..., Readings]] = (
    by_local_tail,
    by_trial_helper,
    by_sagemaker,
    by_sagemakers_own_search,
    by_vertex,
    by_azureml,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("readers")


def readings(output: str, wanted: dict[str, str | None], folder: Path) -> Readings:
    """What all readers find alike."""
    found = {reader.__name__: reader(output.encode(errors="surrogatepass"), wanted, folder) for reader in READERS}
    first = found["by_local_tail"]
    for name, each in found.items():
        assert repr(sorted(each.items())) == repr(sorted(first.items())), f"{name} differs on {output!r}"
    return first


# Numbers are read whole or not at all

NUMBERS = {
    "0.25": 0.25, "-3": -3.0, "+7": 7.0, "1.5e-05": 1.5e-05, "1E5": 1e5, "5.": 5.0, ".5": 0.5, "-.5e1": -5.0, "007": 7.0,
    "-inf": -math.inf, "Infinity": math.inf, "1e400": math.inf, "NaN": math.nan,
}  # fmt: skip
NO_NUMBERS = (
    "12.75ms", "12.75s", "93%", "1,234.5", "3/10", "1_000", "0x1F", "1.2.3", "12e", "1e", "1e5.5", "−3", "²", "٣", "0.5±0.1", "1-2", "10:30",
    "infinite", "nano", "None", "--1", "3°", "12毫秒", "0,5", "1'000",
)  # fmt: skip
ENDINGS = (
    "",
    " ",
    "\t",
    ",",
    ".",
    ")",
    "]",
    "}",
    "'",
    '"',
    ";",
    ", acc=1",
    "! ",
    " ms",
    "\x1b[0m",
    "|",
    "\x08\x08",
    ">",
    ". Next",
    "\x1b(B\x1b[m",
)


@pytest.mark.parametrize(("text", "value"), NUMBERS.items())
def test_a_number_is_read_whole(text: str, value: float, folder: Path) -> None:
    assert repr(readings(f"loss={text}", patterns("loss"), folder)["loss"]) == repr(value)


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_what_is_no_whole_number_is_not_read(text: str, folder: Path) -> None:
    assert readings(f"loss={text}\nloss: {text} and more", patterns("loss"), folder) == {}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_number_ends_where_a_reader_would_say_so(ending: str, folder: Path) -> None:
    assert readings(f"loss=0.25{ending}", patterns("loss"), folder)["loss"] == 0.25


FOUND = (
    "loss=0.25", "Loss: 0.25", "LOSS = 0.25", "{'loss': 0.25}", '{"loss": 0.25, "n": 1}', '"loss": "0.25"', "epoch 3 loss:0.25", "INFO:root:loss=0.25",
    "2024-01-01 12:00:00,123 [INFO] loss=0.25", "(loss=0.25)", "\x1b[1mloss\x1b[0m: \x1b[32m0.25\x1b[0m", "\x1b[32mloss=0.25\x1b[0m",
    "\x1b[2K\x1b[1Gloss=0.25", "\x1b]0;title\x07loss=0.25", "10%|#  |\r90%|## | loss=0.25", "loss=0.5\rloss=0.25", "loss=0.9 loss=0.25",
    "loss\t=\t0.25", "损失loss=0.25", "│loss=0.25│", "loss=0.25\r", "#015 61%|##| loss=0.25#015", "loss=12ms loss=0.25", "loss=0.25 loss=12ms",
)  # fmt: skip
NOT_FOUND = (
    "val_loss=1",
    "train/loss=1",
    "my.loss=1",
    "--loss=1",
    "loss",
    "loss=",
    "loss 1",
    "losses=1",
    "größeloss=1",
    "loss=\r1",
    "loss_=1",
    "loss2=1",
)


@pytest.mark.parametrize("line", FOUND)
def test_a_metric_is_found_in_lines_as_programs_write_them(line: str, folder: Path) -> None:
    assert readings(line, patterns("loss"), folder) == {"loss": 0.25}


@pytest.mark.parametrize("line", NOT_FOUND)
def test_another_name_is_not_taken_for_the_metric(line: str, folder: Path) -> None:
    assert readings(line, patterns("loss"), folder) == {}


@pytest.mark.parametrize(
    "name",
    ["validation:f1", "a b", "höhe", "x[0]", "top-1", "m/n", "a.b", "f(x)", "a+b*c?", "$1", "ROC_AUC", "σ", "ß"],
)
def test_a_metric_of_any_name_is_found_in_any_case(name: str, folder: Path) -> None:
    for spelt in {name, name.upper(), name.lower()} - {"SS"}:
        assert by_local_tail(f"{spelt}=0.25\n".encode(), patterns(name), folder) == {name: 0.25}
        assert by_sagemaker(f"{spelt}=0.25\n".encode(), patterns(name), folder) == {name: 0.25}


def test_bytes_that_are_no_text_hide_nothing(folder: Path) -> None:
    output = b"\xff\xfe loss=0.25 \xff\r\nloss=0.5\xff\n"
    for reader in READERS:
        assert reader(output, patterns("loss"), folder) == {"loss": 0.25}, reader.__name__


_PREFIXES = st.sampled_from(
    ["", " ", "epoch 3: ", "INFO:root:", "[train] ", "val_", "train/", "x=1, ", "{'", '"', "\x1b[32m", "loss ", "best "]
)
_SEPARATORS = st.sampled_from(["=", ": ", " = ", ":", "': ", '": ', "\x1b[0m: \x1b[1m", " ", "==", ""])
_TEXTS = st.sampled_from([*NUMBERS, *NO_NUMBERS]) | st.floats().map(repr) | st.integers().map(str)
_SUFFIXES = st.sampled_from([*ENDINGS, "ms", "%", "x", "\r", "\rdone", "#015", ":"])
_PIECES = st.tuples(
    _PREFIXES, st.sampled_from(["loss", "Loss", "acc", "ACC", "other"]), _SEPARATORS, _TEXTS, _SUFFIXES
).map("".join)
_OUTPUT = st.lists(
    st.tuples(_PIECES, st.sampled_from(["\n", "\r\n", "\r", " ", ", "])).map("".join) | st.text(max_size=8), max_size=5
).map("".join)
MANY = 5000 if "--complete" in sys.argv else 150


@settings(max_examples=MANY)
@given(output=_OUTPUT)
def test_what_local_reads_is_what_each_emulator_reads(output: str, folder: Path) -> None:
    readings(output.encode(errors="replace").decode(), patterns("loss", "acc"), folder)


@settings(max_examples=MANY // 5)
@given(
    output=_OUTPUT,
    regex=st.sampled_from(
        [r"loss=(\S+)", r"(?i)loss\W+([-+0-9.e]+)", r"loss=(.*)", r"acc: (.+?)(?:\s|$)", r"(x)?loss=(\d)"]
    ),
)
def test_a_regex_of_ones_own_reads_the_same_everywhere(output: str, regex: str, folder: Path) -> None:
    data, wanted = output.encode(errors="replace"), patterns(m=regex)
    found = [repr(reader(data, wanted, folder)) for reader in READERS if reader is not by_sagemakers_own_search]
    assert len(set(found)) == 1, found


@pytest.mark.parametrize(
    ("text", "value"),
    [("1,234.5", 1234.5), ("12,34", None), ("1_0", None), ("abc", None), ("", None), (" 7 ", 7.0), ("nan", math.nan)],
)
def test_a_group_gives_a_number_or_none(text: str, value: float | None) -> None:
    assert repr(printed_metrics.number_in(text)) == repr(value)


# Bounded time and memory


@pytest.mark.parametrize(
    "line",
    [
        "loss=" + "1" * 60_000 + "x", "loss=" + "1." * 30_000, "loss " * 12_000, "loss" + " " * 60_000, "\x1b[" * 30_000, "\x1b[" + "1" * 60_000,
        "loss=1e" + "1" * 60_000 + "x", "loss:" * 12_000, '"' * 60_000,
    ],
)  # fmt: skip
def test_the_grammar_takes_time_in_proportion_to_the_line(line: str) -> None:
    pattern = re.compile(printed_metrics.metric_regex("loss"))
    began = time.process_time()
    pattern.search(line)
    assert time.process_time() - began < 1.0  # a regex that needs the square of it takes minutes


def test_a_regex_that_explodes_is_given_up_and_the_others_go_on() -> None:
    printed = printed_metrics.PrintedMetrics({"bad": "bad=((?:a+)+)$", "acc": None, "good": r"good=(\S+)"})
    line = "bad=" + "a" * 60 + "! acc=0.5 good=2"
    for _ in range(matching_process.SLOW_LINES):
        assert [metrics for _, metrics in printed.read(line)] == [{"acc": 0.5, "good": 2.0}]
    (remark,) = printed.remarks
    assert "the regex of 'bad' takes too long" in remark
    assert printed.read("bad=7") == []


def test_a_regex_that_is_slow_on_many_lines_is_given_up_as_well() -> None:
    printed = printed_metrics.PrintedMetrics({"slow": r"(?:a*)(?:a*)b=(\d)", "good": r"b=(\d)"})
    lines = ["a" * 250 + "c"] * 3000 + ["b=1"]
    began = time.process_time()
    assert [metrics for _, metrics in printed.read(*lines)] == [{"good": 1.0}]
    assert time.process_time() - began < 2.0
    assert printed.remarks


def test_a_search_process_that_is_killed_costs_its_lines_alone() -> None:
    search = matching.RegexSearch()
    assert search.find({"m": r"m=(\d)"}, ["m=1"]) == ([(0, "m", "1")], [])
    search._process.kill()
    search._process.wait()
    assert search.find({"m": r"m=(\d)"}, ["m=2"]) == ([], ["m"])
    assert search.find({"m": r"m=(\d)"}, ["m=3"]) == ([(0, "m", "3")], [])
    search._end()


def test_lines_are_searched_in_a_program_that_has_opened_many_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2048)), hard))
    with contextlib.ExitStack() as opened:
        opened.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(1024):
            opened.enter_context(open(os.devnull))  # noqa: PTH123  # as programs do
        search = matching.RegexSearch()
        assert search.find({"m": r"m=(\d)"}, ["m=1"]) == ([(0, "m", "1")], [])
        search._end()


def test_a_number_that_a_cut_line_ends_in_is_not_read(folder: Path) -> None:
    start = "x" * (printed_metrics.LONGEST_LINE - len(" loss=0.2")) + " loss=0.2"
    for reader in READERS:
        if reader is not by_sagemakers_own_search:  # it knows no limit
            assert reader(f"{start}5\n".encode(), patterns("loss"), folder) == {}, reader.__name__
            assert reader(f"{start}\nloss=1\n".encode(), patterns("loss"), folder) == {"loss": 1.0}, reader.__name__


def test_a_line_without_end_is_held_in_bounded_memory() -> None:
    splitter = printed_metrics.LineSplitter()
    for _ in range(200):
        assert splitter.feed(b"x" * (1 << 20)) == []
    assert len(splitter._rest) < 8 << 20
    (line, other) = splitter.feed(b"loss=0.5\nloss=0.25\n")
    assert printed_metrics.PrintedMetrics({"loss": None}).read(line.decode(), other.decode()) == [(1, {"loss": 0.25})]


def test_the_helper_passes_output_on_byte_for_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what is no text, and a last line that is not ended."""
    output = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=output))
    heard: list[bytes] = []
    child = SimpleNamespace(stdout=io.BytesIO(b"\xff\r1\r2\n\0loss=1"))
    reader, _ = running._copy_output(child, heard.append)
    reader.join()
    assert output.getvalue() == b"\xff\r1\r2\n\0loss=1" == b"".join(heard)


# What a trial without its objective is told


@pytest.mark.parametrize(
    ("metric", "regex", "printed", "said"),
    [
        ("loss", None, ["val_loss=0.5 epoch: 3"], "the metrics seen were val_loss, epoch (the nearest is val_loss)"),
        ("loss", None, ["train/loss: 1"], "(the nearest is train/loss)"),
        ("accuracy", None, ["Acuracy = 0.5"], "(the nearest is Acuracy)"),
        ("latency", None, ["\x1b[1mlatency\x1b[0m=12.75ms"], "it printed latency=12.75ms, and that is no plain number"),
        ("loss", None, ["{'loss': tensor(0.25)}"], "it printed loss=tensor(0.25)}, and that is no plain number"),
        ("f", "F1=(.*?)", ["F1=0.93"], "its regex 'F1=(.*?)' matched 'F1=0.93' and took '', which is no number"),
        ("f", "F2=(.*)", ["F1=0.93"], "its regex 'F2=(.*)' matched none of the lines that were looked at"),
        ("loss", None, [], "it ended without reporting the objective 'loss'; print loss=VALUE"),
    ],
)
def test_a_trial_without_its_objective_says_what_it_printed_instead(
    metric: str, regex: str | None, printed: list[str], said: str
) -> None:
    assert said in what_is_missing([objective(metric, regex)], {}, printed)


def test_metrics_that_were_reported_count_among_those_that_were_seen() -> None:
    assert "the metrics seen were f1_score (the nearest is f1_score)" in what_is_missing(
        [objective("f1")], {"f1_score": 1.0}
    )


@pytest.mark.parametrize("name", ["loss", "validation:f1", 'a"b', "class", "step", "a\\b"])
def test_the_call_that_a_message_advises_is_python_and_reports(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    message = what_is_missing([objective(name)], {})
    call = message.partition("call cloudtune.trial.")[2].partition(", or give")[0]
    seen: list[Readings] = []
    trial.enter(trial.Context({}, sink=lambda _step, _time, metrics: seen.append(metrics)))
    try:
        eval(call, {"report": trial.report, "VALUE": 0.5})
    finally:
        trial.leave()
    assert seen == [{name: 0.5}]


# The regexes that services get


def test_a_long_name_is_found_as_it_is_written_where_a_regex_has_no_room_for_more() -> None:
    name = "mean_average_precision_at_fifty_of_the_validation_set"
    regex = plain_patterns([objective(name)], {}, LONGEST_REGEX)[name]
    assert len(regex) <= LONGEST_REGEX
    assert re.search(regex, f"\x1b[1m{name}\x1b[0m: 0.5") is not None


def test_a_regex_of_ones_own_travels_as_it_is() -> None:
    assert metric_patterns([objective("a", "a=(.)"), objective("b")], {"c": "c=(.)"}) == {
        "a": "a=(.)",
        "b": None,
        "c": "c=(.)",
    }
    assert plain_patterns([objective("a", "a=(.)")], {"c": "c=(.)"}, 500) == {"a": "a=(.)", "c": "c=(.)"}


@pytest.fixture(autouse=True, scope="module")
def _the_search_process_is_ended() -> Iterator[None]:
    yield
    matching.SEARCH._end()


def test_a_plan_tells_a_name_that_sagemaker_finds_in_one_case_alone() -> None:
    def planned(metric: str) -> Any:
        data = {
            "name": "j",
            "trial": {"source": ".", "command": "python train.py", "image": "an-image"},
            "objective": {"metric": metric, "goal": "minimize"},
            "space": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
            "limits": {"trials": 1},
        }
        return api.plan(TuningJob.from_data(data), on="sagemaker")

    assert planned("loss").support("objective[0].metric") is Support.EXACT
    long = planned("mean_average_precision_at_fifty_of_the_validation_set")
    assert long.support("objective[0].metric") is Support.APPROXIMATE
