"""How busy cloudtune keeps a Slurm cluster, and what it asks of its controller.

    python benchmarks/slurm.py [--trials 500] [--seconds 1] [--per-task 21] [--bare] [--disturb]

The cluster is four nodes on this machine with two slots each, of real slurmctld and slurmd, which start first. With `--disturb` nodes are
killed, tasks are requeued and the controller is killed meanwhile. Every trial writes when it began and ended: a slot is busy between the two;
what Slurm and Python take before and after counts as idle, and so does the time before the first trial and after the last one of each slot.
"""

import argparse
import contextlib
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from slurm_clusters import SlurmCluster, connected

from cloudtune import TuningJob, api
from cloudtune.run import Run

SLOTS = 8
BATCH = 100
SCRIPT = """\
import os, pathlib, time
began = time.time()
place = pathlib.Path(os.environ["CLOUDTUNE_OUTPUT_DIR"])
time.sleep({seconds})
(place / f"span-{{os.environ['SLURM_RESTART_COUNT'] if 'SLURM_RESTART_COUNT' in os.environ else 0}}").write_text(f"{{began}} {{time.time()}}")
print("score=1.5")
"""


def job(project: Path, trials: int, seconds: float, per_task: int) -> TuningJob:
    """A job of trials that sleep; so many at once that an array has a hundred or more, and the next one comes while tasks of the last wait."""
    (project / "src").mkdir()
    (project / "src" / "work.py").write_text(SCRIPT.format(seconds=seconds))
    return TuningJob.from_data(
        {
            "name": "bench",
            "trial": {"source": "src", "command": [sys.executable, "-I", "-S", "work.py"]},
            "objective": {"metric": "score", "goal": "maximize", "regex": r"score=(\S+)"},
            "space": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
            "strategy": {"type": "random", "seed": 1},
            "limits": {"trials": trials, "parallel": max(BATCH + BATCH // 2, 2 * SLOTS * per_task)},
            "slurm": {"trials_per_task": per_task},
        }
    )


def bare_array(cluster: SlurmCluster, folder: Path, count: int, seconds: float) -> list[tuple[float, float]]:
    """When each task of an array began and ended that Slurm alone runs."""
    (folder / "bare").mkdir()
    (folder / "bare.py").write_text(SCRIPT.format(seconds=seconds))
    script = f"export CLOUDTUNE_OUTPUT_DIR={folder}/bare/$SLURM_ARRAY_TASK_ID; mkdir $CLOUDTUNE_OUTPUT_DIR; {sys.executable} -I -S {folder}/bare.py"
    cluster.call("sbatch", "--wait", f"--array=0-{count - 1}", "--output=/dev/null", f"--wrap={script}")
    return [_span(path) for path in (folder / "bare").glob("*/span-*")]


def _span(path: Path) -> tuple[float, float]:
    began, ended = path.read_text().split()
    return float(began), float(ended)


def disturb(cluster: SlurmCluster, over: threading.Event) -> None:
    """Requeue tasks, kill the controller and two nodes, one after the other, until the run is over."""
    while not over.wait(8):
        with contextlib.suppress(Exception):  # the controller may be away
            running = [line.split()[0] for line in cluster.queued() if line.endswith("RUNNING")]
            cluster.call("scontrol", "requeue", running[0])
        cluster.stop("slurmctld", signal.SIGKILL)
        over.wait(3)
        cluster.start("slurmctld")
        for node in cluster.nodes[:2]:
            if not over.wait(5):
                cluster.kill_node(node)
                over.wait(8)
                cluster.start(node)


def spans_of(run: Run) -> list[list[tuple[float, float]]]:
    """When each trial began and ended, a span for each time that it came to its end."""
    folder = run.folder / "trials"
    return [[_span(path) for path in sorted(trial.glob("output/span-*"))] for trial in sorted(folder.iterdir())]


def busy_share(spans: list[tuple[float, float]]) -> float:
    """The share of the slots' time from the first beginning to the moment when fewer trials are left than there are slots."""
    ends = sorted(end for _, end in spans)
    first, last = min(start for start, _ in spans), ends[-SLOTS]
    return sum(max(0.0, min(end, last) - start) for start, end in spans) / (SLOTS * (last - first))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--per-task", type=int, default=1, help="trials that a task runs, one after the other")
    parser.add_argument("--bare", action="store_true", help="first the same tasks as one array, by Slurm alone")
    parser.add_argument("--disturb", action="store_true")
    said = parser.parse_args()
    with connected() as cluster, tempfile.TemporaryDirectory() as folder:
        if said.bare:
            bare = bare_array(cluster, Path(folder), said.trials, said.seconds)
            print(f"slots busy: {busy_share(bare):.1%} of {SLOTS} with one array of the same script, by Slurm alone")
        project = Path(folder)
        settings: dict[str, Any] = {"poll": 0.5, "interval": 10.0 if not said.disturb else 2.0}
        lines = ["[profiles.bench]", 'provider = "slurm"', *(f"{name} = {value}" for name, value in settings.items())]
        (project / "cloudtune.toml").write_text("\n".join([*lines, ""]))
        run = api.prepare(
            job(project, said.trials, said.seconds, said.per_task), "bench", project=project, base=project
        )
        over, calls = threading.Event(), Counter[str]()
        with counted(calls):
            beside = threading.Thread(target=disturb, args=(cluster, over))
            if said.disturb:
                beside.start()
            began, cpu = time.perf_counter(), time.process_time()
            state = run.wait()
            took, cpu = time.perf_counter() - began, time.process_time() - cpu
            over.set()
        if said.disturb:
            beside.join()
        report(run, state.value, took, cpu, calls)


def report(run: Run, state: str, took: float, cpu: float, calls: Counter[str]) -> None:
    """Print what was seen."""
    spans = spans_of(run)
    flat = [each for trial in spans for each in trial]
    states = Counter(trial.state.value for trial in run.trials())
    print(
        f"{state} in {took:.1f} s: {dict(states)}; cloudtune's own CPU time {cpu:.1f} s, {cpu / len(spans) * 1e3:.1f} ms a trial"
    )
    print(
        f"lost: {sum(not trial for trial in spans)}; came to their end twice: {sum(len(trial) > 1 for trial in spans)}"
    )
    print(f"attempts: {dict(Counter(trial.attempt for trial in run.trials()))}")
    print(
        f"slots busy: {busy_share(flat):.1%} of {SLOTS}; a trial {statistics.median(end - start for start, end in flat):.2f} s"
    )
    print(f"calls: {dict(calls)}; a minute: {sum(calls.values()) / took * 60:.1f}")


@contextlib.contextmanager
def counted(calls: Counter[str]) -> Any:
    """Count the commands of Slurm that cloudtune calls meanwhile."""
    from cloudtune_slurm import commands

    call = commands.call

    def counting(words: Any, given: str = "") -> str:
        calls[words[0]] += 1
        return call(words, given)

    commands.call = counting
    try:
        yield
    finally:
        commands.call = call


if __name__ == "__main__":
    main()
