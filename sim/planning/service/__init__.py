"""How full replicas may be and what a fleet comes to, by formulas: begin at `estimate`."""
