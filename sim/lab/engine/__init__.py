"""A continuous-batching engine by the rules of the simulator's replica.

`engine` does a step, `scheduler` says who is in it, `loops` bring the load.
"""
