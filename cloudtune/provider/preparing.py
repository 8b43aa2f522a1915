"""Prepare a run in the store from a job, without starting it."""

import json
import secrets
import time
from collections.abc import Mapping
from pathlib import Path

from cloudtune.driver.listeners import check_served, listeners_of
from cloudtune.driver.made_by import MADE_BY, versions
from cloudtune.errors import RunNotFound, SpecError
from cloudtune.planning.plan import Note, Plan, Support
from cloudtune.provider.choosing import adapted_to
from cloudtune.provider.interface import Provider
from cloudtune.spec.job import TuningJob
from cloudtune.store.network import store_warning
from cloudtune.store.records import WRITTEN, RunRecord
from cloudtune.store.secrets import masked
from cloudtune.store.store import RunStore, Store


def planned(provider: Provider, job: TuningJob) -> tuple[TuningJob, Plan]:
    """Return a job in the words of a provider's service, with a strategy that is named, and the plan of it as one of the job as written, with prices.

    No network and no credentials are needed; of files only price lists are read.

    Raises:
        ConfigError: a config file's prices are not valid, or those that were fetched are damaged.
    """
    adapted = adapted_to(provider, job)
    return adapted.job, adapted.on(provider.rated(provider.plan(adapted.job), adapted.job))


def warm_start_notes(job: TuningJob, project: Path, base: Path) -> list[Note]:
    """Return a note that refuses the job if the runs or the table that it learns from are not there, or cannot be read.

    Args:
        job: the spec.
        project: the folder whose store is searched first for the runs.
        base: the folder that the table's path is relative to.
    """
    if job.warm_start is None:
        return []
    from cloudtune.driver.warm_start import known_trials  # noqa: PLC0415  # few jobs have a warm start

    try:
        known_trials(job, project, base)
    except SpecError as error:
        return [Note(problem.path, Support.UNSUPPORTED, problem.message) for problem in error.problems]
    except RunNotFound as error:
        return [Note("warm_start.runs", Support.UNSUPPORTED, str(error))]
    return []


def prepare_in(
    store: Store,
    provider: Provider,
    profile: str,
    job: TuningJob,
    *,
    base: Path,
    run_id: str | None = None,
    native: Mapping[str, str] | None = None,
) -> RunStore:
    """Plan a job and create its run in the store, without starting it.

    Args:
        store: where the run is written down.
        provider: made from the profile.
        profile: its name.
        job: the spec.
        base: the folder that the job's relative paths start from.
        run_id: the run's id; None for a new one.
        native: the provider's notes; see `RunRecord.native`.

    Raises:
        UnsupportedError: the provider cannot run the job as it stands.
        SpecError: the job names files that are not there.
    """
    if run_id is not None and store.path.exists() and run_id in store.ids():  # not one of which it is the beginning
        return RunStore(store, run_id)
    ported, plan = planned(provider, job)
    found = provider.survey(ported, base, pickled="pickle" in (native or {}))
    plan = plan.with_notes(found.notes)
    plan.refuse(strict=job.strict)
    problems = [*found.problems, *provider.verify(ported, base)]
    if problems:
        raise SpecError(problems)
    emulators = provider.emulators()
    check_served(emulators)
    seed = getattr(job.strategy, "seed", None)
    record = RunRecord(
        id=run_id or f"{job.name}-{secrets.token_hex(4)}",
        name=job.name,
        provider=plan.provider,
        profile=profile,
        job=_kept(ported),
        plan=json.dumps(plan.to_data()),
        created=time.time(),
        native={
            "base": str(base),
            "seed": str(secrets.randbelow(2**31) if seed is None else seed),
            MADE_BY: json.dumps(versions()),
            **({} if ported is job else {WRITTEN: _kept(job)}),
            **(native or {}),
        },
        emulators=listeners_of(emulators),
    )
    run = store.create(record)
    try:
        warning = store_warning(store.folder)
        if warning:
            run.write(events=[(None, warning)])
        provider.prepare(run, ported)
        store.checkpoint()
    except BaseException:
        run.remove()  # nothing has begun
        raise
    return run


def _kept(job: TuningJob) -> str:
    """Return a job as the store keeps it."""
    return json.dumps(masked(job).to_data(portable=True))
