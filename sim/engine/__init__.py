"""The data plane: replicas that serve requests, compiled, from one control event to the next.

Read `replica` first (a span of steps ends, the next begins), then `batch` (who is in it) and `serve` (the loop
over all replicas). `plane` is the door for the rest of Nightshift. The same rules, step by step and in plain
Python, are in `tests/oracle.py`.
"""
