"""What a trial costs on this machine, beside peers and bare limits measured in the same run.

    python benchmarks/local.py [--quick]

Peers that are not installed are left out (`pip install optuna` for the most of them). Every figure is printed with the
ratio to what it is measured against; times vary between machines, ratios much less.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cloudtune import Float, TuningJob, api, tune
from cloudtune.store.records import Trial, TrialState
from cloudtune.store.store import Store

COMMAND = [sys.executable, "-I", "-S", "-c", "print('s=1.5')"]
COMPILED = {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""The environment of processes that find modules compiled, as after an installation."""
SPACE = {"x": Float(low=0, high=1), "y": Float(low=0, high=1)}


def nothing(x: float, y: float) -> float:
    return x * y


def _call(point: tuple[float, float]) -> float:
    return nothing(*point)


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def seconds(body: Callable[[], object]) -> float:
    start = time.perf_counter()
    body()
    return time.perf_counter() - start


def row(what: str, value: str, against: str = "") -> None:
    print(f"{what:<58}{value:>16}  {against}", flush=True)


def functions(trials: int) -> None:
    """No-op function trials with durable state, beside Optuna's storages and a bare pool."""
    with folder() as project:
        took = seconds(
            lambda: tune(nothing, SPACE, maximize="s", trials=trials, parallel=2, strategy="random", project=project)
        )
    ours = trials / took
    row(f"cloudtune, {trials} no-op trials, 2 workers, SQLite", f"{ours:,.0f} trials/s", "aim: >= 1,000")
    points = [(i / trials, 0.5) for i in range(trials)]
    with multiprocessing.Pool(2) as pool:
        bare = trials / seconds(lambda: pool.map(_call, points, chunksize=1))
    row(
        "  bare multiprocessing.Pool of 2 (no state, no search)",
        f"{bare:,.0f} trials/s",
        f"ours is {ours / bare:.2f} of it",
    )
    try:
        import optuna
    except ImportError:
        return
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def objective(trial: Any) -> float:
        return trial.suggest_float("x", 0, 1) * trial.suggest_float("y", 0, 1)

    with folder() as project:
        journal = optuna.storages.journal.JournalFileBackend(str(project / "journal"))
        storages = {
            "memory": (None, min(trials, 2000)),
            "journal file": (optuna.storages.JournalStorage(journal), min(trials, 1000)),
            "SQLite": (f"sqlite:///{project / 'o.db'}", 100),
        }
        for name, (storage, count) in storages.items():
            study = optuna.create_study(storage=storage, sampler=optuna.samplers.RandomSampler(seed=1))
            rate = count / seconds(lambda study=study, count=count: study.optimize(objective, n_trials=count))
            row(
                f"  Optuna {optuna.__version__}, {name}, {count} trials",
                f"{rate:,.0f} trials/s",
                f"ours is {ours / rate:,.1f} x",
            )


def commands(rounds: int, trials: int = 100) -> None:
    """A command as a trial beside a bare Popen of it, alternating, with all of the trial's files and commits."""
    ours, bare = [], []
    for _ in range(rounds):
        with folder() as project:
            job = TuningJob.from_data(
                {"name": "c", "trial": {"command": COMMAND}, "objective": {"metric": "s", "goal": "maximize"},
                 "space": {"x": {"type": "float", "low": 0, "high": 1}}, "strategy": {"type": "random", "seed": 1}, "limits": {"trials": trials}}
            )  # fmt: skip
            run = api.prepare(job, "local", project=project, base=project)
            run.wait()
            done = run.trials()
            ours.append((max(t.ended or 0 for t in done) - min(t.started or 0 for t in done)) / trials)
            with (project / "log").open("ab") as log:
                bare.append(seconds(lambda log=log: [_popen(log) for _ in range(trials)]) / trials)
    ratio = statistics.median(one / other for one, other in zip(ours, bare, strict=True))
    row(
        "a command trial",
        f"{statistics.median(ours) * 1e3:.2f} ms",
        f"{ratio:.2f} x a bare Popen, {statistics.median(bare) * 1e3:.2f} ms (aim: <= 1.2)",
    )


def _popen(log: Any) -> None:
    subprocess.Popen([*COMMAND, "--x", "0.5"], stdout=log, stderr=log).wait()


def busy() -> None:
    """Two workers on equal sleeping trials."""
    with folder() as project:
        run = tune(
            _sleep,
            {"x": Float(low=0, high=1)},
            maximize="s",
            trials=100,
            parallel=2,
            strategy="random",
            project=project,
        )
        done = run.trials()
        wall = max(t.ended or 0 for t in done) - min(t.started or 0 for t in done)
    row("two workers, 100 trials of 200 ms", f"{100 * 0.2 / 2 / wall:.1%} busy", "aim: >= 98 %")


