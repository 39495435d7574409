"""POST /translate, /generate and the like: Hugging Face's Inference convention, streams as text-generation-inference's.

A task is a module: its body, the requests made of it, and its answer.
"""
