"""One pool whose servers control switches, on a fake data plane."""

from __future__ import annotations

from typing import Any

from sim.control.autoscaler import Autoscaler, Rule
from sim.control.clock import Clock
from sim.control.servers import Servers
from sim.prices import billed_s
from sim.scenario import Billing, GpuPool
from tests.fake_plane import FakePlane
from tests.small import pool

__all__ = ["World"]

ON_DEMAND = {"kind": "on-demand", "usd_per_gpu_hour": 3.0}


class World:
    """One pool of up to four servers that take 60 s to start, with a fake data plane."""

    def __init__(
        self,
        begin: int = 1,
        *,
        offer: dict[str, Any] | None = None,
        ranks: int = 1,
        holds: bool = False,
        billing: Billing | None = None,
        **scaling: Any,
    ) -> None:
        limits = {"min": 0, "max": 4, "tick": "30s", "start_up": "60s", "cool_down": "0s"}
        fields = pool(offer=offer or ON_DEMAND, autoscale=limits | scaling, data_parallel=ranks, replicas=begin)
        self.pool = GpuPool.model_validate(fields)
        self.plane: Any = FakePlane([4 * ranks], ranks)
        self.clock = Clock(self.plane)
        billing = billing or Billing()
        self.servers = Servers(
            0,
            self.pool,
            self.plane,
            self.clock,
            holds=holds,
            rounding_s=lambda length_s: billed_s(billing, length_s) - length_s,
        )
        self.servers.begin(begin)

    def until(self, at_s: float) -> None:
        """Let time pass, up to and with what control does at that instant."""
        if at_s > self.clock.now:
            self.clock.run(until=at_s)
        while self.clock.peek() <= at_s:
            self.clock.step()

    def want(self, at_s: float, servers: int) -> None:
        self.until(at_s)
        self.servers.want(servers)

    def scale(self, rule: Rule, *, wakes: bool = False) -> None:
        assert self.pool.autoscale is not None
        scaler = Autoscaler(self.servers, self.pool.autoscale, rule, wakes=wakes)
        self.clock.process(scaler.run(self.clock))

    @property
    def lives(self) -> str:
        """A letter for each server."""
        self.servers.sweep()
        return " ".join(life.value for life in self.servers.lives)

    @property
    def paid(self) -> list[tuple[int, float, float]]:
        self.servers.sweep()
        return [(one.server, round(one.begin_s, 3), round(one.end_s, 3)) for one in self.servers.paid]
