"""A real Ray cluster on this machine: two nodes of one core each, every one with its own processes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@contextmanager
def two_machines() -> Iterator[str]:
    """The address of a cluster that ends with the block. Its processes see this one's environment and modules."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'ichnos[cluster]'")
    before = dict(os.environ)
    os.environ |= {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
    }
    started = [sys.executable, "-W", "ignore", "-c", _MACHINES]
    machines = subprocess.Popen(started, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert machines.stdout is not None
        address = next(line.split()[1] for line in machines.stdout if line.startswith("ADDRESS"))
        yield address
    finally:
        machines.communicate("\n", timeout=60)
        os.environ.clear()
        os.environ.update(before)


_MACHINES = """
from ray.cluster_utils import Cluster
small = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 100 << 20}
cluster = Cluster(initialize_head=True, head_node_args=small)
cluster.add_node(num_cpus=1, object_store_memory=100 << 20)
print("ADDRESS", cluster.address, flush=True)
input()
cluster.shutdown()
"""
"""In a process of its own, as a cluster is: whoever connects to it is not the one that started it."""
