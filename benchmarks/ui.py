"""The live page under load: a run of 10,000 trials that changes fifty times a second, seen by a real browser.

``python benchmarks/ui.py [--trials N] [--rate UPDATES] [--seconds S]`` needs the extras ``ui`` and ``browser`` and a Chromium (at ``$CHROMIUM``, else
``/usr/bin/chromium``). It prints the CPU that the server takes, its memory, the frames and long tasks of the browser (tasks of
more than 50 ms, https://w3c.github.io/longtasks/), and how late what is written is seen.
"""

import argparse
import multiprocessing
import os
import random
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

_WATCH = """
() => {
  window.frames_ = []; window.long_ = [];
  let before = performance.now();
  const frame = (now) => { window.frames_.push(now - before); before = now; requestAnimationFrame(frame); };
  requestAnimationFrame(frame);
  new PerformanceObserver((list) => list.getEntries().forEach((each) => window.long_.push(each.duration))).observe({ entryTypes: ["longtask"] });
}
"""
_READ = "() => { const found = { frames: window.frames_, long: window.long_ }; window.frames_ = []; window.long_ = []; return found; }"


def serve(project: str, pipe: Any) -> None:
    """Serve the page in a process of its own; tell its address, and its CPU time and memory whenever asked."""
    import psutil

    from cloudtune.ui.server import PageServer

    server = PageServer([Path(project)])
    pipe.send(server.access.address_with_token)

    def tell() -> None:
        process = psutil.Process()
        while pipe.recv():
            times = process.cpu_times()
            pipe.send((times.user + times.system, process.memory_info().rss / 2**20))
        server.stop()

    threading.Thread(target=tell, daemon=True).start()
    server.run()


def change(project: str, run_id: str, trials: int, rate: float, over: Any) -> None:
    """Write trials that run, report and end, at a rate, until told."""
    from cloudtune.store.records import Report, Trial, TrialState
    from cloudtune.store.store import RunStore, Store

    run, draw, number, due = RunStore(Store(Path(project)), run_id), random.Random(7), trials, time.monotonic()
    while not over.is_set():
        due += 1 / rate
        values = {"C": 10 ** draw.uniform(-3, 3), "kernel": draw.choice(["rbf", "poly"])}
        if number % 2:  # every other update ends the trial that the one before began
            ended = Trial(
                number - 1,
                values,
                TrialState.COMPLETED,
                {"accuracy": draw.random()},
                "",
                1,
                time.time() - 1,
                time.time(),
            )
            run.write(trials=[ended], reports=[Report(number - 1, 1, 2, time.time(), {"accuracy": draw.random()})])
        else:
            begun = Trial(number, values, TrialState.RUNNING, {}, "", 1, time.time())
            run.write(trials=[begun], reports=[Report(number, 1, 1, time.time(), {"accuracy": draw.random()})])
        number += 1
        time.sleep(max(0.0, due - time.monotonic()))


def told(name: str, found: dict[str, list[float]], seconds: float) -> None:
    """Print the frames and long tasks of a view."""
    frames, long = sorted(found["frames"]) or [0.0], found["long"]
    print(
        f"{name:<28}{len(frames) / seconds:7.1f} frames/s, median {statistics.median(frames):6.1f} ms, 99 % {frames[int(0.99 * (len(frames) - 1))]:6.1f} ms, "
        f"longest {frames[-1]:6.1f} ms; {len(long)} long tasks, {sum(long):.0f} ms in all, longest {max(long, default=0):.0f} ms"
    )


class Load:
    """A run that is served in one process and changed in another.

    Args:
        project: a new folder.
        asked: the options of the benchmark.
    """

    def __init__(self, project: str, asked: argparse.Namespace) -> None:
        from live_pages import stored_run

        from cloudtune.store.records import RunState

        self.run = stored_run(
            Path(project), trials=asked.trials, state=RunState.RUNNING, limits={"trials": 2 * asked.trials}
        )
        context = multiprocessing.get_context("spawn")
        self.pipe, there = context.Pipe()
        self.over = context.Event()
        self.server = context.Process(target=serve, args=(project, there))
        self.writer = context.Process(target=change, args=(project, self.run.id, asked.trials, asked.rate, self.over))
        self.server.start()
        self.address = self.pipe.recv()

    def usage(self) -> tuple[float, float]:
        """Return the server's CPU seconds and its megabytes."""
        self.pipe.send(True)
        cpu, memory = self.pipe.recv()
        return cpu, memory

    def end(self) -> None:
        """End both processes."""
        self.over.set()
        self.writer.join()
        self.pipe.send(False)
        self.server.join(10)


def look(load: Load, page: Any, asked: argparse.Namespace) -> None:
    """Look at the run in a browser, at rest and while it changes."""
    begun = time.monotonic()
    page.goto(f"{load.address}#/run/{load.run.id}?tab=trials")
    page.get_by_text(f"{asked.trials:,} trials").wait_for()
    print(f"the whole table is there after {time.monotonic() - begun:.2f} s")
    cpu, _ = load.usage()
    time.sleep(5)
    print(f"server at rest, one page open: {(load.usage()[0] - cpu) / 5:.1%} of a core")
    load.writer.start()
    page.evaluate(_WATCH)
    page.mouse.move(600, 600)
    for tab in ("trials", "overview", "parameters"):
        page.evaluate(f"location.hash = '#/run/{load.run.id}?tab={tab}'")
        page.wait_for_timeout(4000)
        page.evaluate(_READ)
        cpu, _ = load.usage()
        start = time.monotonic()
        while time.monotonic() - start < asked.seconds:
            page.mouse.wheel(0, 240)
            page.wait_for_timeout(200)
        spent, memory = load.usage()
        seconds = time.monotonic() - start
        told(tab, page.evaluate(_READ), seconds)
        print(f"{'':<28}server: {(spent - cpu) / seconds:.1%} of a core, {memory:.0f} MB")
    heap = page.evaluate("performance.memory ? performance.memory.usedJSHeapSize / 2 ** 20 : 0")
    print(
        f"browser: {heap:.0f} MB of JavaScript's memory; the page says: {page.locator('.stat.wide dd').first.inner_text().splitlines()[0]}"
    )


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--seconds", type=float, default=15.0)
    asked = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as project, sync_playwright() as playwright:
        load = Load(project, asked)
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox"]
        )
        print(f"{asked.trials:,} trials, {asked.rate:g} updates a second, {os.cpu_count()} cores")
        with load.run.locked():  # else its driver would count as gone
            look(load, browser.new_page(viewport={"width": 1280, "height": 850}), asked)
        browser.close()
        load.end()


if __name__ == "__main__":
    main()
