"""Real accounting for a cluster of the tests: slurmdbd with a MariaDB of its own, both on loopback."""

import contextlib
import os
import pwd
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

from slurm_clusters import SlurmCluster, free_ports, missing

PROGRAMS = ("slurmdbd", "sacct", "sacctmgr", "mariadbd", "mariadb-install-db", "mariadb")

_CONFIG = """\
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={ports[0]}
SlurmUser={user}
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={ports[1]}
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
PidFile={folder}/slurmdbd.pid
LogFile={folder}/log/slurmdbd
"""

_SMALL = ("--innodb-buffer-pool-size=16M", "--innodb-log-file-size=8M", "--skip-log-bin", "--performance-schema=off")


def absent() -> list[str]:
    """What it needs that is not installed here."""
    return missing(PROGRAMS)


@contextlib.contextmanager
def kept(cluster: SlurmCluster) -> Iterator[str]:
    """Keep the accounting of a cluster; see `slurm_clusters.Accounting`."""
    folder, ports, user = cluster.folder, free_ports(2), pwd.getpwuid(os.getuid()).pw_name
    config = folder / "slurmdbd.conf"
    config.write_text(_CONFIG.format(folder=folder, ports=ports, user=user))
    config.chmod(0o600)
    data = folder / "mariadb"
    own = ("--no-defaults", f"--datadir={data}", f"--user={user}")
    cluster.config.write_text("FirstJobId=1\n")  # until the controller's own stands there
    subprocess.run(
        ["mariadb-install-db", *own, "--auth-root-authentication-method=normal", "--skip-test-db"],
        check=True,
        capture_output=True,
    )
    words = (
        *own,
        f"--socket={folder}/sql",
        "--bind-address=127.0.0.1",
        f"--port={ports[1]}",
        f"--pid-file={folder}/sql.pid",
        *_SMALL,
    )
    cluster.more |= {"mariadbd": ["mariadbd", *words], "slurmdbd": ["slurmdbd", "-D"]}
    cluster.start("mariadbd")
    _until(lambda: sql(cluster, "GRANT ALL ON *.* TO 'slurm'@'127.0.0.1' IDENTIFIED BY 'slurm'"))
    cluster.start("slurmdbd")
    lines = [
        "AccountingStorageType=accounting_storage/slurmdbd",
        "AccountingStorageHost=127.0.0.1",
        f"AccountingStoragePort={ports[0]}",
        f"AccountingStoragePass={folder}/munge/socket",  # the socket of munge, where slurmdbd is asked
    ]
    cluster.config.write_text(
        "\n".join(["ClusterName=test", "SlurmctldHost=localhost", f"AuthInfo=socket={folder}/munge/socket", *lines, ""])
    )
    _until(lambda: cluster.call("sacctmgr", "--immediate", "add", "cluster", "test"))
    yield "\n".join(lines)


def sql(cluster: SlurmCluster, statement: str) -> str:
    """What the database answers."""
    return cluster.call(
        "mariadb", "--no-defaults", "--user=root", f"--socket={cluster.folder}/sql", f"--execute={statement}"
    )


def forget_jobs(cluster: SlurmCluster) -> None:
    """Purge the accounting of all jobs, as a site does with old ones."""
    sql(cluster, "DELETE FROM slurm_acct_db.test_job_table; DELETE FROM slurm_acct_db.test_step_table")


def _until(done: Callable[[], object]) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with contextlib.suppress(subprocess.CalledProcessError):
            done()
            return
        threading.Event().wait(0.1)
    done()
