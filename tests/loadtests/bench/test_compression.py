from __future__ import annotations

import dataclasses
import json
import lzma
import math
from pathlib import Path

import pytest
from rich.console import Console

from loadtests.bench import compression
from loadtests.bench.cli import main
from loadtests.bench.compression import Texts, compare, ppmd_size, primed_bits_per_byte, xz_size
from models import checkpoint
from models.checkpoint import Checkpoint
from models.training.evaluation.likelihood import text_likelihood
from models.training.loading import read_recipe
from tests import checkpoints, tiny_recipes

TRAINING = [f"정말 재미있는 영화 {n}" for n in range(60)]
HELD_OUT = ["정말 재미있는 영화 99", "돈이 아깝다"]


@pytest.fixture
def generator(tmp_path: Path) -> Checkpoint:
    return checkpoints.generator(tmp_path / "generator")


def test_ppmd_in_pieces_is_ppmd_of_the_whole_and_can_be_decoded() -> None:
    import pyppmd

    text = "\n".join(TRAINING).encode()
    whole = pyppmd.Ppmd7Encoder(8, 1 << 24)
    expected = len(whole.encode(text) + whole.flush())
    pieces = [text[start : start + 100] for start in range(0, len(text), 100)]
    assert ppmd_size(pieces, 8, 16) == expected
    packed = b"".join([(encoder := pyppmd.Ppmd7Encoder(8, 1 << 24)).encode(text), encoder.flush()])
    assert pyppmd.Ppmd7Decoder(8, 1 << 24).decode(packed, len(text)) == text


def test_what_was_in_the_training_text_costs_next_to_nothing_and_what_was_not_costs() -> None:
    known, unknown = Texts(TRAINING, TRAINING[:20]), Texts(TRAINING, ["Où est la gare ?"])
    assert primed_bits_per_byte(known, ppmd_size) < 0.8
    assert primed_bits_per_byte(unknown, ppmd_size) > 3
    unprimed = 8 * ppmd_size(["\n".join(TRAINING[:20]).encode()]) / len("".join(TRAINING[:20]).encode())
    assert primed_bits_per_byte(known, ppmd_size) < unprimed


def test_only_the_held_out_texts_are_counted_and_their_ends_are_no_bytes() -> None:
    texts = Texts(["aaa", "bb"], ["cc", "d"])
    # A "compressor" that keeps every byte: 5 bytes of held-out lines for 3 bytes of text.
    assert primed_bits_per_byte(texts, lambda pieces: sum(map(len, pieces))) == 8 * 5 / 3


def test_xz_is_the_librarys_own() -> None:
    text = "\n".join(TRAINING).encode()
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}]
    assert xz_size([text]) == len(lzma.compress(text, lzma.FORMAT_RAW, filters=filters))


def test_the_generators_bits_are_of_the_same_bytes(generator: Checkpoint) -> None:
    rows = compare(generator, Texts(TRAINING, HELD_OUT), order=4, memory=16, xz=True)
    assert [row.name for row in rows] == ["generator@1", "PPMd, order 4, 16 MiB", "xz"]
    found = text_likelihood(generator.model, generator.tokenizer, generator.config, HELD_OUT)
    assert rows[0].bits_per_byte == found.nats / math.log(2) / sum(len(text.encode()) for text in HELD_OUT)


def test_the_texts_of_a_recipe_are_those_it_trains_on_cleaned_and_without_control_tokens(
    generator: Checkpoint, tmp_path: Path
) -> None:
    data = tiny_recipes.write_data(tmp_path / "data")
    with (data / "rated.tsv").open("a") as file:
        file.write("9\tㅋㅋㅋㅋㅋㅋㅋㅋ\n9\t정말   좋은\u3000영화였다고 생각한다\n")
    plain = {**tiny_recipes.RECIPES["generator"], "training": tiny_recipes.TRAINING, "cleaning": {"max_repeat": 4}}
    manifest = dataclasses.replace(
        generator.manifest, training={"recipe": json.loads(json.dumps(read_recipe(plain).model_dump()))}
    )
    texts = compression.of_recipe(
        dataclasses.replace(generator, manifest=manifest), data, tmp_path / "spool", lambda line: None
    )
    training = list(texts.training)
    assert training == list(texts.training)  # PPMd reads them twice
    assert len(texts.held_out) == 16
    everything = {*training, *texts.held_out}
    assert "정말 좋은 영화였다고 생각한다" in everything
    assert not any("<rating" in text or "ㅋㅋ" in text for text in everything)


def test_the_command_compares_on_files_too_and_writes_its_figures(
    generator: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, lines in (("training", TRAINING), ("held-out", HELD_OUT)):
        (tmp_path / f"{name}.txt").write_text("\n".join([*lines, "", " "]))
    main(
        ["compression", str(tmp_path / "generator"), "--training", str(tmp_path / "training.txt"),
         "--held-out", str(tmp_path / "held-out.txt"), "--memory", "16", "--json", str(tmp_path / "figures.json")],
        Console(),
    )  # fmt: skip
    output = capsys.readouterr().out
    assert "2 held-out texts, 45 bytes" in output
    assert "the generator's bits to PPMd's" in output
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert (figures["texts"], figures["bytes"]) == (2, 45)
    assert [row["name"] for row in figures["measured"]] == ["generator@1", "PPMd, order 8, 16 MiB"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "give either --data"),
        (["--data", "x", "--training", "x", "--held-out", "y"], "give either --data"),
        (["--training", "nowhere.txt", "--held-out", "nowhere.txt"], "nowhere.txt: no such file"),
    ],
)
def test_what_cannot_be_compared_is_said(
    generator: Checkpoint, tmp_path: Path, arguments: list[str], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        main(["compression", str(tmp_path / "generator"), *arguments], Console(quiet=True))


def test_only_a_generator_is_compared(tmp_path: Path) -> None:
    checkpoints.classifier(tmp_path / "classifier")
    with pytest.raises(ValueError, match="is made to classify: only a generator"):
        main(["compression", str(tmp_path / "classifier"), "--data", "x"], Console(quiet=True))
    with pytest.raises(ValueError, match="no model 'nobody'"):
        main(["compression", "nobody", "--data", "x"], Console(quiet=True))


def test_settings_that_ppmd_lacks_are_refused_with_the_limits() -> None:
    with pytest.raises(ValueError, match="order is 65 and memory 16 MiB, expected 2 to 64 and 1 to 4095"):
        ppmd_size([b"x"], 65, 16)


def test_a_checkpoint_whose_weights_were_changed_is_said(generator: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "generator" / checkpoint.WEIGHTS).write_bytes(b"")
    with pytest.raises(ValueError, match="SHA-256"):
        main(["compression", str(tmp_path / "generator"), "--data", "x"], Console(quiet=True))
