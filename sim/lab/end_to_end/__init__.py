"""A priced stream of mixed strategies, served for real and simulated: begin at `end_to_end`."""
