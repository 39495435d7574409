"""Kernels for CPUs, from `kernels/`: how they are called, recorded as programs, and where they take a part's place.

Without the library everything works as PyTorch has it; each kernel does what its twin there does.
"""
