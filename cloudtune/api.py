"""The functions of the Python API: plan, submit, attach and runs."""

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from cloudtune.config import config_near
from cloudtune.driver.listeners import gone, listeners_of
from cloudtune.driver.standing import as_it_is
from cloudtune.errors import ConfigError, RunNotFound
from cloudtune.planning.plan import Plan
from cloudtune.provider.emulated import emulate as start_emulators
from cloudtune.provider.emulated import emulated as emulated  # noqa: PLC0414  # is called as `api.emulated`
from cloudtune.provider.emulated import emulators_for as emulators_for  # noqa: PLC0414  # is called as `api.emulators_for`
from cloudtune.provider.preparing import planned, prepare_in, warm_start_notes
from cloudtune.remote.resolving import CONFIG, REGION, config_folder, driven_elsewhere, provider_of, resolve
from cloudtune.run import Run
from cloudtune.spec.job import TuningJob
from cloudtune.store.finding import find_run as find_run  # noqa: PLC0414  # is called as `api.find_run`
from cloudtune.store.projects import project_folder, remember
from cloudtune.store.records import ELSEWHERE, RunRecord, RunState
from cloudtune.store.secrets import masked
from cloudtune.store.store import Store


def plan(job: TuningJob, on: str | None = None, *, project: Path | None = None, base: Path | None = None) -> Plan:
    """Return what a profile's provider will do with a job, without network or credentials; without `base` pure.

    Args:
        job: the spec.
        on: a profile, a provider or an alias; None for the default profile.
        project: the folder whose config counts; None for the one around the working folder.
        base: the folder that the job's relative paths start from, in which its code and data are looked for, and what
            of them is left out, and the table that it learns from; its own config takes precedence over the project's.
            None to read no file.

    Raises:
        ConfigError: there is no such profile or provider.
    """
    provider, _, folder = resolve(on, project, base)
    provider = provider.in_region(provider.region_of(job))
    ported, made = planned(provider, job)
    if base is None:
        return made
    return made.with_notes([*provider.survey(ported, base).all_notes(), *warm_start_notes(ported, folder, base)])


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
    """Plan a job and store the run, without starting it.

    Args:
        job: the spec.
        on: a profile, a provider or an alias; None for the default profile.
        project: the folder of the config and the store; None for the one around the working folder.
        base: the folder that the job's relative paths start from, whose own config takes precedence; None for the
            working folder.
        run_id: the run's id; None for a new one. For an existing id, that run is returned: a repeated call with the
            same id makes one run, not two.
        driver: the profile of a service on which the driver runs, as a small job; None for this machine.
        native: notes that the provider stores with the run.

    Raises:
        UnsupportedError: the provider cannot run the job as it stands.
        SpecError: the job names files that do not exist.
        ConfigError: there is no such profile or provider.
    """
    provider, profile, folder = resolve(on, project, base)
    near = config_near(base, folder)
    notes = {CONFIG: str(near)} if near is not None else {}
    if (region := provider.region_of(job)) is not None:
        provider, notes[REGION] = provider.in_region(region), region
    if driver is None and provider.drives_there:
        driver = profile
    if driver is not None:
        provider = driven_elsewhere(provider, profile, driver, folder, near)
        notes[ELSEWHERE] = driver
    store = Store(folder)
    remember(folder)
    run = prepare_in(
        store,
        provider,
        profile,
        job,
        base=(base or Path.cwd()).resolve(),
        run_id=run_id,
        native={**notes, **(native or {})},
    )
    return Run(run, provider)


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
    """Start a job, which continues without this process; see `prepare` for the other arguments and errors.

    Args:
        emulate: whether to run it in an emulator of the service, which is started by this process and gets all its
            requests to this service until the process ends; see `emulated` for a shorter time.

    Returns:
        The run: wait for it, read it, or `attach` to it later.

    Raises:
        ProviderError: the provider rejected the job.
    """
    if emulate:
        folder = project or project_folder()
        start_emulators(on, driver, folder, config_near(base, folder), job.strategy.services)
    run = prepare(job, on, project=project, base=base, run_id=run_id, driver=driver)
    with run.unless_refused():
        run.start()
    return run


def attach(run_id: str = "latest", on: str | None = None, *, project: Path | None = None) -> Run:
    """Return the run of an id, of the unambiguous beginning of one, or the latest; with `on` also another machine's.

    Args:
        run_id: an id; with `on` also the service's own name of a job.
        on: the profile or provider to ask for a job that the store does not have.
        project: the folder of the store; None for the one around the working folder.

    Raises:
        RunNotFound: no run, or several runs, match the id.
        ConfigError: the provider to ask is not installed. That of a run in the store need not be, to read it.
    """
    folder = project or project_folder()
    try:
        store = find_run(run_id, folder) if on is None else Store(folder).run(run_id)
    except RunNotFound:
        if on is None:
            raise
        return _adopt(run_id, on, folder)
    return Run(store, provider_of(store.record(), store.store.project))


@contextlib.contextmanager
def emulated_for(job: TuningJob, on: str | None, base: Path | None, project: Path | None) -> Iterator[None]:
    """Start the emulators that a job needs on a profile, as `emulated` does, by the config that counts where its paths start from `base`."""
    folder = project or project_folder()
    with emulated(on, project=folder, near=config_near(base, folder), services=job.strategy.services):
        yield


def check_detachable(run: Run, *, detach: bool) -> None:
    """Raise ConfigError if a run is to continue without this process, and its emulator is gone; call it before the run is changed."""
    if detach and run.lost_emulators and not run.leads_to_emulators:
        starts = " and ".join(f"cloudtune emulate {name}" for name in gone(run.record))
        raise ConfigError(
            f"the emulator of {run.id} is gone, and a new one would end with this command; leave --detach away, or start one "
            f"({starts}) and set the variables that it prints"
        )


@contextlib.contextmanager
def revived(run: Run, *, detach: bool = False) -> Iterator[None]:
    """Move a run whose emulator is gone to a new one, which ends with the context; do nothing for other runs.

    If the environment of this process names an emulator, the run moves to that one instead.

    Args:
        run: the run.
        detach: whether the run continues without this process, which it cannot in an emulator started here.

    Raises:
        ConfigError: there is no emulator of its service; or `detach` needs one that outlives this process.
    """
    if not run.lost_emulators:
        yield
        return
    if run.leads_to_emulators:
        run.revive()
        yield
        return
    check_detachable(run, detach=detach)
    record = run.record
    with emulated(record.profile, driver=record.native.get(ELSEWHERE), project=run.project, near=config_folder(record)):
        run.revive()
        yield


def _adopt(name: str, on: str, project: Path) -> Run:
    """Store a run that was started on another machine or outside of cloudtune."""
    provider, profile, folder = resolve(on, project)
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
        job=json.dumps(masked(job).to_data(portable=True)),
        plan=json.dumps(provider.plan(job).to_data()),
        state=RunState.RUNNING,
        created=time.time(),
        native={"base": str(folder), "seed": "0", **native},
        emulators=listeners_of(provider.emulators()),
    )
    remember(folder)
    return Run(store.create(record), provider)


def runs(*, project: Path | None = None) -> list[RunRecord]:
    """Return the readable runs of the project, the newest first, as the store has them; asks no service."""
    store = Store(project or project_folder())
    return [as_it_is(store.run(record.id)) for record in store.records()]
