"""Readers of recorded traces: azure, mooncake, burstgpt, nightshift and agentic, plain or gzip."""

from sim.workload.traces.reader import TraceReader
from sim.workload.traces.rows import TraceRows
from sim.workload.traces.sessions import Sessions

__all__ = ["Sessions", "TraceReader", "TraceRows"]
