"""What a run on Azure Machine Learning needs, and whether it is there."""

from cloudtune.errors import ProviderError
from cloudtune.provider.interface import Finding
from cloudtune_azureml.client import Azure
from cloudtune_azureml.settings import AzureMlSettings

_TOLD = 3
"""Quotas that are told, those with the most left first."""


def findings(settings: AzureMlSettings) -> list[Finding]:
    """Look at the workspace, credentials, compute, and environment."""
    azure = Azure(settings)
    found = [Finding.tried("workspace", lambda: str(azure.arm("GET", "", "looking at the workspace")["id"]))]
    if settings.endpoint:
        found.append(Finding("endpoint", None, f"{settings.endpoint}, not Azure itself"))
    if not found[0].ok:
        return found
    return [*found, _compute(azure), _quota(azure), _environment(azure), Finding.tried("jobs", lambda: _jobs(azure))]


def _compute(azure: Azure) -> Finding:
    name = azure.settings.compute
    if name is None:
        return Finding("compute", None, "serverless, unless a job names a cluster; its quota is the subscription's")
    short = name.removeprefix("azureml:")

    def look() -> str:
        own = azure.arm("GET", f"computes/{short}", f"looking at the compute {short}")["properties"]
        most = ((own.get("properties") or {}).get("scaleSettings") or {}).get("maxNodeCount")
        return f"{short}, {own.get('provisioningState', 'state unknown')}" + (f", {most} nodes at most" if most else "")

    return Finding.tried("compute", look)


def _quota(azure: Azure) -> Finding:
    """Return whether the region has cores left for machines: a sweep waits for ever where it has none."""
    try:
        usages = azure.usages()
    except ProviderError as error:  # the permission to run jobs does not include this
        return Finding("quota", None, f"not known: {error}")
    left = {
        each["name"].get("value", ""): (each["currentValue"], each["limit"]) for each in usages if each["limit"] > 0
    }
    if not left:
        return Finding("quota", None, "the region tells of none")
    free = {name: (used, limit) for name, (used, limit) in left.items() if used < limit}
    if not free:
        return Finding("quota", ok=False, message="every quota of the region is used up; ask for more, or end jobs")
    told = sorted(free.items(), key=lambda one: one[1][0] - one[1][1])[:_TOLD]
    message = ", ".join(f"{name}: {used} of {limit} used" for name, (used, limit) in told)
    return Finding("quota", ok=True, message=message + (", …" if len(free) > _TOLD else ""))


def _environment(azure: Azure) -> Finding:
    given = azure.settings.environment
    if not given:
        message = 'none in the profile; each job needs trial.image, or write environment = "azureml:NAME@latest"'
        return Finding("environment", None, message)
    if not given.startswith("azureml:") or given.startswith("azureml://"):
        return Finding("environment", None, f"{given}; whether it is there is seen when a trial starts")
    name, _, version = given.removeprefix("azureml:").replace("@latest", "").partition(":")
    path = f"environments/{name}/versions" + (f"/{version}" if version else "")
    return Finding.tried("environment", lambda: f"{azure.arm('GET', path, f'looking at {given}') and given}")


def _jobs(azure: Azure) -> str:
    azure.arm("GET", "jobs", "listing jobs")
    return "may be listed"
