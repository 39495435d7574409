"""OpenAI's API under /v1: completions, chats and embeddings, and which models there are.

A route's body, the requests made of it and its answer are a module. Everything is below /generate/v1, too, where
Hugging Face's clients look for it when they are given the address of /generate.
"""
