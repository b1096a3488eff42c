"""A plan told: words, terminal, page, folder."""
