"""The models: torch modules, tokenizers, checkpoints. Knows nothing of HTTP, Ray or requests."""
