"""A cluster as the command line names it."""

import math
import shutil
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import yaml

from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.cluster.engine import Cluster

SLURM = "slurm"
INSTALL = "pip install 'neural-decoder-harness[cluster]'"


def opened(scheduler: str, slurm: Mapping[str, str], *, n_workers: int) -> "Cluster":
    """Connect to a scheduler, or have Slurm start workers for one of our own.

    Args:
        scheduler: Its address, or `slurm`.
        slurm: Options of `dask_jobqueue.SLURMCluster`, as text; values are YAML.
        n_workers: How many Slurm jobs to ask for.

    Raises:
        UsageError: If what is needed is not installed, nobody answers, or an option is wrong.
    """
    if not find_spec("distributed"):
        raise UsageError(f"--engine dask needs Dask, which is not installed: {INSTALL}")
    if not scheduler:
        raise UsageError(
            "--engine dask needs --scheduler: the address of one (`dask scheduler` prints it, as tcp://host:8786), or "
            "slurm to have workers started as Slurm jobs"
        )
    if slurm and scheduler != SLURM:
        raise UsageError(f"--slurm {min(slurm)}=... is for --scheduler slurm; the workers of {scheduler} run already")
    from harness.cluster.engine import Cluster

    if scheduler != SLURM:
        return Cluster(scheduler)
    if not shutil.which("sbatch"):
        raise UsageError(
            "--scheduler slurm needs Slurm's command sbatch, which is not on this machine; use a login node"
        )
    cluster = slurm_cluster(slurm)
    cluster.scale(jobs=n_workers)
    return Cluster(cluster, name=SLURM, workers_s=math.inf)


def slurm_cluster(options: Mapping[str, str]) -> Any:
    """A scheduler of our own whose workers are Slurm jobs, none of them asked for yet.

    Args:
        options: As in `opened`; those that are not given are Dask's configuration's, and one core with 4 GB.

    Raises:
        UsageError: If dask-jobqueue is not installed or takes no such option.
    """
    if not find_spec("dask_jobqueue"):
        raise UsageError(f"--scheduler slurm needs dask-jobqueue, which is not installed: {INSTALL}")
    from dask_jobqueue import SLURMCluster

    quiet = {"scheduler_options": {"dashboard_address": ":0"}}  # Dask's own port may be somebody else's
    given = {"cores": 1, "memory": "4GB"} | quiet | {name: yaml.safe_load(text) for name, text in options.items()}
    try:
        return SLURMCluster(**given)
    except (TypeError, ValueError) as error:
        named = ", ".join(f"{name}={value}" for name, value in options.items())
        why = str(error).partition(".")[0]
        raise UsageError(
            f"Slurm workers with {named} cannot be described: {why}; --slurm takes the options of "
            f"dask_jobqueue.SLURMCluster, such as queue, account, cores, memory, walltime"
        ) from None
