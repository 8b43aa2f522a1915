"""The Ray provider: plan, drive and end runs whose trials run on a Ray cluster."""

import json
import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudtune.errors import Problem, ProviderError, TrialError
from cloudtune.planning.plan import Plan
from cloudtune.process.setting import Setting
from cloudtune.provider.driven import DrivenProvider
from cloudtune.provider.interface import Finding
from cloudtune.spec.job import TuningJob
from cloudtune.store.secrets import kept_environment
from cloudtune_ray.capabilities import SUPPORT
from cloudtune_ray.native import RayJob
from cloudtune_ray.settings import KUBERAY, RaySettings
from cloudtune_ray.translate import PROVIDER, ActorOptions, translate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import JsonValue

    from cloudtune.bundle.survey import Where
    from cloudtune.driver.launcher import Launcher
    from cloudtune.provider.interface import Provider
    from cloudtune.provider.permissions import Mode
    from cloudtune.store.store import RunStore
    from cloudtune_ray.cluster import Cluster
    from cloudtune_ray.job_server import JobServer


class RayProvider(DrivenProvider):
    """Runs trials in actors of a Ray cluster."""

    name = PROVIDER
    summary = "a Ray cluster"
    support = SUPPORT
    policy_format = "yaml"

    def _cluster(self) -> "Cluster":
        from cloudtune_ray.cluster import Cluster  # noqa: PLC0415  # a plan needs no cluster

        return Cluster(self._settings)

    @property
    def _settings(self) -> RaySettings:
        return RaySettings.of(self.settings, PROVIDER)

    @property
    def away(self) -> bool:
        return self._settings.job_server is not None

    @property
    def drives_there(self) -> bool:
        return self._settings.job_server is not None

    def driver_host(self) -> "Provider":
        return self if self._settings.job_server is None else self._job_server()

    def _job_server(self) -> "JobServer":
        from cloudtune_ray.job_server import JobServer  # noqa: PLC0415  # few clusters are reached so

        settings = self._settings
        said = {"endpoint": settings.job_server, "token": settings.token, "context": settings.context}
        return JobServer({"poll": 2.0, **{name: value for name, value in said.items() if value is not None}})

    def policy(self, mode: "Mode | None" = None) -> "Mapping[str, JsonValue]":
        address = self._settings.job_server or ""
        if not address.startswith(KUBERAY):
            return super().policy(mode)
        from cloudtune_ray.kuberay import KubeRay, role  # noqa: PLC0415  # few clusters are reached so

        return {"caller": role(KubeRay(address, self._settings.context))}

    def plan(self, job: TuningJob) -> Plan:
        return translate(job, self.mounts)

    def where(self, job: TuningJob) -> "Where":
        from cloudtune.bundle.survey import Where  # noqa: PLC0415  # reading a run looks at no files

        request: Any = self.plan(job).request
        shipped = request["settings"]["data"] == "shipped"
        remote = self._settings.remote
        return Where(
            remote=remote, inputs=request["data"] if shipped else {}, python=None if remote else sys.executable
        )

    def verify(self, job: TuningJob, base: Path) -> list[Problem]:
        from cloudtune_ray.verifying import problems  # noqa: PLC0415  # loads Ray

        return problems(job, base, self.plan(job).request) + super().verify(job, base)

    def check(self) -> list[Finding]:
        from cloudtune_ray.check import findings  # noqa: PLC0415  # loads Ray

        return self._job_server().check() if self.drives_there else findings(self._settings)

    def prepare(self, run: "RunStore", job: TuningJob) -> None:
        super().prepare(run, job)
        native = run.record().native
        run.write(columns={"native": {**native, "mark": secrets.token_hex(8)}})
        base = Path(native["base"])
        if job.trial.source is not None:
            from cloudtune.bundle.source import copy_source  # noqa: PLC0415  # only jobs with a source need it

            copy_source(job, base, run.folder / "source")

    def fetch(self, run: "RunStore", number: int, target: Path) -> list[Path]:
        trial = run.existing(number)
        job = TuningJob.from_data(json.loads(run.record().job))
        files = _setting(run, job).files(trial).copy_output(target)
        if not files:
            raise TrialError(f"trial {number} left no files")
        return files

    # A site of driven runs

    def launcher(self, run: "RunStore", job: TuningJob) -> "Launcher":
        from cloudtune_ray.briefing import Briefing, found_files  # noqa: PLC0415  # only who drives launches
        from cloudtune_ray.launcher import RayLauncher  # noqa: PLC0415

        native, request, settings = (
            run.record().native,
            _request(run),
            RayJob.model_validate(job.native_settings("ray")),
        )
        base = Path(native["base"])
        environment = kept_environment(run) if job.trial.environment else {}
        cluster = self._cluster()
        try:
            briefing = Briefing(
                ray=cluster.ray,
                mark=native["mark"],
                setting=_setting(run, job),
                base=base,
                native=settings,
                actor=ActorOptions.model_validate(request["actor"]),
                places=request["data"],
                environment=environment,
                runtime_env=found_files(settings.runtime_env, base, job.trial.source),
            )
            return RayLauncher(cluster, briefing, run.launched())
        except BaseException:
            cluster.close()
            raise

    def abandon(self, run: "RunStore") -> None:
        from cloudtune_ray.briefing import prefix_of  # noqa: PLC0415  # only who drives launches

        record = run.record()
        if record.started is None:
            return
        prefix = prefix_of(run.id, record.native["mark"])
        try:
            if self.drives_there and "RAY_JOB_CONFIG_JSON_ENV_VAR" not in os.environ:
                self._job_server().dismiss(self._settings.namespace, prefix)
                return
            with self._cluster() as cluster:
                cluster.dismiss(list(cluster.actors(prefix).values()))
        except ProviderError as error:
            left = "what may run there ends by itself when nobody asks for it any more"
            run.write(events=[(None, f"{error}; {left}")])


def _request(run: "RunStore") -> Any:  # as plain data; see `translate`
    return json.loads(run.record().plan)["request"]


def _setting(run: "RunStore", job: TuningJob) -> Setting:
    """Return the setting of all trials, with paths of this machine, although they run on others."""
    output, limit = _request(run)["output"], job.limits.trial_time
    return Setting(
        job=job,
        run_id=run.id,
        folder=run.folder,
        work=run.folder,
        outputs=None if output is None else (Path(run.record().native["base"]) / output).resolve() / run.id,
        environment={},
        memory=job.compute.memory,
        seconds=None if limit is None else limit.total_seconds(),
        grace=RayJob.model_validate(job.native_settings("ray")).grace,
        log_size=RayJob.model_validate(job.native_settings("ray")).log_size,
    )
