"""The HTTP gateway. Knows nothing of torch, Ray or the engine: it sees workers through one Protocol."""
