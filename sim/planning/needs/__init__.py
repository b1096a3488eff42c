"""What has to be served, hour by hour, and what it takes: demand, blocks of hours, samples of requests, work."""
