"""Open-loop replay of a scenario's requests against a real server."""

from __future__ import annotations

from sim.lab.client.client import Target
from sim.lab.replay.measured import Served
from sim.lab.replay.ready import Options
from sim.lab.replay.run import Replayed, replay

__all__ = ["Options", "Replayed", "Served", "Target", "replay"]
