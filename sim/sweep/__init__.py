"""A scenario at many points, and which assumption moves the answer most: begin at `sweep.swept`."""
