"""The continuous-batching engine: text in, events out. Knows nothing of HTTP or Ray."""
