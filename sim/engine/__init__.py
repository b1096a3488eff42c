"""The data plane: replicas that serve requests, compiled, from one control event to the next.

Read `replica` first (a span of steps ends, the next begins), then `batch` (who is in it), `clients` and `api` (what can
happen to a request elsewhere) and `serve` (the loop over everything). `plane` is the door for the rest of Nightshift,
`specs` what it is built from, `lives` what control events do. The same rules, step by step and in plain Python, are in
`tests/oracle.py` and `tests/oracle_fleet.py`.
"""
