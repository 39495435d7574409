from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import torch

from models import checkpoint
from models.architectures import build
from models.checkpoint import Manifest
from models.config import GPTConfig
from models.registry import Registry
from models.tokenizer import train_byte_bpe


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("trained")
    tokenizer = train_byte_bpe(["the cat sat"], 270)
    torch.manual_seed(1)
    config = GPTConfig(vocab_size=tokenizer.vocab_size, layers=1, context=16, width=16, heads=2, feedforward=32)
    manifest = Manifest(name="untold", architecture="gpt", task="generate")
    checkpoint.save(directory, model=build(config), tokenizer=tokenizer, manifest=manifest)
    return directory


@pytest.fixture
def scored(trained: Path) -> Callable[[float], Callable[[Path], object]]:
    """A checkpoint with a score, as `publish` takes it."""

    def of(score: float) -> Callable[[Path], object]:
        def write(directory: Path) -> None:
            for file in trained.iterdir():
                shutil.copyfile(file, directory / file.name)
            manifest = checkpoint.read_manifest(directory)
            checkpoint.write_manifest(directory, dataclasses.replace(manifest, scores={"test": {"bleu": score}}))

        return write

    return of


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRIPTYCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """A bucket of a server that speaks S3, on this machine."""
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    server_of = pytest.importorskip("moto.server", reason="moto[server] is not installed")
    import fsspec

    server = server_of.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as environment:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            environment.setenv(name, "key")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        environment.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        fsspec.filesystem("s3").mkdir("bucket")
        yield "s3://bucket"
    server.stop()


@pytest.fixture(params=["memory", "s3"])
def url(request: pytest.FixtureRequest) -> str:
    """An empty place in an object store."""
    base = "memory:/" if request.param == "memory" else request.getfixturevalue("s3")
    return f"{base}/{uuid4().hex}/models"


@pytest.fixture(params=["directory", "memory", "s3"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Registry:
    if request.param == "directory":
        return Registry(tmp_path / "registry")
    base = "memory:/" if request.param == "memory" else request.getfixturevalue("s3")
    return Registry(f"{base}/{uuid4().hex}/models")
