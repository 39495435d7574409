"""The table of a translator's shortlists, from parallel text."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from models.checkpoint import Checkpoint
from models.formats import TRANSLATION
from models.shortlist import Pair, Shortlist, learned
from models.tokenizer import Tokenizer
from models.training.evaluation.testfile import known_columns
from service.scoring.options import Options, listed

LONGEST = 100  # tokens of a side: pairs that are longer say little of which token translates which


def learned_from(
    checkpoint: Checkpoint, files: Sequence[Options], console: Console, *, best: int, frequent: int
) -> Shortlist:
    """For each direction of the checkpoint that a file has both columns of.

    Raises ValueError where the checkpoint has no directions, and where no file has any of them.
    """
    manifest = checkpoint.manifest
    if not manifest.language_pairs:
        raise ValueError(f"a shortlist is of a translator; {manifest.name} is made to {manifest.task}")
    pairs: dict[str, dict[str, list[Pair]]] = {}  # by target and source language
    for options in files:
        for source, target in _directions(checkpoint, options):
            read = options.read([source, target], console).translations(source, target)
            found = pairs.setdefault(target, {}).setdefault(source, [])
            found += _encoded(checkpoint, source, target, *read)
    if not any(some for sources in pairs.values() for some in sources.values()):
        served = listed(manifest.language_pairs)
        raise ValueError(
            f"no file has pairs of at most {LONGEST} tokens a side of {served}: say what the columns are with --columns"
        )
    for target, sources in pairs.items():
        for source, some in sources.items():
            console.print(f"{source}-{target}: {len(some):,} pairs")
    return learned(
        {target: list(sources.values()) for target, sources in pairs.items()},
        vocabulary=checkpoint.config.vocab_size,
        best=best,
        frequent=frequent,
        always=always_allowed(checkpoint.tokenizer.target, checkpoint.config.vocab_size),
    )


def always_allowed(tokenizer: Tokenizer, vocabulary: int) -> list[int]:
    """Special tokens, tokens without a letter, such as digits, signs and bytes, and the letters of alphabets that have
    small and capital ones: with these anything can be spelled."""
    texts = ((id, tokenizer.decode([id], keep_special=True).strip()) for id in range(vocabulary))
    return [id for id, text in texts if tokenizer.is_special(id) or not any(map(str.isalpha, text)) or _is_letter(text)]


def _is_letter(text: str) -> bool:
    return len(text) == 1 and text.lower() != text.upper()


def _directions(checkpoint: Checkpoint, options: Options) -> list[tuple[str, str]]:
    served = checkpoint.manifest.language_pairs
    if not options.columns and len(served) == 1:
        return list(served)  # a file that names no column says what is missing when it is read
    columns = {column.partition("=")[0] for column in options.columns}
    languages = list(dict.fromkeys(language for pair in served for language in pair))
    columns = columns or {*known_columns(options.file, languages, options.format)}
    return [pair for pair in served if {*pair} <= columns]


def _encoded(
    checkpoint: Checkpoint, source: str, target: str, sources: Sequence[str], references: Sequence[str]
) -> list[Pair]:
    """What the model reads of each pair, and what it is to write."""
    tokenizer, format = checkpoint.tokenizer, checkpoint.manifest.format or TRANSLATION
    wanted = tokenizer.target.encode_batch([format.text(text) for text in references])
    read = [format.source(tokenizer, text, target, source) for text in sources]
    return [each for each in zip(read, wanted, strict=True) if all(0 < len(side) <= LONGEST for side in each)]