def _sleep(x: float) -> float:
    time.sleep(0.2)
    return x


def first_trial() -> None:
    """From the start of the process to the start of the first trial, for every strategy."""
    for strategy in ("random", "bayesian"):
        with folder() as project:
            (project / "job.yaml").write_text(
                f"name: f\ntrial: {{command: 'date +t=%s.%N; : {{x}}'}}\nobjective: {{metric: t, goal: minimize}}\n"
                f"space: {{x: {{type: float, low: 0, high: 1}}}}\nstrategy: {{type: {strategy}, seed: 1}}\nlimits: {{trials: 1}}\n"
            )
            times = []
            for _ in range(5):
                start = time.time()
                subprocess.run(
                    [sys.executable, "-m", "cloudtune", "run", "job.yaml", "-q"],
                    cwd=project,
                    env=COMPILED,
                    capture_output=True,
                    check=True,
                )
                times.append(api.attach("latest", project=project).trials()[0].metrics["t"] - start)
        row(f"first trial of a {strategy} job, from process start", f"{min(times) * 1e3:.0f} ms", "aim: <= 300")


def resume(trials: int) -> None:
    """Opening a run of many ended trials and going on with it."""
    with folder() as project:
        job_fields = {"maximize": "s", "parallel": 1, "strategy": {"type": "random", "seed": 1}, "project": project}
        tune(nothing, SPACE, trials=2, run_id="it", **job_fields)
        store = Store(project).run("it")
        store.write(
            trials=[
                Trial(
                    n,
                    {"x": n / trials, "y": 0.5},
                    TrialState.COMPLETED,
                    {"s": 1.0},
                    "",
                    1,
                    1.0,
                    2.0,
                    asked=3 * n,
                    told=3 * n + 2,
                )
                for n in range(2, trials)
            ]
        )
        record = store.record()
        data = json.loads(record.job)
        data["limits"]["trials"] = trials + 1
        store.write(columns={"state": "interrupted", "job": json.dumps(data)})
        took = seconds(lambda: api.attach("it", project=project).wait())
        assert len(store.trials()) == trials + 1
    row(
        f"resume of {trials} trials and one more",
        f"{took * 1e3:.0f} ms",
        "aim: <= 500 (Optuna's journal 1,900, its SQLite 3,600)",
    )


def starting() -> None:
    """Imports and the command line, each in processes of its own."""

    def best(*arguments: str) -> float:
        return min(
            seconds(lambda: subprocess.run([sys.executable, *arguments], capture_output=True, check=True, env=COMPILED))
            for _ in range(9)
        )

    empty, pydantic, ours = best("-c", "pass"), best("-c", "import pydantic"), best("-c", "import cloudtune")
    job = best("-c", "from cloudtune import TuningJob")
    row(
        "import cloudtune",
        f"{(ours - empty) * 1e3:.1f} ms",
        f"{(ours - empty) / (pydantic - empty):.2f} x import pydantic (aim: <= 0.15; `benchmarks/imports.py` is exact)",
    )
    row(
        "from cloudtune import TuningJob",
        f"{(job - empty) * 1e3:.1f} ms",
        f"{(job - empty) / (pydantic - empty):.2f} x import pydantic",
    )
    row("cloudtune --help", f"{best('-m', 'cloudtune', '--help') * 1e3:.0f} ms", "aim: <= 300")


def memory(trials: int) -> None:
    """The peak of a process that drives many trials (of Linux's own accounts: rusage would count this process's too)."""
    if sys.platform != "linux":
        return
    code = (
        "import tempfile, pathlib; from cloudtune import tune, Float\n"
        "def f(x): return x\n"
        f"with tempfile.TemporaryDirectory() as d: tune(f, {{'x': Float(low=0, high=1)}}, maximize='s', trials={trials}, parallel=2, strategy='random', project=pathlib.Path(d))\n"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    peak = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    row(f"memory of the driver at {trials} trials", f"{peak / 1024:.0f} MB", "aim: <= 100")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the trials")
    scale = 10 if parser.parse_args().quick else 1
    starting()
    first_trial()
    functions(10_000 // scale)
    commands(rounds=max(2, 10 // scale))
    busy()
    resume(10_000 // scale)
    memory(10_000 // scale)


if __name__ == "__main__":
    main()
