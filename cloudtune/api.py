"""What a user calls from Python: plan, submit, attach, runs and tune."""

import atexit
import contextlib
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cloudtune.config import load_profile, mounts, project_folder
from cloudtune.driving import ELSEWHERE
from cloudtune.errors import RunNotFound, SpecError
from cloudtune.job import Objective, TuningJob
from cloudtune.parameters import Parameter
from cloudtune.plan import Plan
from cloudtune.private import masked
from cloudtune.provider import Provider, Watcher, load_provider
from cloudtune.run import Run
from cloudtune.states import RunRecord, RunState
from cloudtune.store import Store


def plan(job: TuningJob, on: str | None = None, *, project: Path | None = None, base: Path | None = None) -> Plan:
    """What a profile's provider will do with a job: no network, no credentials, and without `base` pure.

    Args:
        job: the spec.
        on: a profile, a provider or an alias; None for the default profile.
        project: the folder whose config counts; None for the one around the working folder.
        base: the folder that the job's relative paths start from, to look for its code and data, and for what of
            them stays here; None for no look at any file.

    Raises:
        ConfigError: there is no such profile or provider.
    """
    provider, _, _ = _resolve(on, project)
    planned = provider.plan(job)
    return planned if base is None else planned.with_notes(provider.survey(job, base).all_notes())


def prepare(
    job: TuningJob,
    on: str | None = None,
    *,
    project: Path | None = None,
    base: Path | None = None,
    run_id: str | None = None,
    driver: str | None = None,
    native: Mapping[str, str] | None = None,
) -> Run:
    """Plans a job and writes the run down, without starting it.

    Args:
        job: the spec.
        on: a profile, a provider or an alias; None for the default profile.
        project: the folder of the config and the store; None for the one around the working folder.
        base: the folder that the job's relative paths start from; None for the working folder.
        run_id: the run's id; None for a new one. An id that is taken already gives that run, so that whoever
            repeats a call with the same id makes one run, not two.
        driver: the profile of a service on which the driver shall run, as a small job; None for this machine.
        native: what the provider shall remember.

    Raises:
        UnsupportedError: the provider cannot run the job as it stands.
        SpecError: the job names files that are not there.
        ConfigError: there is no such profile or provider.
    """
    provider, profile, folder = _resolve(on, project)
    if driver is not None:
        provider = _driven_elsewhere(provider, profile, driver, folder)
        native = {ELSEWHERE: driver, **(native or {})}
    return prepare_in(
        Store(folder), provider, profile, job, base=(base or Path.cwd()).resolve(), run_id=run_id, native=native
    )


def prepare_in(
    store: Store,
    provider: Provider,
    profile: str,
    job: TuningJob,
    *,
    base: Path,
    run_id: str | None = None,
    native: Mapping[str, str] | None = None,
) -> Run:
    """What `prepare` does, for a provider that is there already.

    Args:
        store: where the run is written down.
        provider: made from the profile.
        profile: its name.
        job: the spec.
        base: the folder that the job's relative paths start from.
        run_id: the run's id; None for a new one.
        native: what the provider shall remember.

    Raises:
        UnsupportedError: the provider cannot run the job as it stands.
        SpecError: the job names files that are not there.
    """
    if run_id is not None:
        with contextlib.suppress(RunNotFound):  # as it should be: the id is new
            return Run(store.run(run_id), provider)
    found = provider.survey(job, base, pickled="pickle" in (native or {}))
    planned = provider.plan(job).with_notes(found.notes)
    planned.refuse(strict=job.strict)
    problems = [*found.problems, *provider.verify(job, base)]
    if problems:
        raise SpecError(problems)
    seed = getattr(job.strategy, "seed", None)
    record = RunRecord(
        id=run_id or f"{job.name}-{secrets.token_hex(4)}",
        name=job.name,
        provider=planned.provider,
        profile=profile,
        job=json.dumps(masked(job).to_data()),
        plan=json.dumps(planned.to_data()),
        created=time.time(),
        native={
            "base": str(base),
            "seed": str(secrets.randbelow(2**31) if seed is None else seed),
            **(native or {}),
        },
    )
    run = store.create(record)
    provider.prepare(run, job)
    return Run(run, provider)


