"""The report as a page: it stands alone, tells what the run was, and nothing in a run can break it."""

import json
import math
import random
import shlex
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from cloudtune.planning.plan import Ledger, Support, leaves
from cloudtune.provider.interface import Provider
from cloudtune.report import write_report
from cloudtune.report.web_files import digest
from cloudtune.run import Run
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import Charge, Report, RunRecord, RunState, Trial, TrialState
from cloudtune.store.store import Store

VOID = {"meta", "input", "br"}
START = 1_700_000_000.0


class Page(HTMLParser):
    """A page as a browser would read it: its elements, texts and scripts."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.text = ""
        self.html = html
        self.feed(html)
        self.close()
        assert self.open == [], "elements are left open"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append((dict(attrs), ""))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> ends nothing"
        assert self.open.pop() == tag, f"</{tag}> ends another element"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            attributes, script = self.scripts[-1]
            self.scripts[-1] = attributes, script + data
        elif not self.open or self.open[-1] != "style":
            self.text += data

    def data(self, name: str) -> Any:
        """The JSON of an element."""
        return next(json.loads(script) for attributes, script in self.scripts if attributes.get("id") == name)

    @property
    def headings(self) -> list[str]:
        """The headings of charts, in their order."""
        return sorted(
            (each for each in HEADINGS if f">{each}<" in self.html), key=lambda each: self.html.index(f">{each}<")
        )


HEADINGS = [
    "Pareto front", "Objective over time", "Objectives over time", "Parameter importance", "Parallel coordinates",
    "Each parameter", "Learning curves", "Timeline", "Cost over time",
]  # fmt: skip


def job_of(**changes: Any) -> TuningJob:
    return TuningJob.from_data(
        {
            "name": "digits",
            "trial": {"command": "python train.py", "environment": {"TOKEN": "***"}},
            "objective": {"metric": "accuracy", "goal": "maximize"},
            "space": {
                "C": {"type": "float", "low": 1e-3, "high": 1e3, "scale": "log"},
                "kernel": {"type": "categorical", "values": ["rbf", "poly", None]},
                "degree": {"type": "int", "low": 2, "high": 5, "when": {"kernel": "poly"}},
            },
            "stopping": {"type": "median"},
            "limits": {"trials": 40, "parallel": 4, "time": "2h"},
            **changes,
        }
    )


def trials_of(job: TuningJob, count: int) -> list[Trial]:
    """Trials, four at a time: most completed, some pruned, some failed."""
    space, draw, trials = job.search_space(), random.Random(1), []
    for number in range(count):
        parameters = space.at([draw.random() for _ in space.dimensions])
        state = TrialState.FAILED if number % 9 == 8 else TrialState.PRUNED if number % 7 == 6 else TrialState.COMPLETED
        metrics = {each.metric: draw.random() for each in job.objective} if state is not TrialState.FAILED else {}
        begin = START + number // 4 * 60.0
        reason = "exit code 1" if state is TrialState.FAILED else ""
        trials.append(Trial(number, parameters, state, metrics, reason, 1, begin, begin + 55.0, f"trials/{number}"))
    return trials


class Nothing:
    """A provider that has nothing to tell."""

    def refresh(self, store: object) -> None:
        """Knows of no changes."""


@pytest.fixture
def report(tmp_path: Path) -> Callable[..., Page]:
    """Writes the report of a run in a real store, and reads the page."""

    def write(
        job: TuningJob,
        trials: Iterable[Trial],
        reports: Iterable[Report] = (),
        events: Iterable[tuple[int | None, str]] = (),
        state: RunState = RunState.COMPLETED,
        reason: str = "",
    ) -> Page:
        ledger = Ledger("local")
        for path, _ in leaves(job):
            if path == "limits.time":
                ledger.note(path, Support.WATCHED, "the driver ends the run")
            else:
                ledger.carry(path, f"driver.{path}")
        plan = ledger.close(job, "driven", {})
        record = RunRecord(
            f"{job.name}-1a2b", job.name, "local", "laptop", json.dumps(job.to_data()), json.dumps(plan.to_data()),
            state, reason, START, START, START + 600 if state.ended else None, 600.0,
        )  # fmt: skip
        store = Store(tmp_path)
        stored = store.create(record)
        stored.write(trials=trials, reports=reports, events=events)
        written = write_report(Run(stored, cast("Provider", Nothing())), tmp_path / "new" / "report.html")
        store.close()
        return Page(written.read_text("utf-8"))

    return write


def test_a_report_tells_what_the_run_was(report: Callable[..., Page]) -> None:
    job = job_of()
    trials = trials_of(job, 40)
    best = max(
        (trial for trial in trials if trial.state is TrialState.COMPLETED), key=lambda trial: trial.metrics["accuracy"]
    )
    page = report(job, trials, events=[(None, "run started"), (8, "trial 8 failed")], reason="all 40 trials have ended")
    for fact in (
        "digits-1a2b", "completed", "all 40 trials have ended", "local (driven; profile laptop)", "10m 00s",
        f"Best: accuracy = {best.metrics['accuracy']:.6g}", f"Trial {best.number} of ", "trial 8 failed",
        "the driver ends the run", "driver.space.C.low", "median stopping",
    ):  # fmt: skip
        assert fact in page.text


def test_the_best_parameters_can_be_copied_as_yaml_and_as_options(report: Callable[..., Page]) -> None:
    job = job_of(
        space={
            "na_me": {"type": "categorical", "values": ["it's a; $(x)"]},
            "n": {"type": "int", "low": -4, "high": -4},
        }
    )
    parameters: dict[str, Any] = {"na_me": "it's a; $(x)", "n": -4}
    page = report(job, [Trial(0, parameters, TrialState.COMPLETED, {"accuracy": 1.0}, "", 1, START, START + 1)])
    yaml_text = page.text.split("Parameters as YAML", 1)[1].removeprefix("Copy").split("as options", 1)[0]
    assert yaml.safe_load(yaml_text) == parameters
    options = page.text.split("as options of a commandCopy", 1)[1].splitlines()[0]
    assert shlex.split(options) == ["--na_me", "it's a; $(x)", "--n", "-4"]


def test_all_sections_are_there_for_a_run_with_everything(report: Callable[..., Page]) -> None:
    job = job_of()
    trials = trials_of(job, 40)
    reports = [
        Report(trial.number, 1, step, START + step, {"accuracy": step / 10}) for trial in trials for step in range(1, 5)
    ]
    page = report(job, trials, reports)
    assert page.headings == [
        heading for heading in HEADINGS if heading not in ("Pareto front", "Objectives over time", "Cost over time")
    ]
    assert {
        "history-0",
        "importance",
        "effect-0",
        "effect-1",
        "effect-2",
        "parallel",
        "slice-0",
        "slice-1",
        "slice-2",
        "curves",
        "timeline",
    } == set(page.data("figures"))


def test_a_run_that_was_charged_says_what_it_cost(report: Callable[..., Page]) -> None:
    job = job_of(limits={"trials": 40, "cost": "USD 10"})
    charges = (Charge(1, "m", 1, 55.0, Decimal("0.25"), "USD"),)
    page = report(job, [replace(trial, charges=charges) for trial in trials_of(job, 8)])
    assert "cost2.00 of 10.00 USD" in page.text
    assert "It cost 0.2500 USD." in page.text
    assert page.headings[-1] == "Cost over time"
    assert "cost" in page.data("figures")


def test_several_objectives_have_a_front_and_no_single_best(report: Callable[..., Page]) -> None:
    job = job_of(
        objective=[{"metric": "accuracy", "goal": "maximize"}, {"metric": "seconds", "goal": "minimize"}],
        limits={"trials": 40},
    )
    page = report(job, trials_of(job, 40))
    assert "Best: " not in page.text
    assert "on the Pareto front" in page.text
    assert {"front-0", "history-0", "history-1", "importance"} <= set(page.data("figures"))


def test_the_page_asks_the_network_for_nothing(report: Callable[..., Page]) -> None:
    page = report(job_of(), trials_of(job_of(), 20))
    names = {name for _, attributes in page.tags for name in attributes}
    assert not names & {"src", "href", "srcset", "action", "data", "poster"}
    assert not {tag for tag, _ in page.tags} & {"link", "img", "iframe", "object", "embed", "base", "form"}
    policy = next(attributes["content"] for tag, attributes in page.tags if attributes.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy


def test_the_page_is_small_and_runs_its_own_script_alone(report: Callable[..., Page]) -> None:
    job = job_of(limits={"trials": 200})
    trials = trials_of(job, 200)
    reports = [Report(each.number, 1, step, START, {"accuracy": step / 10}) for each in trials for step in range(20)]
    page = report(job, trials, reports)
    assert len(page.html.encode()) < 500_000
    policy = next(attributes["content"] or "" for tag, attributes in page.tags if attributes.get("http-equiv"))
    assert "unsafe" not in policy
    scripts = [script for attributes, script in page.scripts if "type" not in attributes]
    assert [digest(script) in policy for script in scripts] == [True]
    assert "import " not in scripts[0]
    assert not {"style", "onclick", "onload"} & {name for _, attributes in page.tags for name in attributes}


EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&amp;\u2028é中"


def test_nothing_that_a_run_holds_becomes_markup(report: Callable[..., Page]) -> None:
    plain = report(job_of(), trials_of(job_of(), 20))
    name = "p<script>&quot;'\""
    job = job_of(
        name="evil",
        trial={"command": f"python train.py {EVIL}"},
        objective={"metric": EVIL, "goal": "minimize"},
        space={name: {"type": "categorical", "values": [EVIL, "<!--", "]]>", None]}},
    )
    trials = [
        replace(trial, metrics={EVIL: trial.number, "<b>": 1.0}, reason=EVIL, place=EVIL)
        for trial in trials_of(job, 20)
    ]
    page = report(job, trials, events=[(0, EVIL)], reason=EVIL)
    assert len(page.scripts) == len(plain.scripts)
    assert {tag for tag, _ in page.tags} <= {tag for tag, _ in plain.tags}
    assert EVIL in page.text
    table = page.data("trials")
    assert table["columns"][2:5] == [EVIL, "<b>", name]
    assert table["rows"][0][-1] == EVIL


@pytest.mark.parametrize("state", [RunState.WAITING, RunState.RUNNING, RunState.INTERRUPTED, RunState.CANCELLED])
def test_a_run_without_trials_has_a_report(report: Callable[..., Page], state: RunState) -> None:
    page = report(job_of(), [], state=state)
    assert "There are no trials yet." in page.text
    assert page.data("figures") == {}
    assert page.headings == []


def test_a_run_of_one_trial_has_a_report(report: Callable[..., Page]) -> None:
    page = report(job_of(), trials_of(job_of(), 1))
    assert "it takes at least 10 completed trials; there are 1" in page.text
    assert {"history-0", "slice-0", "timeline"} <= set(page.data("figures"))


def test_a_run_whose_trials_all_failed_says_why(report: Callable[..., Page]) -> None:
    trials = [
        replace(trial, state=TrialState.FAILED, metrics={}, reason="out of memory") for trial in trials_of(job_of(), 5)
    ]
    page = report(job_of(), trials, state=RunState.FAILED, reason="5 trials failed")
    assert "No trial ended well. 5 trials failed with: out of memory" in page.text
    assert set(page.data("figures")) == {"timeline"}


def test_a_running_trial_is_drawn_up_to_the_last_known_moment(report: Callable[..., Page]) -> None:
    first, second = trials_of(job_of(), 2)
    running = replace(second, state=TrialState.RUNNING, metrics={}, ended=None)
    page = report(job_of(), [first, running], state=RunState.RUNNING)
    bars = {bar["name"]: bar for bar in page.data("figures")["timeline"]["series"]}
    assert bars["running"]["high"][0] >= bars["completed"]["high"][0] > 0
    assert "(of 40)" in page.text


def test_values_that_are_not_numbers_stand_in_the_table_as_words(report: Callable[..., Page]) -> None:
    odd = [math.nan, math.inf, -math.inf]
    trials = [
        replace(trial, state=TrialState.PRUNED, metrics={"accuracy": value})
        for trial, value in zip(trials_of(job_of(), 3), odd, strict=True)
    ]
    page = report(job_of(), [*trials, replace(trials_of(job_of(), 4)[3], metrics={"accuracy": 1e300})])
    assert [row[2] for row in page.data("trials")["rows"]] == ["nan", "inf", "-inf", 1e300]


def test_the_table_tells_null_from_a_parameter_that_is_absent(report: Callable[..., Page]) -> None:
    first, second = trials_of(job_of(), 2)
    trials = [
        replace(first, parameters={"C": 1.0, "kernel": None}),
        replace(second, parameters={"C": 1.0, "kernel": "poly", "degree": 3}),
    ]
    table = report(job_of(), trials).data("trials")
    place = table["columns"].index("kernel")
    assert [row[place : place + 2] for row in table["rows"]] == [["null", None], ["poly", 3]]


@pytest.mark.timeout(600)  # what is bounded is the computing
@pytest.mark.parametrize("count", [2500, pytest.param(10_000, marks=pytest.mark.complete)])
def test_many_trials_make_a_page_of_bounded_size_in_a_bounded_time(count: int, report: Callable[..., Page]) -> None:
    job = job_of(
        space={f"x{index}": {"type": "float", "low": 1e-5, "high": 1, "scale": "log"} for index in range(10)},
        limits={"trials": count},
    )
    trials = trials_of(job, count)
    reports = (Report(trial.number, 1, step, START, {"accuracy": 0.5}) for trial in trials for step in (1, 2))
    begin = time.thread_time()
    page = report(job, trials, reports)
    assert time.thread_time() - begin < 30
    size = sum(len(script) for _, script in page.scripts) + len(page.text)
    assert size < 12_000_000
    assert "1,000 of the completed trials" in page.text
    assert f"the last 1,500 of {count:,} trials" in page.text
    assert len(page.data("trials")["rows"]) == count


def test_every_chart_has_a_place_in_the_page_and_a_sentence(report: Callable[..., Page]) -> None:
    page = report(job_of(), trials_of(job_of(), 40))
    figures = page.data("figures")
    places = {attributes["id"] for tag, attributes in page.tags if attributes.get("class") == "chart"}
    assert places == {f"chart-{name}" for name in figures}
    assert all(figure["caption"].endswith(".") for figure in figures.values())
