"""The live page in a real browser: two runs that go on, a trial that is stopped, keys, deep links, a phone, accessibility."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live_pages import Client, served, stored_run

from cloudtune import TuningJob, api
from cloudtune.report import write_report
from cloudtune.store.records import Report, RunState, Trial, TrialState
from cloudtune.store.store import RunStore, Store

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
pytestmark = [
    pytest.mark.complete,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Chromium"),
    pytest.mark.timeout(300),
]
RUN = "digits-1a2b"
DESK, PHONE = {"width": 1280, "height": 850}, {"width": 390, "height": 844}

SLOW = """\
import time
from cloudtune import trial
x = trial.params()["x"]
for step in range(1, 10_000):
    trial.report(loss=x + 1 / step, step=step)
    print("step", step, flush=True)
    time.sleep(0.1)
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def opened(browser: Any) -> Iterator[Any]:
    """Opens a place of the page; no script may fail, and nothing may be refused by the page's policy."""
    contexts, problems = [], []

    def open_page(client: Client, place: str, size: dict[str, int] = DESK, **more: Any) -> Any:
        context = browser.new_context(viewport=size, **more)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        # The server ends before the browser: what it was still sending is no problem of the page.
        page.on(
            "console",
            lambda message: (
                problems.append(message.text) if message.type == "error" and "net::ERR_" not in message.text else None
            ),
        )
        page.goto(f"{client.access.address_with_token}{place}")
        assert "token" not in page.url
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert problems == []


def slow_runs(project: Path, many: int) -> list[Any]:
    """Runs whose trials go on until they are stopped."""
    (project / "slow.py").write_text(SLOW)
    job = {
        "trial": {"command": f"{sys.executable} slow.py"},
        "objective": {"metric": "loss", "goal": "minimize"},
        "space": {"x": {"type": "float", "low": 0, "high": 1}},
        "limits": {"trials": 6, "parallel": 2},
        "strategy": {"type": "random", "seed": 1},
    }
    jobs = [TuningJob.from_data({"name": name, **job}) for name in ("first", "second")[:many]]
    return [api.submit(each, "local", project=project, base=project) for each in jobs]


def test_two_runs_go_on_before_the_eyes_and_a_trial_and_a_run_are_ended_from_the_page(
    tmp_path: Path, opened: Any
) -> None:
    runs = slow_runs(tmp_path, 2)
    try:
        with served(tmp_path, control=True) as client:
            overview = opened(client, "#/")
            for run in runs:
                overview.locator(f"tr[data-id='{run.id}'] .state.running").wait_for()
            pages = [opened(client, f"#/run/{run.id}?tab=trials") for run in runs]
            for page in pages:
                page.locator("table.trials .dot.running").nth(1).wait_for()
                before = page.locator("table.trials td.number").nth(1).text_content()
                page.wait_for_function(
                    "before => document.querySelectorAll('table.trials td.number')[1].textContent !== before",
                    arg=before,
                )
            first = pages[0]
            first.locator("table.trials button.link").first.click()
            first.get_by_role("button", name="Stop this trial").click()
            first.locator(".side .state.cancelled").wait_for(timeout=60_000)
            assert runs[0].trial(0).state is TrialState.CANCELLED
            first.get_by_role("link", name="What it printed").click()
            first.get_by_text("step 1", exact=False).first.wait_for()
            first.get_by_role("link", name="Overview").click()
            first.locator("section:has(h2:text('Learning curves')) canvas").first.wait_for()
            first.get_by_role("button", name="Cancel…").click()
            first.get_by_role("button", name="Cancel the run").click()
            first.locator(".head .state.cancelled").wait_for(timeout=60_000)
            overview.locator(f"tr[data-id='{runs[0].id}'] .state.cancelled").wait_for()
            assert overview.locator(f"tr[data-id='{runs[1].id}'] .state.running").count() == 1
    finally:
        for run in runs:
            run.cancel()
            run.wait()


