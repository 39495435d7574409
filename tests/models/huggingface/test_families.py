"""Published models give the logits that `transformers` gives."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.huggingface.directory import Directory
from models.huggingface.families import FAMILIES
from models.interface import CausalBatch, Prompts, Seq2SeqBatch
from tests.models.huggingface.published import DECODERS, ENCODERS, TRANSLATORS, made, read_model, written

LENGTHS = torch.tensor([20, 7, 12])
MASK = (torch.arange(20) < LENGTHS[:, None]).long()


def tokens(pad: int) -> Tensor:
    torch.manual_seed(1)
    return torch.where(MASK.bool(), torch.randint(5, 96, MASK.shape), pad)


def close(ours: Tensor, theirs: Tensor) -> None:
    assert theirs.std() > 0.1, "outputs that are all alike show nothing"
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", DECODERS)
@torch.no_grad()
def test_a_decoder_gives_the_same_logits(name: str, tmp_path: Path) -> None:
    theirs = made(*DECODERS[name], "causal")
    ours = read_model(written(theirs, tmp_path))
    ids = torch.randint(3, 97, (2, 40))
    close(ours(CausalBatch(tokens_BT=ids)), theirs(ids).logits)


@pytest.mark.parametrize("name", ENCODERS)
@torch.no_grad()
def test_a_classifier_gives_the_same_logits(name: str, tmp_path: Path) -> None:
    theirs = made(*ENCODERS[name], "labels")
    ours = read_model(written(theirs, tmp_path))
    ids = tokens(theirs.config.pad_token_id)
    close(ours(Prompts(tokens_BS=ids, lengths_B=LENGTHS)), theirs(ids, attention_mask=MASK).logits)


@pytest.mark.parametrize("head", ["none", "words"])
@pytest.mark.parametrize("name", ENCODERS)
@torch.no_grad()
def test_an_encoder_gives_the_same_vectors_whatever_it_was_trained_to_say(name: str, head: str, tmp_path: Path) -> None:
    theirs = made(*ENCODERS[name], head)
    ours = read_model(written(theirs, tmp_path))
    ids = tokens(theirs.config.pad_token_id)
    hidden = theirs(ids, attention_mask=MASK, output_hidden_states=True).hidden_states[-1]
    found = ours.hidden(Prompts(tokens_BS=ids, lengths_B=LENGTHS))  # type: ignore[operator]
    close(found[MASK.bool()], hidden[MASK.bool()])


@pytest.mark.parametrize("name", TRANSLATORS)
@torch.no_grad()
def test_an_encoder_decoder_gives_the_same_logits(name: str, tmp_path: Path) -> None:
    theirs = made(*TRANSLATORS[name], "seq2seq")
    ours = read_model(written(theirs, tmp_path))
    source, target = tokens(theirs.config.pad_token_id), torch.randint(5, 96, (3, 15))
    batch = Seq2SeqBatch(source_BS=source, source_lengths_B=LENGTHS, target_BT=target)
    close(ours(batch), theirs(source, attention_mask=MASK, decoder_input_ids=target).logits)


def test_every_family_is_tried(tmp_path: Path) -> None:
    tried = {made(family, values, "none").config.model_type for family, values in [*DECODERS.values()]}
    tried |= {made(family, values, "none").config.model_type for family, values in [*ENCODERS.values()]}
    tried |= {made(*each, "seq2seq").config.model_type for each in TRANSLATORS.values()}
    assert tried == {*FAMILIES}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_keep_their_number_format_and_may_lie_in_pieces(dtype: torch.dtype, tmp_path: Path) -> None:
    theirs = made(*DECODERS["qwen2"], "causal").to(dtype)
    written(theirs, tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    ours = read_model(tmp_path)
    assert {parameter.dtype for parameter in ours.parameters()} == {dtype}
    assert torch.equal(ours.embedding.token.weight, theirs.model.embed_tokens.weight)  # type: ignore[union-attr]


def test_a_file_without_the_models_prefix_and_with_masks_of_old_is_read(tmp_path: Path) -> None:
    theirs = made(*DECODERS["gpt2"], "none")
    theirs.h[0].attn.register_buffer("bias", torch.ones(1, 1, 64, 64).bool())
    written(theirs, tmp_path)
    config = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(config.replace("GPT2Model", "GPT2LMHeadModel"))
    assert Directory(tmp_path).json("config.json")["architectures"] == ["GPT2LMHeadModel"]
    ours = read_model(tmp_path)
    assert torch.equal(ours.norm.weight, theirs.ln_f.weight)  # type: ignore[union-attr]
