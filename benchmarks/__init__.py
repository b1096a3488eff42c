"""How fast Nightshift is, measured: `python -m benchmarks`, or `make bench`."""
