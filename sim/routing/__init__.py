"""Routers that look at requests, as a scenario has them: what they expect, and what the engine chooses by."""
