"""The few things a registry asks of an object store, through fsspec: list, read, write, create what must not be there.

An object appears whole or not at all; there is no rename. What decides between two writers is exclusive creation, which
fsspec calls mode "create": `If-None-Match: *` on S3 and Azure, `ifGenerationMatch=0` on Google Cloud Storage. A store
that answers such a request and ignores its condition is found out by `check_exclusive`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import fsspec  # type: ignore[import-untyped]

from models.registry.layout import RegistryError, Unreachable

# Those whose fsspec implementation passes the condition on to the store. Elsewhere it looks first and then writes.
EXCLUSIVE = {"memory", "s3", "s3a", "gs", "gcs", "abfs", "abfss", "az"}
_MEMORY = threading.Lock()  # fsspec's memory:// is shared by all threads and guards nothing
_ATTEMPTS = 4


def local_path(root: Path | str) -> Path | None:
    """The directory that a path or a file:// URL means; None for other URLs."""
    if isinstance(root, Path) or ("://" not in root and "::" not in root):
        return Path(root)
    if root.startswith(("file://", "local://")) and "::" not in root:
        return Path(fsspec.core.strip_protocol(root))
    return None


class Objects:
    """Objects below a URL; keys are relative to it. Every call may raise Unreachable."""

    def __init__(self, url: str) -> None:
        """Raises RegistryError where nothing installed can open the URL."""
        self.url = url.rstrip("/") if not url.endswith("://") else url
        protocol = url.partition("://")[0]  # of a chain of them, such as zip://models::s3://..., it is none of these
        self._in_memory, self._exclusive = protocol == "memory", protocol in EXCLUSIVE
        # Without their caches of listings: s3fs looks there for an object's size before it reads it, and takes what
        # another process wrote since for missing. Other clients may not know this option.
        options = {"use_listings_cache": False} if self._exclusive else {}
        try:
            self._fs, self._root = fsspec.core.url_to_fs(url, **options)
        except (ImportError, ValueError) as error:
            raise RegistryError(f"{url}: {error}") from error

    def check_protocol(self) -> None:
        """Raises RegistryError where creation is not known to be exclusive."""
        if not self._exclusive:
            raise RegistryError(
                f"{self.url} can be read, not changed: exclusive creation, without which two publishers could take the "
                f"same version, is known of directories and of {', '.join(sorted(EXCLUSIVE))}"
            )

    def check_exclusive(self, key: str) -> None:
        """Raises RegistryError where creation turns out not to be exclusive. At `key` is an object already."""
        if self.create(key, b"may not be written\n"):
            raise RegistryError(f"{self.url} overwrites objects that were to be created (If-None-Match is ignored)")

    def names(self) -> list[str]:
        """Of what looks like folders at the top."""
        with self._asking(self.url):
            self._fs.invalidate_cache()  # where there is one, the store's answer counts
            with suppress(FileNotFoundError):
                found = self._fs.ls(self._root, detail=True)
                return sorted(self._key(each["name"]) for each in found if each["type"] == "directory")
        return []

    def list(self, below: str) -> dict[str, int]:
        """Sizes by key, of all objects below a folder; the keys are relative to it."""
        with self._asking(below):
            self._fs.invalidate_cache()
            with suppress(FileNotFoundError):
                found = self._fs.find(self._path(below), detail=True)
                return {self._key(path).removeprefix(below + "/"): facts["size"] for path, facts in found.items()}
        return {}

    def read(self, key: str) -> bytes:
        """Raises RegistryError where there is no such object."""
        with self._asking(key):
            return self._fs.cat_file(self._path(key))

    def write(self, key: str, content: bytes) -> None:
        with self._asking(key):
            self._fs.pipe_file(self._path(key), content)

    def create(self, key: str, content: bytes) -> bool:
        """Write an object that must not be there yet; whether it now has this content.

        An answer that was lost on its way looks like someone else's object: what is there says whose it is. So two
        writers need different contents.
        """
        for attempt in range(_ATTEMPTS):
            try:
                with self._asking(key):
                    self._fs.pipe_file(self._path(key), content, mode="create")
                return True
            except RegistryError:
                try:
                    return self.read(key) == content
                except Unreachable:
                    raise
                except RegistryError:  # not there: refused for another reason, such as a writer at the same moment
                    if attempt == _ATTEMPTS - 1:
                        break
                    time.sleep(0.1 * 2**attempt)
        raise Unreachable(f"{self.url}/{key} cannot be created: may it be written to?")

    def upload(self, path: Path, key: str) -> None:
        with self._asking(key):
            self._fs.put_file(str(path), self._path(key))

    def download(self, key: str, path: Path) -> None:
        with self._asking(key):
            self._fs.get_file(self._path(key), str(path))

    def delete(self, keys: Iterable[str]) -> None:
        """What is gone already does not matter."""
        for key in keys:
            with self._asking(key), suppress(FileNotFoundError):
                self._fs.rm_file(self._path(key))

    def age(self, key: str) -> float:
        """Seconds since the object was written, as the store tells it."""
        with self._asking(key):
            return time.time() - self._fs.modified(self._path(key)).timestamp()

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}"

    def _key(self, path: str) -> str:
        return path.rstrip("/").removeprefix(self._root).lstrip("/")

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        """Clients of stores raise exceptions of many kinds; here it is one."""
        try:
            with _MEMORY if self._in_memory else nullcontext():
                yield
        except FileNotFoundError as error:
            raise RegistryError(f"{self.url}: no {what}: {error}") from error
        except Exception as error:
            raise Unreachable(f"{self.url} cannot be used: {type(error).__name__}: {error}") from error
