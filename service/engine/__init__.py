"""The continuous-batching engine: token ids in, token ids out. Knows nothing of text, requests, HTTP or Ray."""
