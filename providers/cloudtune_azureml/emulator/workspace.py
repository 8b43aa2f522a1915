"""One workspace: its jobs, code and environment versions, as the bodies of Azure Resource Manager's API tell them."""

import threading
import time
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from werkzeug.wrappers import Request

from cloudtune.emulation.authority import CALLER, IDENTITY, Ask, Authority
from cloudtune.emulation.refused import Refused
from cloudtune.emulation.workplace import Workplace
from cloudtune_azureml.emulator.answers import properties_of, services_of, system_properties, system_tags
from cloudtune_azureml.emulator.blobs import PREFIX, Blobs
from cloudtune_azureml.emulator.clusters import Clusters
from cloudtune_azureml.emulator.credentials import Tokens
from cloudtune_azureml.emulator.errors import not_found
from cloudtune_azureml.emulator.faults import Faults
from cloudtune_azureml.emulator.jobs import CommandJob, SweepJob
from cloudtune_azureml.emulator.model import Job, job_of
from cloudtune_azureml.emulator.permissions import ask_of_job, asks_of, asks_of_blob, message_of
from cloudtune_azureml.emulator.records import TERMINAL, Run, Runs
from cloudtune_azureml.emulator.rules import check
from cloudtune_azureml.emulator.worker import DATASTORE, DATASTORES, Workshop

Body = dict[str, Any]


