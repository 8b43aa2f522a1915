"""What a trial costs on a Ray cluster, beside bare Ray and Ray Tune, all measured in the same run on the same cluster.

    python benchmarks/ray.py [--quick]

The cluster is two nodes on this machine, which start first. Ray Tune is left out where it cannot be imported
(`pip install 'ray[tune]'`). Times vary between machines, ratios much less.
"""

import argparse
import contextlib
import io
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from cloudtune import TuningJob, api
from cloudtune.store.records import TrialState

PARALLEL = 2
COMMAND = [sys.executable, "-I", "-S", "-c", "print('score=1.5')"]
FUNCTION = "def nothing(x):\n    return x\n"


def row(what: str, value: str, against: str = "") -> None:
    print(f"{what:<60}{value:>14}  {against}", flush=True)


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:,.1f} ms"


def in_flight(ray: Any, calls: Iterator[Callable[[], Any]]) -> Iterator[float]:
    """Keeps calls under way, as many as trials at once; gives the moment at which each has ended."""
    running = {call(): None for _, call in zip(range(PARALLEL), calls, strict=False)}
    while running:
        ready, _ = ray.wait(list(running), num_returns=1)
        ray.get(ready[0])
        del running[ready[0]]
        yield time.perf_counter()
        following = next(calls, None)
        if following is not None:
            running[following()] = None


def each_and_first(start: float, moments: Iterable[float]) -> tuple[float, float]:
    """Seconds a trial, after the first ones; and until the first has ended."""
    ends = list(moments)
    warm = ends[PARALLEL - 1 :]
    return (warm[-1] - warm[0]) / (len(warm) - 1), ends[0] - start


def bare_tasks(ray: Any, count: int, body: Callable[[], object]) -> tuple[float, float]:
    task = ray.remote(body)
    start = time.perf_counter()
    return each_and_first(start, in_flight(ray, iter([task.remote] * count)))


def nothing_at_all() -> float:
    return 1.5


def bare_command() -> int:
    return subprocess.run([*COMMAND, "--x", "0.5"], capture_output=True, check=True).returncode


def cloudtune(trials: int, program: dict[str, Any], **settings: Any) -> tuple[float, float]:
    """A run of cloudtune, with its store, its folders, and its end."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        (project / "src").mkdir()
        (project / "src" / "work.py").write_text(FUNCTION)
        job = TuningJob.from_data(
            {
                "name": "bench",
                "trial": {"source": "src", **program},
                "objective": {"metric": "score", "goal": "maximize"},
                "space": {"x": {"type": "float", "low": 0, "high": 1}},
                "strategy": {"type": "random", "seed": 1},
                "limits": {"trials": trials, "parallel": PARALLEL},
                "ray": settings,
            }
        )
        run = api.prepare(job, "ray", project=project, base=project)
        clock = time.time() - time.perf_counter()
        start = time.perf_counter()
        run.wait()
        done = run.trials()
        assert all(trial.state is TrialState.COMPLETED for trial in done), done[0].reason
        return each_and_first(start, sorted((trial.ended or 0) - clock for trial in done))


def ray_tune(trials: int, *, reuse: bool) -> tuple[float, float]:
    """The same by Ray Tune; a class, for a function has no actor that could be reused."""
    from ray import tune

    moments: list[float] = []

    class Ends(tune.Callback):
        def on_trial_complete(self, *_: Any, **__: Any) -> None:
            moments.append(time.perf_counter())

    class Nothing(tune.Trainable):
        def step(self) -> dict[str, Any]:
            return {"score": self.config["x"], "done": True}

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            """There is nothing to keep."""

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self.config = new_config
            return True

    with tempfile.TemporaryDirectory() as folder, quiet():
        tuner = tune.Tuner(
            Nothing,
            param_space={"x": tune.uniform(0, 1)},
            tune_config=tune.TuneConfig(
                metric="score", mode="max", num_samples=trials, max_concurrent_trials=PARALLEL, reuse_actors=reuse
            ),
            run_config=tune.RunConfig(storage_path=folder, verbose=0, callbacks=[Ends()]),
        )
        start = time.perf_counter()
        tuner.fit()
        return each_and_first(start, moments)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    for name in ("ray", "ray.tune"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def compare(ray: Any, scale: int) -> None:
    bare, bare_first = bare_tasks(ray, 2000 // scale, nothing_at_all)
    row("a bare Ray task that does nothing", milliseconds(bare), f"first after {bare_first:.1f} s")
    pooled, first = cloudtune(2000 // scale, {"function": "work:nothing"}, isolate=False)
    row(
        "cloudtune, a function, isolate: false",
        milliseconds(pooled),
        f"{pooled / bare:.1f} x; first after {first:.1f} s",
    )
    own, first = cloudtune(300 // scale, {"function": "work:nothing"})
    row(
        "cloudtune, a function in a process of its own",
        milliseconds(own),
        f"{own / bare:.1f} x; first after {first:.1f} s",
    )
    command, first = bare_tasks(ray, 200 // scale, bare_command)
    row("a bare Ray task that runs a command", milliseconds(command), f"first after {first:.1f} s")
    ours, first = cloudtune(200 // scale, {"command": COMMAND})
    row("cloudtune, the same command", milliseconds(ours), f"{ours / command:.1f} x; first after {first:.1f} s")
    try:
        from ray import tune  # noqa: F401
    except ImportError as error:
        row("Ray Tune", "-", f"cannot be imported: {error}")
        return
    for reuse, trials in ((False, max(6, 20 // scale)), (True, max(20, 100 // scale))):
        theirs, first = ray_tune(trials, reuse=reuse)
        against = f"{theirs / pooled:,.0f} x cloudtune's function; first after {first:.1f} s"
        row(f"Ray Tune, {'reused actors' if reuse else 'as it comes'}", milliseconds(theirs), against)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the trials")
    scale = 10 if parser.parse_args().quick else 1
    here = Path(__file__).resolve().parent
    sys.path[:] = [
        str(here.parent),
        *(path for path in sys.path if Path(path).resolve() != here),
    ]  # this file is no ray
    import ray_clusters

    with ray_clusters.cluster() as made:
        ray_clusters.add_node(made, "second")
        ray_clusters.connect(made.address)
        import ray

        os.environ["RAY_ADDRESS"] = made.address
        print(f"Ray {ray.__version__}, {PARALLEL} trials at once, {os.cpu_count()} processors")
        compare(ray, scale)


if __name__ == "__main__":
    main()
