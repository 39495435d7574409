"""What is measured, from answers and likelihoods that somebody else computes. Knows nothing of the engine."""