def test_a_page_goes_on_after_its_server_was_away(tmp_path: Path, opened: Any) -> None:
    store = stored_run(tmp_path, state=RunState.INTERRUPTED)
    with served(tmp_path) as client:
        page = opened(client, f"#/run/{RUN}?tab=trials")
        page.get_by_text("20 trials").wait_for()
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        store.write(trials=[Trial(20, {"C": 1.0, "kernel": "rbf"}, TrialState.COMPLETED, {"accuracy": 0.5})])
        page.get_by_text("21 trials").wait_for()
        rows = page.evaluate("document.querySelector('table.trials').getAttribute('aria-rowcount')")
        assert rows == "22"


def test_deep_links_bring_tab_filter_order_and_trial_back(tmp_path: Path, opened: Any) -> None:
    stored_run(tmp_path)
    with served(tmp_path) as client:
        page = opened(client, f"#/run/{RUN}?tab=trials&q=state%3Dcompleted&sort=2&down=1&trial=3")
        page.get_by_text("18 of 20 trials").wait_for()
        assert page.locator("th[aria-sort='descending']").inner_text().strip() == "accuracy"
        page.locator(".side h2:text('Trial 3')").wait_for()
        values = [
            float(text) for text in page.locator("table.trials tbody td:nth-child(3)").all_text_contents() if text
        ]
        assert values == sorted(values, reverse=True)
        page.reload()
        page.locator(".side h2:text('Trial 3')").wait_for()
        page.get_by_text("18 of 20 trials").wait_for()


def test_the_keyboard_reaches_everything(tmp_path: Path, opened: Any) -> None:
    stored_run(tmp_path)
    with served(tmp_path) as client:
        page = opened(client, "#/")
        page.get_by_role("link", name=RUN).focus()
        page.keyboard.press("Enter")
        page.locator(".tabs a[aria-current]").wait_for()
        page.keyboard.press("2")
        page.locator("table.trials button.link").first.wait_for()
        page.keyboard.press("/")
        page.keyboard.type("state=failed")
        page.get_by_text("2 of 20 trials").wait_for()
        page.locator("table.trials button.link").first.focus()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        page.locator(".side h2:text('Trial 13')").wait_for()
        page.keyboard.press("Escape")
        page.locator(".side").wait_for(state="hidden")
        page.keyboard.press("1")
        chart = page.locator("section:has(h2:text('Objective over time')) canvas[tabindex]")
        chart.focus()
        page.keyboard.press("ArrowRight")
        assert page.locator("section:has(h2:text('Objective over time')) .unseen").inner_text().startswith("trial ")
        page.keyboard.press("Enter")
        page.locator(".side").wait_for(state="visible")
        page.keyboard.press("Escape")
        page.locator("body").press("g")
        page.get_by_role("heading", name="Runs").wait_for()


def test_runs_are_chosen_and_stand_beside_each_other(tmp_path: Path, opened: Any) -> None:
    stored_run(tmp_path)
    stored_run(tmp_path, "digits-2b3c", trials=9)
    with served(tmp_path) as client:
        page = opened(client, "#/")
        for run in (RUN, "digits-2b3c"):
            page.get_by_label(f"Compare {run}").check()
        page.get_by_role("button", name="Compare 2").click()
        page.get_by_text("digits-2b3c").nth(1).wait_for()
        assert page.locator("section.card canvas[role=img]").count() == 2


def test_what_a_run_says_is_shown_as_text(tmp_path: Path, opened: Any) -> None:
    evil = "<img src=x onerror=alert(1)>"
    store = stored_run(tmp_path, objective={"metric": evil, "goal": "maximize"}, trials=0, state=RunState.FAILED)
    trials = [
        Trial(n, {"C": 1.0, "kernel": "rbf"}, TrialState.COMPLETED, {evil: float(n)}, evil, 1, 1.0, 2.0 + n)
        for n in range(12)
    ]
    reports = [Report(n, 1, step, 1.0, {evil: 1.0 / step}) for n in range(12) for step in (1, 2)]
    store.write(trials=trials, reports=reports, events=[(1, evil)], columns={"reason": evil})
    with served(tmp_path) as client:
        for tab in ("overview", "trials", "parameters", "time", "plan", "events"):
            page = opened(client, f"#/run/{RUN}?tab={tab}&trial=1")
            page.locator(".side .state").wait_for()
            page.wait_for_timeout(700)
            assert page.locator("main img").count() == 0