@contextlib.contextmanager
def emulated(
    on: str | None = None, *, driver: str | None = None, project: Path | None = None
) -> Iterator[Mapping[str, str]]:
    """An emulator of a profile's service: within the context, whatever this process does there goes to the emulator.

    Of several profiles together each service has its own; what runs on this machine needs none.

    Args:
        on: a profile, a provider or an alias; None for the default profile.
        driver: the profile of a driver that runs elsewhere; None for none.
        project: the folder whose config counts; None for the one around the working folder.

    Yields:
        The environment variables that lead to the emulator, which are set meanwhile, also for processes started here.

    Raises:
        ConfigError: there is no such profile or provider, or no emulator of it.
    """
    folder = (project or project_folder()).resolve()
    with contextlib.ExitStack() as emulators:
        variables: dict[str, str] = {}
        for name in _to_be_emulated(on, driver, folder):
            variables |= emulators.enter_context(load_provider(name).emulator(mounts(folder)))
        before = {name: os.environ.get(name) for name in variables}
        os.environ.update(variables)
        leading_to_emulators.update(variables)
        try:
            yield variables
        finally:
            for name in variables:
                leading_to_emulators.pop(name, None)
            for name, value in before.items():
                os.environ.pop(name)
                os.environ.update({} if value is None else {name: value})


leading_to_emulators: dict[str, str] = {}
"""The environment variables by which this process finds the emulators that it started."""


def _to_be_emulated(on: str | None, driver: str | None, project: Path) -> list[str]:
    """The providers of profiles whose services have an emulator; the first one, if none has, to be refused."""
    profiles = [load_profile(on, project), *([load_profile(driver, project)] if driver is not None else [])]
    names = list(dict.fromkeys(name for profile in profiles for name in profile.providers))
    return [name for name in names if load_provider(name).emulated] or names[:1]


_emulators = contextlib.ExitStack()
"""The emulators that `submit` started; they end with this process."""

_emulated: set[str] = set()
"""The providers that have one."""


def _emulate(on: str | None, driver: str | None, project: Path | None) -> None:
    needed = _to_be_emulated(on, driver, (project or project_folder()).resolve())
    for provider in [name for name in needed if name not in _emulated]:
        if not _emulated:
            atexit.register(_emulators.close)
        _emulators.enter_context(emulated(provider, project=project))
        _emulated.add(provider)


def submit(
    job: TuningJob,
    on: str | None = None,
    *,
    project: Path | None = None,
    base: Path | None = None,
    run_id: str | None = None,
    driver: str | None = None,
    emulate: bool = False,
) -> Run:
    """Starts a job, which goes on without this process; see `prepare` for the arguments and errors.

    Args:
        emulate: whether to run it in an emulator of the service, which is started here and lives, with all that
            goes to this service, until this process ends; see `emulated` for a shorter time.

    Returns:
        The handle: wait for it, look at it, or leave it and `attach` later.

    Raises:
        ProviderError: the provider did not take the job.
    """
    if emulate:
        _emulate(on, driver, project)
    run = prepare(job, on, project=project, base=base, run_id=run_id, driver=driver)
    run.start()
    return run


def attach(run_id: str = "latest", on: str | None = None, *, project: Path | None = None) -> Run:
    """The run of an id, of the unambiguous beginning of one, or the latest; with `on` also one of another machine.

    Args:
        run_id: an id; with `on` also the service's own name of a job.
        on: the profile or provider to ask for a job that the store does not know.
        project: the folder of the store; None for the one around the working folder.

    Raises:
        RunNotFound: none, or several, answer to it.
        ConfigError: its provider is not installed.
    """
    folder = project or project_folder()
    try:
        store = Store(folder).run(run_id)
    except RunNotFound:
        if on is None:
            raise
        return _adopt(run_id, on, folder)
    record = store.record()
    try:
        settings = load_profile(record.profile, folder).settings
    except ValueError:  # the profile has been taken away since; the run still can be read
        settings = {}
    provider = load_provider(record.provider)(settings, mounts(folder))
    if ELSEWHERE in record.native:
        provider = _driven_elsewhere(provider, record.profile, record.native[ELSEWHERE], folder)
    return Run(store, provider)


def _driven_elsewhere(provider: Provider, profile: str, driver: str, project: Path) -> Provider:
    from cloudtune.remote.provider import RemoteDriver  # noqa: PLC0415  # few runs have one

    driving, _, _ = _resolve(driver, project)
    needed = load_profile(profile, project).providers
    return RemoteDriver(provider, (provider.name, *needed), driving, driver)


