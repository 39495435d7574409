"""How well a generator predicts held-out texts, against PPMd primed with the texts that the generator learned from.

PPMd (Cleary and Witten 1984; variant H of Shkarin 2002, as in 7-Zip) is the strongest of the well-known compressors
of plain text. It keeps the statistics of all of the training text, where the generator has its weights, and goes on
learning from one held-out text to the next. A text is its bytes of UTF-8 as the generator reads it: normalized,
without control tokens. It ends in a line feed for the compressors and in the end token for the generator; both ends
cost bits, and neither is counted among the bytes.
"""

from __future__ import annotations

import itertools
import lzma
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from models import formats
from models.checkpoint import Checkpoint, CheckpointError
from models.precision import resolve_device
from models.registry import Registry, RegistryError
from models.training.data.splits import read_splits
from models.training.evaluation.likelihood import text_likelihood
from models.training.evaluation.metrics import bits_per_byte
from models.training.loading import read_recipe
from models.training.tasks import task_of

MEMORY = 1024  # MiB: room for all that 100 MB of text teach PPMd; without it, it forgets all and starts again
MOST_MEMORY = 4095  # of variant H
ORDER = 8  # bytes before a byte that PPMd looks at

Say = Callable[[str], None]
Size = Callable[[Iterable[bytes]], int]  # of the compressed pieces, bytes


@dataclass(frozen=True)
class Texts:
    """Normalized; none is empty."""

    training: Iterable[str]  # may be iterated several times
    held_out: Sequence[str]


@dataclass(frozen=True)
class Measured:
    name: str
    bits_per_byte: float
    seconds: float


@dataclass(frozen=True)
class Lines:
    """The texts of a plain file, one a line, or of rows: normalized, and read anew each time."""

    read: Callable[[], Iterable[str]]

    def __iter__(self) -> Iterator[str]:
        return (text for text in map(formats.normalize, self.read()) if text)


def run(
    *,
    checkpoint: str,
    registry: str,
    data: Path | None,
    training: Path | None,
    held_out: Path | None,
    order: int,
    memory: int,
    xz: bool,
    console: Console,
) -> dict[str, Any]:
    """Either `data`, the folder that the checkpoint's recipe names its files in, or two files with a text a line."""
    try:
        loaded = Registry(registry).load(checkpoint, resolve_device("auto"))
    except (CheckpointError, RegistryError) as error:
        raise ValueError(str(error)) from error
    if loaded.config.kind != "decoder":
        raise ValueError(f"{checkpoint} is made to {loaded.manifest.task}: only a generator tells how likely a text is")
    if (data is None) == (training is None or held_out is None):
        raise ValueError("give either --data, the folder of the recipe's files, or both --training and --held-out")
    with tempfile.TemporaryDirectory(prefix="triptych-compression-") as folder, console.status("reading") as status:
        if data is not None:
            texts = of_recipe(loaded, data, Path(folder), status.update)
        else:
            assert training is not None
            assert held_out is not None
            texts = Texts(_lines(training), list(_lines(held_out)))
        if not texts.held_out:
            raise ValueError("there is no held-out text")
        found = compare(loaded, texts, order=order, memory=memory, xz=xz, say=status.update)
    size, given = sum(len(text.encode()) for text in texts.held_out), [row.bits_per_byte for row in found[:2]]
    table = Table(title=f"{len(texts.held_out):,} held-out texts, {size:,} bytes", title_justify="left", box=box.SIMPLE)
    for name in ("", "bits per byte", "seconds"):
        table.add_column(name, justify="right" if name else "left")
    for row in found:
        table.add_row(row.name, f"{row.bits_per_byte:.4f}", f"{row.seconds:,.1f}")
    console.print(table)
    console.print(f"the generator's bits to PPMd's: {given[0] / given[1]:.3f}")
    return {"texts": len(texts.held_out), "bytes": size, "measured": [asdict(row) for row in found]}


def of_recipe(checkpoint: Checkpoint, data: Path, folder: Path, say: Say) -> Texts:
    """The texts that the checkpoint's recipe trains on, cleaned, and the ones it holds out."""
    recipe = read_recipe(checkpoint.manifest.training["recipe"])
    splits = read_splits(task_of(recipe), recipe, data, folder, say)
    held_out = list(Lines(lambda: (row.target for row in splits.validation)))
    return Texts(Lines(lambda: (row.target for row in splits.training)), held_out)


def compare(
    checkpoint: Checkpoint, texts: Texts, *, order: int, memory: int, xz: bool, say: Say = lambda line: None
) -> list[Measured]:
    """The generator, PPMd and, with `xz`, LZMA."""
    say("likelihood")
    started = time.perf_counter()
    found = text_likelihood(checkpoint.model, checkpoint.tokenizer, checkpoint.config, texts.held_out)
    own = bits_per_byte(found.nats, texts.held_out)
    manifest = checkpoint.manifest
    rows = [Measured(f"{manifest.name}@{manifest.version}", own, time.perf_counter() - started)]
    compressors: dict[str, Size] = {
        f"PPMd, order {order}, {memory} MiB": lambda pieces: ppmd_size(pieces, order, memory)
    }
    if xz:
        compressors["xz"] = xz_size
    for name, size in compressors.items():
        say(name)
        started = time.perf_counter()
        bits = primed_bits_per_byte(texts, size)
        rows.append(Measured(name, bits, time.perf_counter() - started))
    return rows


def primed_bits_per_byte(texts: Texts, size: Size) -> float:
    """What the held-out texts add to the compressed training texts."""
    alone = size(_bytes(texts.training))
    together = size(_bytes(itertools.chain(texts.training, texts.held_out)))
    return 8 * (together - alone) / sum(len(text.encode()) for text in texts.held_out)


def ppmd_size(pieces: Iterable[bytes], order: int = ORDER, memory: int = MEMORY) -> int:
    """Raises ValueError where the package is missing, or for settings that PPMd does not have."""
    try:
        import pyppmd
    except ImportError as error:
        raise ValueError("PPMd needs pyppmd: pip install -e '.[bench]'") from error
    if not 2 <= order <= 64 or not 1 <= memory <= MOST_MEMORY:
        raise ValueError(f"order is {order} and memory {memory} MiB, expected 2 to 64 and 1 to {MOST_MEMORY}")
    encoder = pyppmd.Ppmd7Encoder(order, memory << 20)
    return sum(len(encoder.encode(piece)) for piece in pieces) + len(encoder.flush())


def xz_size(pieces: Iterable[bytes]) -> int:
    """LZMA2 at its strongest: it sees the last 64 MiB."""
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}]
    compressor = lzma.LZMACompressor(lzma.FORMAT_RAW, filters=filters)
    return sum(len(compressor.compress(piece)) for piece in pieces) + len(compressor.flush())


def _bytes(texts: Iterable[str]) -> Iterator[bytes]:
    """A thousand texts a piece: a call for each would take longer than the compression."""
    lines = (text.encode() + b"\n" for text in texts)
    while piece := b"".join(itertools.islice(lines, 1000)):
        yield piece


def _lines(path: Path) -> Lines:
    def read() -> Iterator[str]:
        with path.open(encoding="utf-8") as file:
            yield from file

    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    return Lines(read)
