"""Routing: which strategy a request gets. Imports nothing of `sim`, so that a gateway can use it alone."""
