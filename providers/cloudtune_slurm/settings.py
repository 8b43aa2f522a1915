"""The settings of a Slurm profile."""

from typing import Annotated

from pydantic import Field

from cloudtune.provider.settings import Settings, Text
from cloudtune_slurm.placement import Placement

Word = Annotated[str, Field(pattern=r"^[^-\s]\S*$")]


class SlurmSettings(Placement, Settings):
    """What a profile may say besides ``provider = "slurm"``; from the environment everything comes as text."""

    host: Annotated[str, Field(pattern=r"^([^-\s]\S*)?$")] = ""
    """The login node, as ``ssh`` takes it; empty where cloudtune runs on the cluster itself."""
    user: Text = None
    """Who logs in there; null, as for what follows, for what ``~/.ssh/config`` says."""
    port: int | None = None
    """The port of its SSH server."""
    identity: Text = None
    """A file with a private key."""
    config: Text = None
    """A file in the place of ``~/.ssh/config``."""
    folder: Text = None
    """The folder for runs on a file system that the login node and all nodes share.

    Null: the run's own folder in the project; by ssh, ``.cache/cloudtune`` in the home folder.
    """
    local: Annotated[str, Field(pattern=r"^/\S*$")] | None = None
    """A folder on each node's own disk, such as ``/tmp``, where nodes do not see ``folder``.

    What a trial needs goes there by ``sbcast``, and what it writes comes back by ``srun``, every ``interval``.
    """
    python: Word | None = None
    """The interpreter on the nodes, of version 3.11 or newer; null for the one that runs cloudtune, by ssh for ``python3``."""
    poll: Annotated[float, Field(gt=0, le=3600)] = 1.0
    """Seconds between two looks at the files of running trials."""
    interval: Annotated[float, Field(gt=0, le=3600)] = 15.0
    """Seconds between two questions to Slurm's controller, for all trials together."""
    patience: Annotated[float, Field(ge=0)] = 3600.0
    """Seconds for which a controller or login node that does not answer is waited for."""
    settle: Annotated[float, Field(ge=0, le=600)] | None = None
    """Seconds that files of a node may take to be seen on the login node; null for 60 on a network's file system, else 2."""
