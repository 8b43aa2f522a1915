"""The Slurm provider: plan, drive and end runs whose trials are tasks of job arrays."""

import json
import secrets
import sys
import tarfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudtune
from cloudtune.errors import ProviderError, TrialError
from cloudtune.planning.plan import Plan
from cloudtune.process.setting import Setting
from cloudtune.provider.driven import DrivenProvider
from cloudtune.provider.interface import Finding
from cloudtune.spec.job import TuningJob
from cloudtune.store.secrets import kept_environment
from cloudtune.trial import data_variable
from cloudtune_slurm.capabilities import SUPPORT
from cloudtune_slurm.placement import SlurmJob
from cloudtune_slurm.settings import SlurmSettings
from cloudtune_slurm.translate import PROVIDER, translate

if TYPE_CHECKING:
    from cloudtune.bundle.survey import Where
    from cloudtune.bundle.tree import File
    from cloudtune.driver.launcher import Launcher
    from cloudtune.store.store import RunStore
    from cloudtune_slurm.site import Site

FILES = "files.tar.gz"
"""What the cluster gets of a run, in the run's folder for what is packed, which is emptied when the run has ended."""


class SlurmProvider(DrivenProvider):
    """Runs trials as tasks of job arrays of a Slurm cluster."""

    name = PROVIDER
    summary = "a Slurm cluster"
    support = SUPPORT

    @property
    def _settings(self) -> SlurmSettings:
        return SlurmSettings.of(self.settings, PROVIDER)

    def plan(self, job: TuningJob) -> Plan:
        return translate(job, self._settings, self.mounts)

    def where(self, job: TuningJob) -> "Where":
        from cloudtune.bundle.survey import Where  # noqa: PLC0415  # reading a run looks at no files

        request: Any = self.plan(job).request
        here = not self._settings.host
        inputs = request["data"] if here or request["settings"]["data"] == "shipped" else {}
        return Where(remote=not here, inputs=inputs, python=sys.executable if here else None)

    def check(self) -> list[Finding]:
        from cloudtune_slurm.check import findings  # noqa: PLC0415  # calls Slurm

        return findings(self._settings)

    # Before a run

    def prepare(self, run: "RunStore", job: TuningJob) -> None:
        from cloudtune.provider.repacking import keep_program  # noqa: PLC0415  # only who starts a run packs it

        super().prepare(run, job)
        native = run.record().native
        run.write(columns={"native": {**native, "mark": secrets.token_hex(4)}})
        keep_program(run, job)
        self._pack(run, job)

    def reopen(self, run: "RunStore", job: TuningJob) -> None:
        """Pack what travels again, which is removed when a run ends; the cluster gets it with the next trial."""
        from cloudtune.provider.repacking import check_program  # noqa: PLC0415
        from cloudtune.store.secrets import forget_packed  # noqa: PLC0415

        check_program(run, job)
        super().reopen(run, job)
        forget_packed(run)
        self._pack(run, job)

    def _pack(self, run: "RunStore", job: TuningJob) -> None:
        from cloudtune.bundle.package import add_files  # noqa: PLC0415

        path = _packed(run)
        path.parent.mkdir(mode=0o700)
        with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT, compresslevel=1) as archive:
            for field, below, files in self._travelling(run, job):
                add_files(archive, [replace(file, name=f"{below}/{file.name}") for file in files], field)

    def _travelling(self, run: "RunStore", job: TuningJob) -> "Iterator[tuple[str, str, list[File]]]":
        """Yield what travels: the field of the spec that it comes from, its folder on the cluster, and its files."""
        from cloudtune.bundle.source import source_tree  # noqa: PLC0415
        from cloudtune.bundle.tree import tree_of  # noqa: PLC0415

        base = Path(run.record().native["base"])
        for name, folder in {"cloudtune": Path(cloudtune.__file__), "cloudtune_slurm": Path(__file__)}.items():
            library = tree_of(folder.parent).files
            yield "", f"lib/{name}", [file for file in library if file.name.endswith(".py")]
        if job.trial.source is not None:
            yield "trial.source", "source", list(source_tree(job, base).files)
        request: Any = self.plan(job).request
        for name, place in request["data"].items() if request["settings"]["data"] == "shipped" else ():
            yield f"data.{name}", f"data/{data_variable(name)}", list(tree_of(base / place).files)

    # A site of driven runs

    def launcher(self, run: "RunStore", job: TuningJob) -> "Launcher":
        from cloudtune_slurm.batches import Briefing  # noqa: PLC0415  # only who drives launches
        from cloudtune_slurm.launcher import SlurmLauncher  # noqa: PLC0415

        record, request, settings = run.record(), _request(run), self._settings
        base, here = Path(record.native["base"]), not settings.host and not settings.local
        site = self._site(run)
        output = request["output"] if here else None
        briefing = Briefing(
            setting=_setting(run, job),
            request=request,
            name=_job_name(run),
            environment=kept_environment(run) if job.trial.environment else {},
            data={data_variable(name): _place(name, base / place, request) for name, place in request["data"].items()},
            work=str(base) if here and job.trial.source is None else None,
            outputs=None if output is None else str((base / output).resolve() / run.id),
            python=site.python,
            local=settings.local,
        )
        return SlurmLauncher(site, briefing, settings, _settle(settings, run))

    def _site(self, run: "RunStore") -> "Site":
        from cloudtune_slurm.site import site_of  # noqa: PLC0415

        return site_of(self._settings, f"{run.id}-{run.record().native['mark']}", run.folder, _packed(run))

    def abandon(self, run: "RunStore") -> None:
        from cloudtune_slurm.queue import ending  # noqa: PLC0415

        if run.record().started is None or not run.launched():
            return
        with closing(self._site(run)) as site:
            left = ending(site, _job_name(run))
        if left:
            run.write(events=[(None, f"{left}; end what is left by: scancel --name={_job_name(run)}")])

    def settle(self, run: "RunStore") -> None:
        super().settle(run)
        with closing(self._site(run)) as site:
            try:
                site.call(
                    {"cancel": [f"--name={_job_name(run)}"]}
                )  # what may have arrived twice, or be started once more
                site.remove()
            except ProviderError as error:
                run.write(events=[(None, f"files of the run are left on the cluster: {error}")])

    def fetch(self, run: "RunStore", number: int, target: Path) -> list[Path]:
        job = TuningJob.from_data(json.loads(run.record().job))
        files = _setting(run, job).files(run.existing(number)).copy_output(target)
        if not files:
            raise TrialError(f"trial {number} left no files")
        return files


