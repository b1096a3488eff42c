"""Readers of recorded traces: azure, mooncake, burstgpt and nightshift, plain or gzip."""

from sim.workload.traces.reader import TraceReader, TraceRows

__all__ = ["TraceReader", "TraceRows"]
