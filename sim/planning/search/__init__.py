"""Plans tried in the simulator until the best is found and confirmed: begin at `search`."""