def _request(run: "RunStore") -> Any:  # as plain data; see `translate`
    return json.loads(run.record().plan)["request"]


def _packed(run: "RunStore") -> Path:
    from cloudtune.bundle.upload import ASSETS  # noqa: PLC0415

    return run.folder / ASSETS / FILES


def _job_name(run: "RunStore") -> str:
    return f"cloudtune-{run.id}-{run.record().native['mark']}"


def _place(name: str, path: Path, request: Any) -> str:
    """Return where the nodes find an input, relative to the run's folder there if it is shipped."""
    if request["settings"]["data"] == "shared":
        return str(path.resolve())
    return f"data/{data_variable(name)}/{path.name if path.is_file() else ''}"


def _settle(settings: SlurmSettings, run: "RunStore") -> float:
    from cloudtune.system.filesystems import network_filesystem  # noqa: PLC0415

    if settings.settle is not None:
        return settings.settle
    place = run.folder if settings.folder is None else Path(settings.folder).expanduser()
    return 60.0 if settings.host or network_filesystem(place) else 2.0


def _setting(run: "RunStore", job: TuningJob) -> Setting:
    """Return the setting of all trials, with paths of this machine, although they run on others."""
    request, limit = _request(run), job.limits.trial_time
    own = SlurmJob.model_validate(request["settings"])
    return Setting(
        job=job,
        run_id=run.id,
        folder=run.folder,
        work=run.folder,
        outputs=None
        if request["output"] is None
        else (Path(run.record().native["base"]) / request["output"]).resolve() / run.id,
        environment={},
        memory=None,
        seconds=None if limit is None else limit.total_seconds(),
        grace=own.grace,
        log_size=own.log_size,
    )
