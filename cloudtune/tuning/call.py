"""The function `tune`."""

import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from cloudtune import api
from cloudtune.errors import NoGoodTrial
from cloudtune.looking.progress import display_for_python
from cloudtune.plugins.entry_points import DEFAULT
from cloudtune.results.progress import Watcher
from cloudtune.run import Run
from cloudtune.space.plain import PlainSpace, spelled_out
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import RunState, TrialState
from cloudtune.tuning.arguments import check_names, check_parameters
from cloudtune.tuning.functions import importable, pickled
from cloudtune.tuning.rehearsal import rehearse as run_rehearsal

_GOOD = (TrialState.COMPLETED, TrialState.PRUNED)


def tune(  # noqa: PLR0913  # each is a choice of its own, by its name
    function: Callable[..., object] | str | Path,
    space: PlainSpace,
    *,
    maximize: str | Sequence[str] = (),
    minimize: str | Sequence[str] = (),
    trials: int | None = None,
    parallel: int = 1,
    strategy: str | Mapping[str, Any] | Any = "auto",  # any model of strategies.Strategy
    on: str | None = None,
    emulate: bool = False,
    rehearse: bool = False,
    isolate: bool = False,
    name: str | None = None,
    run_id: str | None = None,
    project: Path | None = None,
    quiet: bool = False,
    on_failure: Literal["raise", "return"] = "raise",
    watcher: Watcher | None = None,
    **fields: Any,  # further fields of the job
) -> Run:
    """Tune a Python function or a script, and return when the run has ended.

    A function gets the parameters as keywords and returns the objective's value or a mapping of metrics; it may
    report metrics while it runs by `cloudtune.trial.report`. On this machine it may be a lambda or defined in a notebook;
    elsewhere it must stand in a file, whose folder goes along. A script gets the parameters as options.

    A terminal shows the progress as ``cloudtune run`` does, a notebook as a view that updates; elsewhere nothing is shown.

    Args:
        function: what to tune; a text or a path names a Python script, whose folder goes along.
        space: parameters by name: ``(1e-4, 1e-1, "log")``, ``range(2, 9)``, ``["relu", "gelu"]``, or models such as
            ``Float(1e-4, 1, log=True)``; see `cloudtune.space.plain.spelled_out`.
        maximize: the metric, or metrics, to make large.
        minimize: the metric, or metrics, to make small.
        trials: number of trials; None only for a grid.
        parallel: number of trials at the same time.
        strategy: its type, or a strategy with its settings, e.g. ``{"type": "bayesian", "seed": 7}``.
        on: a profile, a provider or an alias such as ``aws``; None for this machine, whatever the config says.
        emulate: whether to run it in an emulator of the service, on this machine.
        rehearse: whether to run one trial on this machine first, or in an emulator where this machine cannot, and to go on only
            if it reports the objective; no service is asked before.
        isolate: whether each trial of a function has a process of its own on this machine (costs some milliseconds a
            trial) instead of a worker that runs many.
        name: of the job; None for the function's or the script's.
        run_id: of the run; that of an interrupted run resumes it.
        project: the folder of the store; None for the one around the working folder.
        quiet: whether to show no progress.
        on_failure: what to do if no trial succeeds: raise an error, or return the run all the same.
        watcher: called with the run's progress.
        **fields: further fields of the job, e.g. ``require=["batch * width <= 4096"]`` for the trials that are allowed,
            ``stopping={"type": "median"}``, ``limits={"time": "1h"}`` or
            ``constraints={"metric": "latency_ms", "max": 50}``, which the best trial must keep.

    Raises:
        TypeError: an argument has another name here; the function does not take the space's parameters, or cannot be
            taken along to where it is to run.
        SpecError: the space or another argument is not valid.
        NotLaunched: the rehearsal's trial failed, or reported no objective; says why.
        NoGoodTrial: every trial ended without a result; `on_failure` says otherwise.
        FileNotFoundError: there is no such script.

    Returns:
        The run. Its state is INTERRUPTED if the user pressed Ctrl-C (once: the running trials have ended; twice: they
        were stopped); a call with its `run_id` resumes it.
    """
    check_names(fields, maximize, minimize)
    place = DEFAULT if on is None else on
    program = (
        _script(Path(function)) if isinstance(function, str | Path) else _function(function, here=place == DEFAULT)
    )
    limits = dict(fields.pop("limits", {}))
    own = {DEFAULT: {"isolate": isolate, **fields.pop(DEFAULT, {})}} if place == DEFAULT and callable(function) else {}
    job = TuningJob.from_data(
        {
            "name": name or program.name,
            "trial": {**program.trial, **_plain(fields.pop("trial", {}))},
            "objective": [
                *({"metric": metric, "goal": "maximize"} for metric in _names(maximize)),
                *({"metric": metric, "goal": "minimize"} for metric in _names(minimize)),
            ],
            "space": _plain(spelled_out(space, "tune")),
            "strategy": {"type": strategy} if isinstance(strategy, str) else _plain(strategy),
            "limits": {"parallel": parallel, **({} if trials is None else {"trials": trials}), **limits},
            **own,
            **{key: _plain(value) for key, value in fields.items()},
        },
        "tune",
    )
    if callable(function):
        check_parameters(function, job.space)
    if rehearse:
        prepare = partial(program.prepare, project=project, run_id=None)
        run_rehearsal(job, place, project=project, base=program.base, prepare=prepare)
    with api.emulated_for(job, on, program.base, project) if emulate else contextlib.nullcontext():
        run = program.prepare(job, place, project=project, run_id=run_id)
        with run.unless_refused(), display_for_python(run, quiet=quiet) as shown:
            run.wait(_both(shown, watcher))
    if on_failure == "raise":
        _check_that_one_succeeded(run)
    return run


