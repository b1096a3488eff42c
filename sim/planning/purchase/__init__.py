"""What to buy for which hours, as a mixed integer program, and what each step of its limits is worth: `mix`."""
