"""Months ahead: growth, errors of the forecast, and when to buy the next GPU: begin at `year`."""
