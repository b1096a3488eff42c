"""What `nightshift evaluate` shows: figures on the terminal, and a page."""
