"""The provider of hosts that are reached by ssh."""

import contextlib
import json
import secrets
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cloudtune
from cloudtune.bundle.package import add_files
from cloudtune.bundle.source import source_tree
from cloudtune.bundle.survey import Where
from cloudtune.bundle.tree import File, tree_of
from cloudtune.bundle.upload import ASSETS
from cloudtune.errors import ProviderError, TrialError
from cloudtune.planning.plan import Ledger, Machines, Plan, Support
from cloudtune.process.machine_launcher import MachineLauncher
from cloudtune.process.setting import Setting
from cloudtune.provider import Finding
from cloudtune.provider.driven import DrivenProvider
from cloudtune.provider.driven_plan import DRIVEN_SUPPORT, driven_request
from cloudtune.provider.repacking import check_program, keep_program
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import TrialState
from cloudtune.store.secrets import forget_packed, kept_environment
from cloudtune.store.store import RunStore
from cloudtune.trial import data_variable
from cloudtune_ssh.host import Host, SshSettings

FILES = "files.tar.gz"
"""What each host of a run gets, in the run's folder ``ASSETS``, which is emptied when the run has ended."""


class SshProvider(DrivenProvider):
    """Runs trials as processes of hosts."""

    name = "ssh"
    summary = "hosts reached by ssh"
    support = {
        **DRIVEN_SUPPORT,
        "trial.source": (Support.ENCODED, "travels to each host once"),
        "trial.source.none": (Support.APPROXIMATE, "no code travels: the trial starts in an empty folder"),
        "output": DRIVEN_SUPPORT["output.remote"],
        "compute.cpus": (Support.EXACT, ""),
        "compute.accelerators": (
            Support.UNCHECKED,
            "which GPUs a host has is found there; trials on a host without them get none",
        ),
        "compute.memory": (Support.APPROXIMATE, "so much is kept for a trial, but one that takes more is not ended"),
    }

    def plan(self, job: TuningJob) -> Plan:
        ledger = Ledger(self.name)
        request = driven_request(ledger, job, self.support, self.mounts)
        ledger.carry("compute.cpus", "cpus")
        if self.name in job.native:
            message = "settings of hosts are those of the profile, in cloudtune.toml; take it away"
            ledger.note(self.name, Support.UNSUPPORTED, message)
        return ledger.close(job, "driven", {**request, "cpus": job.compute.cpus}, Machines("host"))

    def where(self, job: TuningJob) -> Where:
        request: Any = self.plan(job).request
        return Where(remote=True, inputs=request["data"])

    def check(self) -> list[Finding]:
        settings = SshSettings.of(self.settings, self.name)
        program = shutil.which("ssh")
        findings = [Finding("ssh", program is not None, program or "there is no program ssh; install OpenSSH's client")]
        if not settings.hosts:
            findings.append(Finding("hosts", False, 'there are none; say hosts = ["…"] in a profile of cloudtune.toml'))
        for host in self._hosts("check", Path()) if program else ():
            with contextlib.closing(host), tempfile.TemporaryFile() as said:
                try:
                    host.execute(f"{settings.python} --version", None, said)
                except ProviderError as error:
                    findings.append(Finding(host.name, False, f"{error}; try: ssh {host.name}"))
                else:
                    said.seek(0)
                    findings.append(Finding(host.name, True, said.read().decode().strip()))
        return findings

    # Before a run

    def prepare(self, run: RunStore, job: TuningJob) -> None:
        super().prepare(run, job)
        native = run.record().native
        run.write(columns={"native": {**native, "mark": secrets.token_hex(8)}})
        keep_program(run, job)
        self._pack(run, job)

    def reopen(self, run: RunStore, job: TuningJob) -> None:
        """Pack what travels again, which is removed when a run ends; hosts get it with the next trial."""
        check_program(run, job)
        super().reopen(run, job)
        forget_packed(run)
        self._pack(run, job)

    def _pack(self, run: RunStore, job: TuningJob) -> None:
        (run.folder / ASSETS).mkdir(mode=0o700)
        with tarfile.open(run.folder / ASSETS / FILES, "w:gz", format=tarfile.PAX_FORMAT) as archive:
            for path, below, files in self._travelling(job, Path(run.record().native["base"])):
                add_files(archive, [replace(file, name=f"{below}/{file.name}") for file in files], path)

    def _travelling(self, job: TuningJob, base: Path) -> Iterator[tuple[str, str, list[File]]]:
        """Yield what travels: the field of the spec that it comes from, its folder on the hosts, and its files."""
        library = tree_of(Path(cloudtune.__file__).parent).files
        yield "", "lib/cloudtune", [file for file in library if file.name.endswith(".py")]
        if job.trial.source is not None:
            yield "trial.source", "source", list(source_tree(job, base).files)
        for name, place in self.where(job).inputs.items():
            yield f"data.{name}", f"data/{data_variable(name)}", list(tree_of(base / place).files)

    def _hosts(self, folder: str, files: Path) -> list[Host]:
        settings = SshSettings.of(self.settings, self.name)
        return [Host(name, settings, folder, files) for name in settings.hosts]

    # What the driver needs

    def launcher(self, run: RunStore, job: TuningJob) -> MachineLauncher:
        settings, record = SshSettings.of(self.settings, self.name), run.record()
        places = {name: Path(record.native["base"]) / place for name, place in self.where(job).inputs.items()}
        return MachineLauncher(
            self._hosts_of(run),
            _setting(run, job, settings.grace, kept_environment(run) if job.trial.environment else {}),
            {
                data_variable(name): f"data/{data_variable(name)}/{place.name if place.is_file() else ''}"
                for name, place in places.items()
            },
            slots=settings.slots,
            gpus=settings.gpus_by_host(),
            patience=settings.patience,
        )

    def _hosts_of(self, run: RunStore) -> list[Host]:
        return self._hosts(f"{run.id}-{run.record().native['mark']}", run.folder / ASSETS / FILES)

    def abandon(self, run: RunStore) -> None:
        """End what runs on the hosts, after its grace time; what cannot be reached ends by itself."""
        if not run.trials(TrialState.RUNNING):
            return
        try:
            with contextlib.closing(self.launcher(run, _job(run))) as launcher:
                for trial in run.trials(TrialState.RUNNING):
                    if launcher.adopt(trial):
                        launcher.stop(trial.number)
                while launcher.busy:
                    launcher.poll(1.0)
        except ProviderError as error:
            run.write(events=[(None, f"{error}; what may run there ends by itself")])

    def settle(self, run: RunStore) -> None:
        super().settle(run)
        for host in self._hosts_of(run):
            with contextlib.closing(host):
                try:
                    host.remove()
                except ProviderError as error:
                    run.write(events=[(None, f"files of the run are left on {host.name}: {error}")])

    def fetch(self, run: RunStore, number: int, target: Path) -> list[Path]:
        files = _setting(run, _job(run), 0.0, {}).files(run.existing(number)).copy_output(target)
        if not files:
            raise TrialError(f"trial {number} left no files")
        return files


def _job(run: RunStore) -> TuningJob:
    return TuningJob.from_data(json.loads(run.record().job))


def _setting(run: RunStore, job: TuningJob, grace: float, environment: dict[str, str]) -> Setting:
    limit = job.limits.trial_time
    seconds = None if limit is None else limit.total_seconds()
    return Setting(job, run.id, run.folder, run.folder, environment, memory=None, seconds=seconds, grace=grace)