class Workspace:
    """What is in the workspace.

    Args:
        arm_id: its full id.
        runs: which tell the states of jobs.
        blobs: the storage account.
        faults: what goes wrong on purpose.
        workplace: for what jobs leave on this machine.
        grace: seconds between SIGTERM and SIGKILL.
        clusters: the machines of its compute clusters.
        environment: variables of a job, by its name and experiment.
        url: gives the service's address.
        tokens: what lets in.
        authority: decides what clients and jobs with an identity of their own may do.
        computes: names of its compute targets; ``*`` for any.
    """

    def __init__(
        self,
        arm_id: str,
        *,
        computes: Collection[str],
        authority: Authority,
        tokens: Tokens,
        runs: Runs,
        blobs: Blobs,
        faults: Faults,
        workplace: Workplace,
        grace: float,
        clusters: Clusters,
        environment: Callable[[str, str], Mapping[str, str]],
        url: Callable[[], str],
    ) -> None:
        self._url, self._tokens = url, tokens
        self._computes = dict.fromkeys(computes)
        self.arm_id, self.runs, self.blobs, self._faults, self._folder = arm_id, runs, blobs, faults, workplace.folder
        self._authority = authority
        self._shop = Workshop(
            blobs,
            workplace.folder / "jobs",
            grace,
            environment,
            self._place_of,
            self._denial,
            clusters,
            workplace.scratch,
        )
        self._lock = threading.RLock()
        self._bodies: dict[str, Body] = {}
        self._jobs: dict[str, SweepJob | CommandJob] = {}
        self._versions: dict[str, Body] = {}

    # Permissions

    @property
    def storage_account(self) -> str:
        """The full id of the storage account."""
        group = self.arm_id.partition("/providers/")[0]
        return f"{group}/providers/Microsoft.Storage/storageAccounts/emulated"

    def denied(self, request: Request, container: str | None) -> Ask | None:
        """Return the action that a client's request takes and may not take; None for a request that is permitted.

        Args:
            request: the request, with a token that lets in.
            container: the container of blobs that it is about; None for a request of another service.
        """
        if container is None:
            asks = asks_of(request.method, request.path)
        else:
            asks = asks_of_blob(request, container, self.storage_account)
        return self._authority.denied(CALLER, *asks)

    def _denial(self, verb: str) -> str:
        """Return why a job with an identity of its own may not read or write blobs; "" if it may."""
        missing = self._authority.denied(IDENTITY, ask_of_job(self.storage_account, verb))
        return "" if missing is None else message_of(missing, "managed-identity")

    # Versions of code, environments and data

    def put_version(self, path: str, body: Body) -> Body:
        """Keep a version of something, e.g. ``codes/NAME/versions/1``."""
        whole = {**body, "id": f"{self.arm_id}/{path}", "name": path.rpartition("/")[2], "type": "version"}
        self._versions[path] = whole
        return whole

    def version(self, path: str) -> Body:
        """Return a version; an environment that was never made exists all the same, as curated ones do.

        Raises:
            Refused: there is none.
        """
        if path in self._versions:
            return self._versions[path]
        if path.startswith("environments/"):
            image = {"image": f"emulated:{path.split('/')[1]}", "environmentType": "Curated", "osType": "Linux"}
            return {"id": f"{self.arm_id}/{path}", "name": path.rpartition("/")[2], "type": "version", "properties": image}  # fmt: skip
        raise not_found(path)

    def versions(self, path: str) -> list[Body]:
        """Return all versions of something, e.g. of ``codes/NAME/versions``."""
        found = [body for name, body in self._versions.items() if name.startswith(f"{path}/")]
        return found or ([self.version(f"{path}/1")] if path.startswith("environments/") else [])

    def upload_place(self, path: str, url: str) -> Body:
        """Return where the content of a version is uploaded to."""
        place = f"{url}{PREFIX}uploads/{uuid4().hex}"
        credential = {"credentialType": "SAS", "sasUri": f"{place}?{self._tokens.shared_access}"}
        return {"pendingUploadId": path, "pendingUploadType": "TemporaryBlobReference", "blobReferenceForConsumption": {"blobUri": place, "storageAccountArmId": "/emulated", "credential": credential}}  # fmt: skip

    def _place_of(self, reference: str) -> Path | None:
        """Return the folder or file of an asset's version or of a URL; None for none."""
        if reference.startswith(("http://", "https://")):
            return self.blobs.at(reference) if "://127.0.0.1:" in reference else None
        stored = DATASTORE.fullmatch(reference)
        if stored is not None:
            return self.blobs.file(DATASTORES.get(stored[1], stored[1]), stored[2].strip("/"))
        name, _, version = reference.removeprefix("azureml:").partition(":")
        below = reference.removeprefix("azureml:").removeprefix(f"{self.arm_id}/")
        for kind, field in (("codes", "codeUri"), ("data", "dataUri")):
            for path in (below, f"{kind}/{name}/versions/{version}"):
                body = self._versions.get(path)
                if body is not None and field in body["properties"]:
                    return self._place_of(body["properties"][field])
        return None

    # Jobs

    def put_job(self, name: str, body: Body) -> tuple[Body, bool]:
        """Make a job, and return it with whether it is new; one that is there stays, with what may be changed of it.

        Raises:
            Refused: it is not valid, or there is another one of this name.
        """
        with self._lock:
            known = self._bodies.get(name)
            if known is not None:
                return self._changed(name, known, body), False
            whole = {**body, "name": name}
            asked = job_of(name, whole)
            check(asked)
            own = whole["properties"]
            self._need_compute(own.get("computeId"))
            tags = {**asked.tags, **system_tags(own, asked.sweep)}
            run = self.runs.add(Run(name, asked.experiment, asked.kind, tags=tags))
            now = {"state": "Running", "started": time.time()} if asked.sweep else {"state": "Starting"}
            run.change(properties=system_properties(own), **now)
            self._bodies[name] = whole
            job = self._made(asked, run)
            self._jobs[name] = job
        told = self.job(name)
        job.start()
        return told, True

    def _need_compute(self, reference: Any) -> None:
        """Refuse a compute target that is not there."""
        name = str(reference or "").removeprefix("azureml:").rpartition("/")[2]
        if name and not self.has_compute(name):
            known = ", ".join(self._computes)
            raise Refused(400, "UserError", f"Unknown compute target '{name}'. (This emulated workspace has {known}.)")

    def has_compute(self, name: str) -> bool:
        """Return whether there is a compute target."""
        return name in self._computes or "*" in self._computes

    @property
    def computes(self) -> list[str]:
        """The names of the compute targets."""
        return [name for name in self._computes if name != "*"] or ["cpu-cluster"]

    def compute(self, name: str) -> Body:
        """Return the body of a compute target.

        Raises:
            Refused: there is none.
        """
        if not self.has_compute(name):
            raise not_found(f"The compute {name}")
        own = {"computeType": "AmlCompute", "provisioningState": "Succeeded", "properties": {"scaleSettings": {"maxNodeCount": 4}}}  # fmt: skip
        return {"id": f"{self.arm_id}/computes/{name}", "name": name, "location": "emulated", "properties": own}

    def put_compute(self, name: str) -> None:
        """Make a compute target."""
        self._computes[name] = None

    def _made(self, asked: Job, run: Run) -> SweepJob | CommandJob:
        if asked.sweep is None:
            return CommandJob(asked.program, run, self._shop, self._faults)
        folder = self._folder / "sweeps" / run.name
        return SweepJob(asked.sweep, asked.program, run, self.runs, self._shop, self._faults, folder)

    def _changed(self, name: str, known: Body, body: Body) -> Body:
        """Return a job that is put again: name, description, tags and archiving may change."""
        old, new = known["properties"], body.get("properties", {})
        fixed = ("jobType", "searchSpace", "trial", "objective", "command", "limits")
        if any(part in new and new[part] != old.get(part) for part in fixed):
            raise Refused(409, "Conflict", f"A job {name} exists already, with other settings.")
        for part in ("displayName", "description", "tags"):
            if part in new:
                old[part] = new[part]
        self.runs.get(name).hidden = bool(new.get("isArchived"))  # type: ignore[union-attr]  # each job has its run
        self.runs.get(name).tag(new.get("tags") or {})  # type: ignore[union-attr]  # each job has its run
        return self.job(name)

    def job(self, name: str) -> Body:
        """Return a job's body, or a trial's.

        Raises:
            Refused: there is none.
        """
        run = self.runs.get(name)
        if run is None:
            raise not_found(f"The job {name}")
        status = run.status(self._faults.slow)
        body = self._bodies.get(name) or self._of_trial(run)
        properties = {**(body["properties"].get("properties") or {}), **status.properties}
        tracking = f"{self._url()}/mlflow/v1.0{self.arm_id}"
        own = {
            **properties_of(body["properties"], name, self.arm_id),
            "status": status.state,
            "properties": properties,
            "tags": dict(status.tags),
            "isArchived": run.hidden,
            "services": services_of(Studio=f"{self._url()}/studio/runs/{name}", Tracking=tracking),
        }
        made = datetime.fromtimestamp(run.created, UTC).isoformat()
        return {**body, "id": f"{self.arm_id}/jobs/{name}", "name": name, "type": "Microsoft.MachineLearningServices/workspaces/jobs", "properties": own, "systemData": {"createdAt": made, "createdBy": "you", "createdByType": "User"}}  # fmt: skip

    def _of_trial(self, run: Run) -> Body:
        """Return the body of a sweep's trial: a command job."""
        parent = self._bodies.get(run.parent)
        if parent is None:
            raise not_found(f"The job {run.name}")
        trial = parent["properties"]["trial"]
        return {"properties": {"jobType": "Command", "displayName": run.name, "experimentName": run.experiment, "command": trial["command"], "codeId": trial.get("codeId"), "environmentId": trial.get("environmentId"), "computeId": parent["properties"].get("computeId"), "inputs": {}, "outputs": {}}}  # fmt: skip

    def jobs(self, view: str | None, kind: str | None, tag: str | None) -> list[Body]:
        """Return the bodies of jobs but trials, the newest first.

        Args:
            view: ``ActiveOnly`` (as None), ``ArchivedOnly`` or ``All``.
            kind: ``Sweep`` or ``Command``; None for both.
            tag: a tag's key that they have; None for all.
        """
        wanted = {None: (False,), "ActiveOnly": (False,), "ArchivedOnly": (True,)}.get(view, (False, True))
        found = [(name, body["properties"]) for name, body in reversed(list(self._bodies.items()))]
        return [
            self.job(name)
            for name, own in found
            if self.runs.get(name).hidden in wanted  # type: ignore[union-attr]  # each job has its run
            and kind in (None, own["jobType"])
            and (tag is None or tag in self.runs.get(name).status().tags)  # type: ignore[union-attr]
        ]

    def cancel(self, name: str) -> None:
        """Ask a job or trial to end; nothing if it has.

        Raises:
            Refused: there is none.
        """
        self._any(name).cancel()

    def delete(self, name: str) -> None:
        """Forget a job that has ended.

        Raises:
            Refused: there is none, or it runs.
        """
        run = self._any(name).run
        if run.status().state not in TERMINAL:
            raise Refused(409, "Conflict", f"The job {name} is {run.status().state}; cancel it first.")
        with self._lock:
            self._jobs.pop(name, None)
            self._bodies.pop(name, None)
        for child in self.runs.children(name):
            self.runs.remove(child.name)
        self.runs.remove(name)

    def _any(self, name: str) -> SweepJob | CommandJob:
        job = self._jobs.get(name)
        if job is not None:
            return job
        run = self.runs.get(name)
        sweep = None if run is None else self._jobs.get(run.parent)
        trials = sweep.trials if isinstance(sweep, SweepJob) else []
        found = [trial for trial in trials if trial.run.name == name]
        if not found:
            raise not_found(f"The job {name}")
        return found[0]

    def datastore(self, name: str, url: str) -> Body:
        """Return a datastore of blobs.

        Raises:
            Refused: there is none.
        """
        if name not in DATASTORES:
            raise not_found(f"The datastore {name}")
        # Clients make the address of an account's name: this one leads here.
        account = f"{url.partition('://')[2]}/emulated"
        own = {"datastoreType": "AzureBlob", "accountName": account, "containerName": DATASTORES[name], "protocol": "https", "isDefault": name == "workspaceblobstore", "credentials": {"credentialsType": "Sas"}}  # fmt: skip
        return {"id": f"{self.arm_id}/datastores/{name}", "name": name, "properties": own}

    def resolved(self, data: Mapping[str, Any]) -> Body:
        """Return where outputs are: ``azureml://…/datastores/NAME/paths/PATH`` for each id ``RUN/OUTPUT``."""
        found = {}
        for each in data.get("values") or ():
            name, _, output = str(each).rpartition("/")
            run = self.runs.get(name)
            place = None if run is None else run.outputs.get(output)
            if output == "default":
                place = f"workspaceartifactstore/paths/ExperimentRun/dcid.{name}/"
            if place is not None:
                found[each] = {"uri": f"azureml:/{self._long_id}/datastores/{place}", "type": "UriFolder"}
        return {"values": found}

    @property
    def _long_id(self) -> str:
        return self.arm_id.replace("/providers/Microsoft.MachineLearningServices", "").replace(
            "resourceGroups", "resourcegroups"
        )

    # What the emulator asks for

    def wait(self, name: str, timeout: float | None) -> str:
        """Wait for the end of a job, at most so many seconds, and return its state.

        Raises:
            Refused: there is none.
        """
        run, until = self._any(name).run, None if timeout is None else time.monotonic() + timeout
        while run.status().state not in TERMINAL and (until is None or time.monotonic() < until):
            threading.Event().wait(0.01)
        return run.status().state

    def close(self) -> None:
        """End all jobs at once."""
        with self._lock:
            jobs = list(self._jobs.values())
        for job in jobs:
            if isinstance(job, SweepJob):
                job.shut()
            else:
                job.close()
