"""Checkpoints by name and version, in a directory or at a URL that fsspec knows: publish, resolve, roll back, collect.

    registry.py     what a user calls: `Registry("s3://bucket/models").resolve("translator@3")`
    directory.py    versions in a directory: written beside their place, flushed, renamed into it, under a lock
    object_store.py versions in an object store, which has no rename and no lock: exclusive creation decides
    objects.py      what is asked of an object store
    cache.py        local copies of what an object store holds, by hash
    layout.py       what all of them share

Knows nothing of how a checkpoint is made, or of who serves it.
"""

from models.registry.layout import Entry, RegistryError, Unreachable
from models.registry.registry import Registry

__all__ = ["Entry", "Registry", "RegistryError", "Unreachable"]
