"""A client of OpenAI-compatible servers: requests, streams of events, answers, and what a server understands."""
