"""A sweep on a cluster of Ray that has two nodes on this machine, one of which is killed midway; prints what came."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import ray
from ray.cluster_utils import Cluster

from sim import commands
from sim.sweep.sweep import Plan, Progress
from tests.sweeping import SCENARIO

__all__ = ["main"]

_PLAN: dict[str, Any] = {
    "vary": ("fleet.0.replicas=1,2", "workload.0.arrivals.rps=0.5:3:0.5", "seed=1,2"),
    "overrides": ("horizon=20m", "replications=2"),
}
_DIES_AFTER = 6
_MEMORY_BYTES = 80_000_000


def main(folder: Path) -> None:
    """Print, on the last line, the plan, the result and how many nodes there were."""
    node = {"num_cpus": 1, "object_store_memory": _MEMORY_BYTES}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    second = cluster.add_node(**node)
    nodes = [len(cluster.list_all_nodes())]
    died_after = 0

    def progress(step: Progress) -> None:
        nonlocal died_after
        if step.done >= _DIES_AFTER and not died_after:
            died_after = step.done
            cluster.remove_node(second, allow_graceful=False)
            nodes.append(len(cluster.list_all_nodes()))

    found = commands.sweep(SCENARIO, Plan(**_PLAN), out=folder / "out", ray=cluster.address, progress=progress)
    cluster.shutdown()
    ray.shutdown()
    print(json.dumps({"plan": _PLAN, "found": found, "nodes": nodes, "died_after": died_after}))  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
