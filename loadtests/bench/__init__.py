"""The engine measured: against its peers, under arrivals, as it grows, and what it adds to the model's own time."""
