"""Two scenarios on the same streams: what differs, by how much, how surely, and why.

Nothing is imported here, as the command line imports the command from here before it knows what is wanted.
"""
