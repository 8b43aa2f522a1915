"""The support notes for those fields of a job whose place in an experiment needs no conversion, or that have none."""

from cloudtune.interop.katib.own import NAME, Own
from cloudtune.interop.katib.support import SUPPORT
from cloudtune.interop.katib.templates import GPU
from cloudtune.planning.plan import Ledger, covers, leaves
from cloudtune.spec.job import TuningJob
from cloudtune.spec.native import native_path
from cloudtune.spec.sources import source_paths
from cloudtune.trial import data_variable

_TEMPLATE = "spec.trialTemplate.trialSpec"


def account_for_the_rest(job: TuningJob, ledger: Ledger, own: Own) -> None:
    """Account in the ledger for all fields but name, tags, objective, space, strategy, stopping and counts."""
    _Account(job, ledger, own).take()


class _Account:
    def __init__(self, job: TuningJob, ledger: Ledger, own: Own) -> None:
        self._job = job
        self._ledger = ledger
        self._own = own
        self._given = [path for path, _ in leaves(job)]

    def take(self) -> None:
        job, ledger = self._job, self._ledger
        for path in ("strict", "mode", f"native.{NAME}"):
            ledger.carry(path, "")
        for path in source_paths(job):
            ledger.note(path, *SUPPORT["objective.source"])
        if job.mode == "driven":
            ledger.note("mode", *SUPPORT["mode.driven"])
        for path in (
            "limits.time",
            "limits.no_improvement",
            "limits.cost",
            "first",
            "require",
            "warm_start",
            "confirm",
            "notify",
            "encryption",
            "network",
            "output",
            "region",
        ):
            self._note(path, path)
        if job.network is not None and job.network.isolated:
            ledger.note("network.isolated", *SUPPORT["network.isolated"])
        for path in (native_path(TuningJob, name) for name in job.native if name != NAME):
            self._note(path, "native")
        for name in job.data:
            self._note(f"data.{name}", "data", data_variable(name))
        self._take_trial()
        self._take_job()
        self._take_compute()

    def _note(self, path: str, row: str, target: str = "") -> None:
        """Note how a field is supported, if the job sets it."""
        if any(covers(path, leaf) for leaf in self._given):
            self._ledger.note(path, *SUPPORT[row], target)

    def _carry_or_note(self, path: str, target: str, *, carried: bool, row: str) -> None:
        if carried:
            self._ledger.carry(path, target)
        else:
            self._note(path, row)

    def _take_trial(self) -> None:
        trial, ledger, own = self._job.trial, self._ledger, self._own
        for path in ("trial.source", "trial.ignore", "trial.function"):
            self._note(path, path)
        place = f"{_TEMPLATE} … {own.primary}"
        if trial.image is None or (isinstance(trial.image, dict) and NAME not in trial.image):
            ledger.note("trial.image", *SUPPORT["trial.image"])
        else:
            ledger.carry_per_provider("trial.image", trial.image, f"{place}.image")
        starts = own.has_container and not own.has_command
        self._carry_or_note("trial.command", f"{place}.command", carried=starts, row="trial.command.native")
        self._carry_or_note(
            "trial.environment", f"{place}.env", carried=own.has_container, row="trial.environment.native"
        )

    def _take_job(self) -> None:
        """Account for fields that Jobs of Kubernetes have and other kinds do not."""
        fields = {"limits.trial_time": "activeDeadlineSeconds", "retries": "backoffLimit"}
        for path, member in fields.items():
            self._carry_or_note(path, f"{_TEMPLATE}.spec.{member}", carried=self._own.is_job, row=path)
        identity, place = self._job.identity, f"{_TEMPLATE}.spec.template.spec.serviceAccountName"
        if isinstance(identity, dict) and self._own.is_job:
            self._ledger.carry_per_provider("identity", identity, place)
        else:
            self._note("identity", "identity")

    def _take_compute(self) -> None:
        compute, ledger = self._job.compute, self._ledger
        for path in ("compute.cpus", "compute.memory", "compute.disk"):
            ledger.carry(path, "resources.limits")
        for path in ("compute.instance", "compute.spot", "compute.max_wait", "compute.keep"):
            self._note(path, path)
        if compute.count > 1:
            ledger.note("compute.count", *SUPPORT["compute.count" if self._own.is_job else "compute.count.native"])
        else:
            ledger.carry("compute.count", "")
        if compute.accelerators is not None and compute.accelerators.count < 1:
            ledger.note("compute.accelerators.count", *SUPPORT["compute.accelerators.part"])
        named = compute.accelerators is None or "/" in compute.accelerators.type
        self._carry_or_note(
            "compute.accelerators", f"resources.limits.{GPU}", carried=named, row="compute.accelerators"
        )
