"""What notebooks show of runs and trials: nothing in them is markup, and it stays small and without colours of its own."""

import re
from collections.abc import Sequence
from decimal import Decimal
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudtune.errors import StoreError
from cloudtune.planning.plan import Plan
from cloudtune.report.cards import MAX_POINTS, run_card, small
from cloudtune.report.figures import Axis, Chart, Series
from cloudtune.results.view import RunView
from cloudtune.space.space import Values
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import Charge, RunRecord, RunState, Trial, TrialState

PIECES = ["<script>alert(1)</script>", "</td></table>", "<img src=x onerror=y>", "&lt;", '"', "'", "<!--", "]]>", "\n", "é", "😀", "\u202e", "x" * 30]  # fmt: skip
NOT_IN_NAMES = re.compile(r"[\s={}]")
HOSTILE = st.lists(st.sampled_from(PIECES), min_size=1, max_size=12).map("".join)
TAGS = {"div", "table", "tbody", "tr", "th", "td", "code", "svg", "title", "path", "g", "text"}


class Read(HTMLParser):
    """HTML as a browser would read it."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += f"{data}\n"

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)


def read(html: str) -> Read:
    """Read a card, and check what holds of each."""
    found = Read(html)
    assert found.tags <= TAGS
    assert not {name for name in found.attributes if name.startswith("on") or name in ("src", "href", "class", "id")}
    assert len(html.encode()) <= 20_000
    assert not re.search(
        r"#[0-9a-f]{3,6}\b|background:(?!none)|(?<![-a-z])color:(?!inherit)", re.sub(r">[^<]*<", "><", html)
    )
    return found


def view(
    trials: list[Trial],
    space: Any = None,
    metrics: Sequence[str] = ("loss",),
    state: RunState = RunState.RUNNING,
    **job: Any,
) -> RunView:
    """A run as the card reads it."""
    spec = TuningJob.from_data(
        {
            "name": "j",
            "trial": {"command": "true"},
            "objective": [{"metric": each, "goal": "minimize"} for each in metrics],
            "space": space or {"x": {"type": "float", "low": 0, "high": 1}},
            "limits": {"trials": 50},
            **job,
        }
    )
    record = RunRecord("j-1", "j", "local", "local", "{}", "{}", state, "", 0.0, 0.0)
    run = SimpleNamespace(
        id="j-1", record=record, job=spec, plan=Plan("local", "driven", {}), trials=lambda: trials, events=list
    )
    return cast("RunView", run)


def done(number: int, loss: float, **more: float) -> Trial:
    return Trial(number, {"x": 0.5}, TrialState.COMPLETED, {"loss": loss, **more}, "", 1, float(number), number + 1.0)


@settings(max_examples=40)
@given(
    names=st.lists(HOSTILE, min_size=1, max_size=25, unique=True),
    values=st.lists(HOSTILE, min_size=2, max_size=2, unique=True),
    metric=HOSTILE,
    reason=HOSTILE,
)
def test_nothing_in_a_run_is_markup_or_makes_its_card_large(
    names: list[str], values: list[str], metric: str, reason: str
) -> None:
    parameters: Values = dict.fromkeys(names, values[0])
    metrics = {metric: 1.0, **dict.fromkeys(names, 2.0)}
    best = Trial(0, parameters, TrialState.COMPLETED, metrics, reason, 2, 0.0, 1.0)
    failed = Trial(1, parameters, TrialState.FAILED, {}, reason, 1, 0.0, 1.0)
    for trial in (best, failed):
        html = trial._repr_html_()
        assert read(html).text.count("<") == html.count("&lt;")
    space = {f"p{NOT_IN_NAMES.sub('', name)}": {"type": "categorical", "values": values} for name in names}
    for trials in ([best, failed], [failed]):
        html = run_card(view(trials, space, [metric]), f"cloudtune show {reason}")
        assert read(html).text.count("<") == html.count("&lt;")


def test_the_card_of_a_run_tells_state_counts_best_cost_and_the_command() -> None:
    trials = [done(number, 3.0 - number / 10) for number in range(20)]
    trials.append(Trial(20, {"x": 0.1}, TrialState.FAILED, {}, "no memory", 1, 20.0, 21.0))
    trials[0].charges = (Charge(1, "m", 1, 9.0, Decimal("0.5"), "USD"),)
    text = read(run_card(view(trials), "cloudtune show j-1")).text
    for told in (
        "Run j-1",
        "running",
        "20 completed, 1 failed (of 50)",
        "0.5000 USD",
        "loss = 1.1 (trial 19)",
        "cloudtune show j-1",
    ):
        assert told in text


def test_what_stands_for_the_best_where_there_is_none() -> None:
    failed = Trial(0, {"x": 0.1}, TrialState.FAILED, {}, "no memory", 1, 0.0, 1.0)
    assert "no trial has ended well yet" in read(run_card(view([failed]), "c")).text
    ended = read(run_card(view([failed], state=RunState.FAILED), "c")).text
    assert "no trial has ended well\n" in ended
    assert "1 trial failed with: no memory" in ended
    limited = view([done(0, 3.0, size=9.0)], constraints=[{"metric": "size", "max": 5}])
    assert "trial 0: size = 9, not <= 5" in read(run_card(limited, "c")).text
    two = view([done(0, 1.0, speed=4.0), done(1, 2.0, speed=3.0), done(2, 3.0, speed=9.0)], metrics=("loss", "speed"))
    front = read(run_card(two, "c"))
    assert "2 trials of 3 completed ones" in front.text
    assert "loss = 2, speed = 3" in front.text
    assert "svg" in front.tags


def test_a_run_that_cannot_be_read_says_so() -> None:
    class Broken:
        id = "j-1"

        @property
        def record(self) -> RunRecord:
            raise StoreError("its <folder> is gone")

    assert "its <folder> is gone" in read(run_card(cast("RunView", Broken()), "c")).text


def places(svg: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.-]+) ([\d.-]+)", svg)]


@pytest.mark.parametrize("kind", ["linear", "log"])
def test_the_small_chart_stays_within_its_frame(kind: Any) -> None:
    x = [float(place) for place in range(5000)]
    y = [1e-300, 1e300, float("nan"), 0.0, *(1.0 + place for place in range(4996))]
    svg = small(Chart("c", Axis(), Axis("", kind), [Series("points", "", x, y), Series("line", "", x, y)]))
    read(svg)
    found = places(svg)
    assert 2 <= len(found) <= 2 * MAX_POINTS
    assert all(0 <= across <= 420 and 0 <= down <= 96 for across, down in found)


def test_the_small_chart_has_the_best_below_and_the_ends_of_its_axis() -> None:
    line = Series("steps", "best so far", [1.0, 3.0], [4.0, 1.0])
    svg = small(Chart("c", Axis(), Axis(), [line]))
    assert '<path d="M62 6H414V90"' in svg
    assert Read(svg).text.split() == ["c", "4", "1"]
    assert small(Chart("c", Axis(), Axis(), [Series("points", "", [1.0], [None])])) == ""


def test_the_card_of_a_trial_tells_what_became_of_it() -> None:
    charges = (Charge(1, "m", 1, 9.0, Decimal("1.5"), "USD"),)
    trial = Trial(7, {"lr": 0.1, "kind": "", "deep": True, **{f"p{each}": each for each in range(30)}}, TrialState.PRUNED, {"loss": 1 / 3}, "at step 3", 2, 0.0, 65.0, charges=charges, origin="parent:3")  # fmt: skip
    text = read(trial._repr_html_()).text
    for told in (
        "Trial 7",
        "pruned: at step 3",
        "0.333333",
        '""',
        "true",
        "and 23 more",
        "trial 3",
        "1m 05s",
        "1.50 USD",
    ):
        assert told in text
