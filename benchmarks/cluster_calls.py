"""How many calls a run on Kubernetes makes, and how busy it keeps its slots: no-op trials on the emulator.

``python benchmarks/cluster_calls.py --trials 1000 --parallel 64`` prints calls by operation, calls a minute beside those that each trial
needs (its Job, its log), and trials a second. The emulator runs each trial as a process of this machine. With ``--managed`` the run is an
Experiment of Katib, whose controller makes the Jobs.
"""

import argparse
import os
import shlex
import tempfile
import time
from collections import Counter
from pathlib import Path

from cloudtune import TuningJob, api
from cloudtune_kubernetes.emulator import KubernetesEmulator

OF_TRIALS = ("CreateJob", "GetPodLog")
"""Operations that each trial needs: the first once, the other once or twice."""


def main() -> None:
    """Run the trials, and print what they took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--parallel", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=0.0, help="that each trial takes")
    parser.add_argument("--managed", action="store_true", help="by Katib")
    options = parser.parse_args()
    code = f"import sys, time; time.sleep({options.seconds}); print('score =', sys.argv[1].partition('=')[2])"
    word = shlex.quote(code) if options.managed else code  # Katib starts a container's words by a shell
    container = {"name": "trial", "command": ["python3", "-S", "-c", word]}
    job = TuningJob.from_data(
        {
            "name": "calls",
            "trial": {"image": "own:1"},
            "objective": {"metric": "score", "goal": "maximize"},
            "space": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
            "strategy": {"type": "random", "seed": 1},
            "mode": "managed" if options.managed else "driven",
            "limits": {"trials": options.trials, "parallel": options.parallel},
            "kubernetes": {"spec": {"containers": [container]}},
        }
    )
    with tempfile.TemporaryDirectory() as folder, KubernetesEmulator(grace=0.2) as emulator:
        os.environ.update({**emulator.environment, "CLOUDTUNE_KUBERNETES_OUTPUT": "", "CLOUDTUNE_KUBERNETES_POLL": "1"})
        run = api.prepare(job, "kubernetes", project=Path(folder), base=Path(folder))
        began, calls = time.monotonic(), {}

        def watch(_: object) -> None:  # what follows the last trial is the emulator's archive
            calls.update(emulator.calls)

        state = run.wait(watch)
        took, trials = time.monotonic() - began, run.trials()
    ended = [trial for trial in trials if trial.state.value == "completed"]
    others = sum(count for name, count in calls.items() if name not in OF_TRIALS)
    print(
        f"{job.mode}, {state.value}: {len(ended)} of {options.trials} trials completed, {options.parallel} at once, in {took:.1f} s"
    )
    print(f"{len(ended) / took:.1f} trials a second; attempts beyond the first: {sum(t.attempt - 1 for t in trials)}")
    for reason, count in Counter(trial.reason for trial in trials if trial.reason).most_common(3):
        print(f"  {count} for: {reason}")
    print(f"calls beside those of each trial: {others}, {60 * others / took:.1f} a minute")
    for name, count in sorted(calls.items()):
        print(f"  {name:20} {count}")


if __name__ == "__main__":
    main()
