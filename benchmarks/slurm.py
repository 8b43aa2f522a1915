"""How busy cloudtune keeps a Slurm cluster, and what it asks of its controller.

    python benchmarks/slurm.py [--trials 500] [--seconds 1] [--parallel 150] [--per-task 0] [--bare] [--disturb]

The cluster is four nodes on this machine with two slots each, of real slurmctld and slurmd, which start first. With `--disturb` nodes are
killed, tasks are requeued and the controller is killed meanwhile. Every trial writes when it began and ended: a slot is busy between the two;
what Slurm and Python take before and after counts as idle, and so does the time before the first trial and after the last one of each slot.
On a machine that is busy with other work, `chrt -r 1` before the command takes precedence over that. Figures: docs/providers/slurm.md.
"""

import argparse
import contextlib
import itertools
import random
import signal
import statistics
import subprocess
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
from cloudtune.process.setting import TrialFiles
from cloudtune.run import Run
from cloudtune.store.records import TrialState
from cloudtune_slurm.claims import starts_of

SLOTS = 8
BATCH = 100
SCRIPT = """\
import os, pathlib, time
began = time.time()
place = pathlib.Path(os.environ["CLOUDTUNE_OUTPUT_DIR"])
time.sleep({seconds})
(place / f"span-{{time.time_ns()}}").write_text(f"{{began}} {{time.time()}}")
print("score=1.5")
"""


def job(project: Path, trials: int, seconds: float, per_task: int, parallel: int) -> TuningJob:
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
            "limits": {"trials": trials, "parallel": parallel},
            "slurm": {"trials_per_task": per_task or None},
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


def disturb(cluster: SlurmCluster, over: threading.Event, seen: list[tuple[float, str]]) -> None:
    """Requeue tasks, kill the controller and two nodes, one after the other, until the run is over; let drained nodes take jobs again.

    Args:
        cluster: which is disturbed.
        over: set when the run is over.
        seen: gets when each disturbance began, and its kind.
    """
    while not over.wait(1):
        for _ in range(4):
            with contextlib.suppress(subprocess.CalledProcessError, IndexError):  # it has ended meanwhile
                running = [line.split()[0] for line in cluster.queued() if line.endswith("RUNNING")]
                seen.append((time.time(), "requeued tasks"))
                cluster.call("scontrol", "requeue", random.choice(running))
            over.wait(1)
        seen.append((time.time(), "killed controllers"))
        cluster.stop("slurmctld", signal.SIGKILL)
        over.wait(2)
        cluster.start("slurmctld")
        for node in random.sample(cluster.nodes, 2):
            if not over.wait(2):
                seen.append((time.time(), "killed nodes"))
                cluster.kill_node(node)
                over.wait(7)  # longer than SlurmdTimeout
                cluster.start(node)
            with contextlib.suppress(subprocess.CalledProcessError):  # the controller is not up yet
                cluster.resume_drained()


def spans_of(run: Run) -> list[list[tuple[float, float]]]:
    """When each trial began and ended, a span for each time that it came to its end."""
    folders = (run.folder / trial.place / "output" for trial in run.trials())
    return [[_span(path) for path in sorted(folder.glob("span-*"))] for folder in folders]


def busy_share(spans: list[tuple[float, float]]) -> float:
    """The share of the slots' time from the first beginning to the moment when fewer trials are left than there are slots."""
    ends = sorted(end for _, end in spans)
    first, last = min(start for start, _ in spans), ends[-SLOTS]
    return sum(max(0.0, min(end, last) - start) for start, end in spans) / (SLOTS * (last - first))


def idle(run: Run) -> str:
    """Where the time of slots went that no trial had: each figure is a median, in seconds."""
    found: dict[tuple[str, str], list[tuple[float, float, float, float]]] = {}
    for trial in run.trials():
        files = TrialFiles(str(run.folder / trial.place), trial.attempt)
        for start, path in zip(starts_of(files), sorted(Path(files.output).glob("span-*")), strict=False):
            if "ended" in start:
                found.setdefault((start["task"], start["node"]), []).append(
                    (start["started"], *_span(path), start["ended"])
                )
    tasks = [sorted(each) for each in found.values()]
    starts = [began - claimed for each in tasks for claimed, began, _, _ in each]
    ends = [noted - ended for each in tasks for _, _, ended, noted in each]
    between = [after[0] - before[3] for each in tasks for before, after in itertools.pairwise(each)]
    parts = {
        "from the claim of a trial to its first line": starts,
        "from its last line to the record of its end": ends,
        "until the next trial is claimed": between,
    }
    said = [f"{name} {statistics.median(each):.3f}" for name, each in parts.items() if each]
    return f"{', '.join(said)}; {len(tasks)} tasks ran {len(starts)} trials"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument(
        "--per-task",
        type=int,
        default=0,
        help="trials that a task runs, one after the other; 0: as their lengths decide",
    )
    parser.add_argument("--parallel", type=int, default=BATCH + BATCH // 2, help="trials that may wait or run at once")
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
            job(project, said.trials, said.seconds, said.per_task, said.parallel),
            "bench",
            project=project,
            base=project,
        )
        over, calls = threading.Event(), Counter[str]()
        seen: list[tuple[float, str]] = []
        with counted(calls):
            beside = threading.Thread(target=disturb, args=(cluster, over, seen))
            if said.disturb:
                beside.start()
            began, cpu = time.perf_counter(), time.process_time()
            state = run.wait()
            took, cpu = time.perf_counter() - began, time.process_time() - cpu
            over.set()
        if said.disturb:
            beside.join()
            print(f"meanwhile: {dict(Counter(kind for _, kind in seen))}")
            twice = [trial[0][1] for trial in spans_of(run) if len(trial) > 1]
            until = [min((at - end for at, _ in seen if at > end), default=float("inf")) for end in twice]
            print(
                f"seconds between the last line of those that ran twice and the next disturbance: {[round(each, 3) for each in until]}"
            )
        report(run, state.value, took, cpu, calls)


def report(run: Run, state: str, took: float, cpu: float, calls: Counter[str]) -> None:
    """Print what was seen."""
    spans = spans_of(run)
    flat = [each for trial in spans for each in trial]
    states = Counter(trial.state.value for trial in run.trials())
    print(
        f"{state} in {took:.1f} s: {dict(states)}; cloudtune's own CPU time {cpu:.1f} s, {cpu / len(spans) * 1e3:.1f} ms a trial"
    )
    completed = [trial.state is TrialState.COMPLETED for trial in run.trials()]
    lost = sum(done and not ends for done, ends in zip(completed, spans, strict=True))
    print(f"lost: {lost + completed.count(False)}; came to their end twice: {sum(len(ends) > 1 for ends in spans)}")
    print(f"attempts: {dict(Counter(trial.attempt for trial in run.trials()))}")
    print(
        f"slots busy: {busy_share(flat):.1%} of {SLOTS}; a trial {statistics.median(end - start for start, end in flat):.2f} s"
    )
    print("idle: " + idle(run))
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
