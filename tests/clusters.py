"""A real Ray cluster on this machine: two nodes of one core each, every one with its own processes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Machines:
    """Where the cluster is, and the process that holds it."""

    address: str
    holder: "subprocess.Popen[str]"

    def lose_one(self) -> None:
        """End every process of the second machine at once, as a power cut would."""
        assert self.holder.stdin is not None
        self.holder.stdin.write("lose\n")
        self.holder.stdin.flush()


@contextmanager
def two_machines() -> Iterator[Machines]:
    """A cluster that ends with the block. Its processes see this one's environment and modules."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'ichnos[cluster]'")
    before = dict(os.environ)
    os.environ |= {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
    }
    started = [sys.executable, "-W", "ignore", "-c", _MACHINES]
    holder = subprocess.Popen(started, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        yield Machines(next(line.split()[1] for line in holder.stdout if line.startswith("ADDRESS")), holder)
    finally:
        holder.communicate("end\n", timeout=60)
        os.environ.clear()
        os.environ.update(before)


_MACHINES = """
from ray.cluster_utils import Cluster
small = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 100 << 20}
cluster = Cluster(initialize_head=True, head_node_args=small)
second = cluster.add_node(num_cpus=1, object_store_memory=100 << 20)
print("ADDRESS", cluster.address, flush=True)
while input() == "lose":
    cluster.remove_node(second, allow_graceful=False)
cluster.shutdown()
"""
"""In a process of its own, as a cluster is: whoever connects to it is not the one that started it."""
