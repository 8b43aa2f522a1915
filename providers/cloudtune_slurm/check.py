"""Check what a run on a Slurm cluster needs."""

import tempfile
from contextlib import closing
from pathlib import Path

from cloudtune.errors import ProviderError
from cloudtune.provider.interface import Finding
from cloudtune.store.network import store_warning
from cloudtune_slurm.settings import SlurmSettings
from cloudtune_slurm.site import Site, site_of

_PARTITIONS = "sinfo --noheader --format='%P|%a|%l|%D|%C|%G'"
"""Name, whether it is up, its limit of time, nodes, processors (allocated/idle/other/total), and gres."""


def findings(settings: SlurmSettings) -> list[Finding]:
    """Return findings on Slurm's commands, its controller, the partitions, and the interpreter."""
    with closing(site_of(settings, "check", Path.cwd(), Path())) as site:
        commands = Finding.tried(
            "sbatch", lambda: _said(site, "command -v sbatch squeue scancel >/dev/null && sbatch --version")
        )
        if not commands.ok:
            where = settings.host or "this machine"
            why = f"{commands.message}; {where} is no login node of a Slurm cluster: say another as host in the profile"
            return [Finding("sbatch", ok=False, message=why)]
        python = f"{site.python} -c 'import sys; print(sys.version.split()[0]); sys.exit(sys.version_info < (3, 11))'"
        found = [commands, Finding.tried("controller", lambda: _said(site, "scontrol ping").splitlines()[0])]
        found += _partitions(site, settings) if found[-1].ok else []
        if settings.local:
            found.append(
                Finding.tried("sbcast", lambda: _said(site, "command -v sbcast && command -v srun").replace("\n", ", "))
            )
        return [
            *found,
            Finding.tried("python", lambda: f"{_said(site, python)} at {site.python}"),
            _accounting(site),
            *_store(),
        ]


def _partitions(site: Site, settings: SlurmSettings) -> list[Finding]:
    try:
        lines = [line.split("|") for line in _said(site, _PARTITIONS).splitlines()]
    except ProviderError as error:
        return [Finding("partitions", ok=False, message=str(error))]
    wanted = settings.partition.split(",") if settings.partition else []
    names = {line[0].rstrip("*") for line in lines}
    found = [
        Finding(name, ok=False, message=f"there is no such partition; there are {', '.join(sorted(names))}")
        for name in wanted
        if name not in names
    ]
    for name, up, limit, nodes, processors, gres in lines:
        if not wanted or name.rstrip("*") in wanted:
            allocated, idle, _, total = processors.split("/")
            devices = "" if gres == "(null)" else f", {gres} each"
            message = f"{up}, {nodes} nodes, {idle} of {total} processors idle, {allocated} allocated, at most {limit}{devices}"
            found.append(Finding(f"partition {name}", ok=up == "up", message=message))
    return found


def _store() -> list[Finding]:
    warning = store_warning(Path.cwd())
    return [Finding("store", ok=None, message=warning)] if warning else []


def _accounting(site: Site) -> Finding:
    try:
        _said(site, "sacct --noheader --allocations --starttime=now")
    except ProviderError:
        return Finding(
            "accounting",
            ok=None,
            message="there is none; how tasks ended is known by what they leave in the shared folder",
        )
    return Finding("accounting", ok=True, message="sacct answers")


def _said(site: Site, script: str) -> str:
    with tempfile.TemporaryFile() as said:
        site.execute(script, None, said)
        said.seek(0)
        return said.read().decode(errors="replace").strip()
