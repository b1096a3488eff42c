"""Real inference: a small language model trained from scratch, its questions, and what serves and measures it."""
