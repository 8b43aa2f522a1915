"""The Kubernetes provider: plans, starts, follows and ends runs there, driven with a Job a trial, or managed by Katib."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cloudtune.bundle.upload import ASSETS
from cloudtune.planning.plan import Note, Plan, Support
from cloudtune.provider.cloud import CloudProvider, plan_of
from cloudtune.provider.interface import Finding
from cloudtune.spec.job import TuningJob
from cloudtune_kubernetes.capabilities import SUPPORT
from cloudtune_kubernetes.katib.experiment import experiment_name, with_trial
from cloudtune_kubernetes.katib.imported import final_experiment
from cloudtune_kubernetes.katib.space import is_imported
from cloudtune_kubernetes.pod import PROVIDER
from cloudtune_kubernetes.settings import KubernetesSettings
from cloudtune_kubernetes.translate import codec_of, translate
from cloudtune_kubernetes.words import KubernetesWords
from cloudtune_kubernetes.workload import job_in

if TYPE_CHECKING:
    from pathlib import Path

    from cloudtune.driver.launcher import Launcher
    from cloudtune.driver.outputs import RunBrief
    from cloudtune.porting.adapted import Adapted
    from cloudtune.provider.driven_run import DrivenRun
    from cloudtune.provider.interface import Provider
    from cloudtune.provider.managed_run import ManagedRun, Tuner
    from cloudtune.provider.permissions import Mode
    from cloudtune.space.space_codec import SpaceCodec
    from cloudtune.store.store import RunStore
    from cloudtune_kubernetes.client import Cluster
    from cloudtune_kubernetes.jobs import KubernetesRunner


_LEADING = ("kubeconfig", "context", "endpoint")
"""The settings that say which cluster it is."""

IN_POD = "/var/run/secrets/kubernetes.io/serviceaccount"
"""As `kubeconfig`: the service account of the pod that asks, whatever other variables of its environment say."""


class KubernetesProvider(CloudProvider):
    """Runs trials as Jobs of a Kubernetes cluster, driven by cloudtune or suggested by Katib."""

    name = PROVIDER
    service = "Kubernetes"
    sdk = ("kubernetes",)
    summary = "a Kubernetes cluster: a Job a trial, or Katib's Experiments"
    settings_type = KubernetesSettings
    _settings: KubernetesSettings
    support = SUPPORT
    variables = "env"
    words = KubernetesWords()
    native_format = "yaml"
    policy_format = "yaml"

    @cached_property
    def _cluster(self) -> "Cluster":
        from cloudtune_kubernetes.client import Cluster  # noqa: PLC0415  # loaded when the cluster is needed

        return Cluster(self._settings)

    def driver_host(self) -> "Provider":
        made = DriverHost(self.settings, self.mounts)
        made.tables = self.tables
        return made

    def unreachable_from(self, host: "Provider") -> str:
        if not isinstance(host, KubernetesProvider):
            return "trials on a cluster are started by a kubeconfig of this machine, which does not travel"
        if any(self.settings.get(name) != host.settings.get(name) for name in _LEADING):
            return (
                f"a driver there is in another cluster than its trials: the profiles differ in {' or '.join(_LEADING)}"
            )
        return ""

    @property
    def settings_elsewhere(self) -> Mapping[str, Any]:
        here = {name: value for name, value in self.settings.items() if name not in ("kubeconfig", "context")}
        return {**here, "kubeconfig": IN_POD, "namespace": self._cluster.namespace}

    # Before a run

    def adapt(self, job: TuningJob) -> "Adapted":
        """Return the job with places that pods can read: machine types, images and identities may be a cluster's of any cloud."""
        from cloudtune.porting.adapted import Adapted, without_region  # noqa: PLC0415
        from cloudtune.porting.change import Change  # noqa: PLC0415  # reading a run needs none of it
        from cloudtune.porting.inputs import port_data, port_output  # noqa: PLC0415
        from cloudtune.porting.tables import Tables  # noqa: PLC0415

        here, notes = without_region(job)
        change = Change(here, KubernetesWords(), self.tables or Tables(settings=self.settings))
        port_data(change)
        port_output(change)
        return Adapted(change.job, (*notes, *change.notes), tuple(change.missing))

    def plan(self, job: TuningJob) -> Plan:
        return translate(job, self._settings)

    def codec(self, job: TuningJob) -> "SpaceCodec":
        return codec_of(job, self.plan(job).mode)

    def log_in(self) -> None:
        self._cluster.log_in()

    def findings(self) -> list[Finding]:
        from cloudtune_kubernetes.check import findings  # noqa: PLC0415

        return findings(self._cluster)

    def policy(self, mode: "Mode | None" = None) -> dict[str, Any]:
        from cloudtune_kubernetes.policy import policies  # noqa: PLC0415

        return policies(self._settings, mode)

    def look_up(self, name: str) -> tuple[TuningJob, Mapping[str, str]]:
        from cloudtune_kubernetes.katib.attaching import find  # noqa: PLC0415

        return find(self._cluster, name), {"job": name}

    def extends(self, run: "RunStore") -> str:
        from cloudtune_kubernetes.katib.extending import RESTARTS, policy_of  # noqa: PLC0415  # few runs go on after their end

        policy = policy_of(plan_of(run).request)
        if policy in RESTARTS:
            return ""
        return (
            f"its Experiment ends for good (resumePolicy {policy}); one that is to go on needs kubernetes: {{katib: {{spec: "
            f"{{resumePolicy: {' or '.join(RESTARTS)}}}}}}} before it begins"
        )

    def _pack(self, run: "RunStore", job: TuningJob) -> None:
        super()._pack(run, job)
        self._pack_inputs(run, job)

    def prepare(self, run: "RunStore", job: TuningJob) -> None:
        super().prepare(run, job)
        if job.trial.command is None and job.trial.function is None:
            self._pack_inputs(run, job)

    def _pack_inputs(self, run: "RunStore", job: TuningJob) -> None:
        from pathlib import Path  # noqa: PLC0415

        from cloudtune_kubernetes.storage import pack_inputs  # noqa: PLC0415

        pack_inputs(job, Path(run.record().native["base"]), run.folder / ASSETS, self._settings.storage)

    # A run

    def request(
        self,
        run: "RunStore",
        job: TuningJob,
        plan: Plan,
        folder: "Path | None" = None,  # noqa: ARG002  # the cluster has what it names
    ) -> dict[str, Any]:
        from cloudtune_kubernetes.names import run_name  # noqa: PLC0415
        from cloudtune_kubernetes.storage import final_request  # noqa: PLC0415

        name = experiment_name(job, run.id) if plan.mode == "managed" else run_name(job.name, run.id)
        if plan.mode == "managed" and is_imported(job):
            return final_experiment(run, plan.request, name)
        trial = final_request(self._cluster, run, job, job_in(plan.request), name)
        return trial if plan.request.get("kind") == "Job" else with_trial(plan.request, name, trial)

    def tuner(self, brief: "RunBrief") -> "Tuner":
        from cloudtune_kubernetes.katib.tuner import KatibTuner  # noqa: PLC0415

        return KatibTuner(self._cluster, brief)

    def driven(self, run: "RunStore") -> "DrivenRun":
        from cloudtune.provider.driven_run import DrivenRun  # noqa: PLC0415  # planning needs none of it

        return DrivenRun(self, run, lambda: self._runner(run), self)

    def _runner(self, run: "RunStore") -> "KubernetesRunner":
        from cloudtune_kubernetes.jobs import KubernetesRunner  # noqa: PLC0415

        return KubernetesRunner(self._cluster, self._brief(run), run.folder)

    # A site of driven runs

    def launcher(self, run: "RunStore", job: TuningJob) -> "Launcher":
        launcher = super().launcher(run, job)
        self._runner(run).read_unread(run.trials())
        return launcher

    def abandon(self, run: "RunStore") -> None:
        """Ask all Jobs of the run to end, by one call; with an emulator they have ended."""
        from cloudtune.driver.listeners import gone  # noqa: PLC0415

        if not gone(run.record()):
            self.reach(run)
            self._runner(run).stop_all()

    def settle(self, run: "RunStore") -> None:
        super().settle(run)
        self.clear(run)

    def clear(self, run: "RunStore") -> None:
        """Remove what a run that has ended has in the cluster."""
        from cloudtune.driver.listeners import gone  # noqa: PLC0415
        from cloudtune.errors import ProviderError  # noqa: PLC0415

        if gone(run.record()) or run.record().started is None:
            return
        self.reach(run)
        try:
            self._runner(run).settle()
        except ProviderError as error:
            run.write(
                events=[
                    (
                        None,
                        f"{error}; kubectl delete jobs,configmaps,secrets,services -l cloudtune.dev/run=… removes it",
                    )
                ]
            )


class DriverHost(KubernetesProvider):
    """Runs drivers as Jobs of a cluster."""

    keeps_appended = True

    def plan(self, job: TuningJob) -> Plan:
        from cloudtune_kubernetes.driver_job import NO_VOLUME, of_a_driver  # noqa: PLC0415  # few runs have such a driver

        own = super().plan(job.driven())
        request: Any = own.request
        plan = replace(own, mode="managed", request=of_a_driver(request, self._settings.driver_account))
        volumes = request["spec"]["template"]["spec"]["volumes"]
        if any(each["name"] == "files" and "persistentVolumeClaim" in each for each in volumes):
            return plan
        return plan.with_notes([Note("output", Support.UNSUPPORTED, NO_VOLUME)])

    def managed(self, run: "RunStore") -> "ManagedRun":
        from cloudtune_kubernetes.driver_job import DriverJob, DriverRun  # noqa: PLC0415

        if run.id not in self._managed:
            job = DriverJob(self._cluster, self._runner(run), self._brief(run), run.folder)
            self._managed[run.id] = DriverRun(self, run, job, self.clear)
        return self._managed[run.id]
