"""Whether questions and outcomes still are what a router was trained on, and when to train it again."""