TABS = ["overview", "trials", "parameters", "model", "time", "logs", "plan", "events"]


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_nothing_hinders_people_who_see_or_move_otherwise(tmp_path: Path, opened: Any, colours: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    stored_run(tmp_path)
    stored_run(tmp_path, "digits-2b3c", state=RunState.INTERRUPTED, objective=[{"metric": "accuracy", "goal": "maximize"}, {"metric": "other", "goal": "minimize"}])  # fmt: skip
    with served(tmp_path, control=True) as client:
        places = [
            "#/",
            *(f"#/run/{RUN}?tab={tab}&trial=6" for tab in TABS),
            f"#/compare?run={RUN}&run=digits-2b3c",
            "#/run/digits-2b3c",
        ]
        for place in places:
            page = opened(client, place, color_scheme=colours)
            page.locator(".live.on").wait_for()
            page.wait_for_timeout(800)
            found = axe.run(
                page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
            )
            told = [
                (each["id"], [node["html"][:200] for node in each["nodes"]]) for each in found.response["violations"]
            ]
            assert told == [], place


def test_a_phone_shows_all_without_scrolling_sideways(tmp_path: Path, opened: Any) -> None:
    stored_run(tmp_path)
    with served(tmp_path, control=True) as client:
        for place in ["#/", *(f"#/run/{RUN}?tab={tab}" for tab in TABS), f"#/run/{RUN}?trial=3"]:
            page = opened(client, place, PHONE, has_touch=True)
            page.locator(".live.on").wait_for()
            page.wait_for_timeout(500)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), place


def test_the_report_is_drawn_within_a_second_and_is_usable(tmp_path: Path, browser: Any) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    run = api.attach(stored_run(tmp_path, trials=200, limits={"trials": 200}).id, project=tmp_path)
    path = write_report(run, tmp_path / "report.html")
    for colours in ("light", "dark"):
        context, problems = browser.new_context(viewport=DESK, color_scheme=colours), list[str]()
        page = context.new_page()
        page.on("pageerror", lambda error, problems=problems: problems.append(str(error)))
        page.on("console", lambda message, problems=problems: problems.append(message.text))
        page.goto(path.as_uri())
        took = page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
        assert 0 < took < 1000
        page.locator("#chart-history-0 canvas").first.wait_for()
        page.locator("#filter").fill("state=failed")
        page.get_by_text("28 of 200 trials").wait_for()
        found = axe.run(page)
        assert [
            (each["id"], [node["html"][:200] for node in each["nodes"]]) for each in found.response["violations"]
        ] == []
        assert problems == []
        context.close()


def test_ten_thousand_trials_scroll_and_sort_without_more_rows_than_are_in_sight(tmp_path: Path, opened: Any) -> None:
    stored_run(tmp_path, trials=10_000, limits={"trials": 10_000})
    store = RunStore(Store(tmp_path), RUN)
    with served(tmp_path) as client:
        page = opened(client, f"#/run/{RUN}?tab=trials")
        page.get_by_text("10,000 trials").wait_for()
        assert page.locator("table.trials tbody tr").count() < 120
        page.locator(".tall").evaluate("element => { element.scrollTop = element.scrollHeight; }")
        page.locator("table.trials button.link:text-is('9999')").wait_for()
        page.get_by_role("button", name="accuracy").click()
        store.write(trials=[Trial(10_000, {"C": 1.0, "kernel": "rbf"}, TrialState.COMPLETED, {"accuracy": -5.0})])
        page.locator("table.trials button.link:text-is('10000')").wait_for()
        assert page.locator("table.trials tbody tr").count() < 120