def _adopt(name: str, on: str, project: Path) -> Run:
    """Writes down a run that somebody started elsewhere."""
    provider, profile, folder = _resolve(on, project)
    store = Store(folder)
    known = next((record.id for record in store.records() if record.native.get("job") == name), None)
    if known is not None:
        return Run(store.run(known), provider)
    job, native = provider.find(name)
    record = RunRecord(
        id=name,
        name=job.name,
        provider=provider.name,
        profile=profile,
        job=json.dumps(masked(job).to_data()),
        plan=json.dumps(provider.plan(job).to_data()),
        state=RunState.RUNNING,
        created=time.time(),
        native={"base": str(folder), "seed": "0", **native},
    )
    return Run(store.create(record), provider)


def runs(*, project: Path | None = None) -> list[RunRecord]:
    """All runs of the project, the newest first."""
    return Store(project or project_folder()).records()


def tune(
    function: Callable[..., object],
    space: Mapping[str, Parameter | Sequence[Parameter] | Mapping[str, Any]],
    *,
    maximize: str | Sequence[str] = (),
    minimize: str | Sequence[str] = (),
    trials: int | None = None,
    parallel: int = 1,
    strategy: str | Mapping[str, Any] | Any = "bayesian",  # any model of strategies.Strategy
    isolate: bool = False,
    name: str | None = None,
    run_id: str | None = None,
    project: Path | None = None,
    watcher: Watcher | None = None,
    **fields: Any,  # further fields of the job
) -> Run:
    """Tunes a Python function on this machine, and returns when the run has ended.

    The function gets the parameters as keywords and returns the objective's value or a mapping of metrics; it may
    report on the way by `cloudtune.trial.report`. It may be a lambda or defined in a notebook.

    Args:
        function: what to tune.
        space: parameters by name, such as ``Float(low=1e-4, high=1, scale="log")``.
        maximize: the metric, or metrics, to make large.
        minimize: the metric, or metrics, to make small.
        trials: how many; None only for a grid.
        parallel: how many at the same time.
        strategy: its type, or a strategy with its settings, e.g. ``{"type": "bayesian", "seed": 7}``.
        isolate: whether each trial has a process of its own (costs some milliseconds a trial) instead of a
            worker that takes many.
        name: of the job; None for the function's.
        run_id: of the run; that of an interrupted run goes on with it.
        project: the folder of the store; None for the one around the working folder.
        watcher: is told of progress.
        **fields: further fields of the job, e.g. ``stopping={"type": "median"}`` or ``limits={"time": "1h"}``.

    Raises:
        SpecError: the space or another argument is not valid.

    Returns:
        The run. Its state is INTERRUPTED if somebody pressed Ctrl-C (once: the running trials have ended; twice: they
        were stopped); a call with its `run_id` goes on with it.
    """
    import cloudpickle  # noqa: PLC0415  # only here are functions sent

    label = re.sub(r"\W", "_", getattr(function, "__name__", type(function).__name__))
    objectives = [
        *(Objective(metric=metric, goal="maximize") for metric in _names(maximize)),
        *(Objective(metric=metric, goal="minimize") for metric in _names(minimize)),
    ]
    limits = dict(fields.pop("limits", {}))
    job = TuningJob.from_data(
        {
            "name": name or label.strip("_") or "function",
            "trial": {"function": f"{function.__module__}:{label}"},
            "objective": [objective.model_dump() for objective in objectives],
            "space": {key: _plain(entry) for key, entry in space.items()},
            "strategy": {"type": strategy} if isinstance(strategy, str) else _plain(strategy),
            "limits": {"parallel": parallel, **({} if trials is None else {"trials": trials}), **limits},
            "local": {"isolate": isolate, **fields.pop("local", {})},
            **{key: _plain(value) for key, value in fields.items()},
        },
        "tune",
    )
    run = prepare(job, "local", project=project, run_id=run_id, native={"pickle": "function.pkl"})
    (run.folder / "function.pkl").write_bytes(cloudpickle.dumps(function))
    run.wait(watcher)
    return run


def _names(metrics: str | Sequence[str]) -> Sequence[str]:
    return [metrics] if isinstance(metrics, str) else metrics


def _plain(value: Any) -> Any:
    """Models as plain data, so that all mistakes are found and told in one way."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _resolve(on: str | None, project: Path | None) -> tuple[Provider, str, Path]:
    folder = (project or project_folder()).resolve()
    profile = load_profile(on, folder)
    return load_provider(profile.provider)(profile.settings, mounts(folder)), profile.name, folder