class _Program:
    """What is tuned: where it lies, how a trial calls it, and what is kept with the run."""

    def __init__(self, name: str, trial: dict[str, Any], base: Path | None = None, pickle: bytes | None = None) -> None:
        self.name, self.trial, self.base = re.sub(r"\W", "_", name).strip("_") or "function", trial, base
        self._pickle = pickle

    def prepare(self, job: TuningJob, on: str | None, *, project: Path | None, run_id: str | None) -> Run:
        native = {} if self._pickle is None else {"pickle": "function.pkl"}
        run = api.prepare(job, on, project=project, base=self.base, run_id=run_id, native=native)
        if self._pickle is not None:
            (run.folder / "function.pkl").write_bytes(self._pickle)
        return run


def _script(file: Path) -> _Program:
    if not file.is_file():
        raise FileNotFoundError(f"tune() found no script {file}; the path starts at the working folder, {Path.cwd()}")
    return _Program(file.stem, {"source": ".", "command": f"python {file.name}"}, file.resolve().parent)


def _function(function: Callable[..., object], *, here: bool) -> _Program:
    label = getattr(function, "__name__", type(function).__name__)
    if here:
        named = f"{function.__module__}:{re.sub(r'[^0-9A-Za-z_]', '_', label)}"
        return _Program(label, {"function": named}, pickle=pickled(function))
    folder, named = importable(function)
    return _Program(label, {"source": ".", "function": named}, folder)


def _check_that_one_succeeded(run: Run) -> None:
    trials = run.trials()
    failed = [trial for trial in trials if trial.state is TrialState.FAILED]
    if run.state is RunState.INTERRUPTED or not failed or any(trial.state in _GOOD for trial in trials):
        return
    raise NoGoodTrial(
        f"no trial of {run.id} succeeded; trial {failed[0].number} failed: {failed[0].reason or 'without a reason'} "
        '(on_failure="return" returns the run all the same)',
        run,
    )


def _both(shown: Watcher | None, watcher: Watcher | None) -> Watcher | None:
    if shown is None or watcher is None:
        return shown or watcher

    def both(progress: Any) -> None:
        shown(progress)
        watcher(progress)

    return both


def _names(metrics: str | Sequence[str]) -> Sequence[str]:
    return [metrics] if isinstance(metrics, str) else metrics


def _plain(value: Any) -> Any:
    """Return models as plain data, so that all mistakes are found and reported by one validation."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
