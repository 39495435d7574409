from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import ctranslate2
import numpy as np
import pytest
import torch

from loadtests.peers import ctranslate2_export, ctranslate2_peer
from models.config import GPTConfig, Seq2SeqConfig
from models.interface import Prompts
from models.shortlist import Translations
from tests.models.tiny import BERTS, CONFIGS, built, teacher_forced

TRANSLATORS = [name for name, config in CONFIGS.items() if isinstance(config, Seq2SeqConfig) and name != "bart"]
GENERATORS = [name for name, config in CONFIGS.items() if isinstance(config, GPTConfig)]
PROMPT = [7, 23, 5, 48, 11]


def prompt() -> Prompts:
    return Prompts(tokens_BS=torch.tensor([PROMPT]), lengths_B=torch.tensor([len(PROMPT)]))


@torch.inference_mode()
@pytest.mark.parametrize("name", TRANSLATORS)
def test_a_translator_gives_a_target_the_same_score_there(name: str, tmp_path: Path) -> None:
    model = built(CONFIGS[name])
    ctranslate2_export.seq2seq(model, tmp_path)
    names = ctranslate2_peer.vocabulary(vars(model.config))
    target = [9, 31, 14, 2]
    ours = teacher_forced(model, prompt(), target)[:-1].log_softmax(dim=1)
    translator = ctranslate2.Translator(str(tmp_path), compute_type="float32")
    # The end token is scored, too, without being given.
    (theirs,) = translator.score_batch([[names[t] for t in PROMPT]], [[names[t] for t in target[:-1]]])
    expected = [float(row[token]) for row, token in zip(ours, target, strict=True)]
    assert theirs.log_probs == pytest.approx(expected, abs=1e-4)


@torch.inference_mode()
@pytest.mark.parametrize("name", GENERATORS)
def test_a_generator_computes_the_same_logits_there(name: str, tmp_path: Path) -> None:
    model = built(CONFIGS[name])
    ctranslate2_export.gpt(model, tmp_path)
    names = ctranslate2_peer.vocabulary(vars(model.config))
    generator = ctranslate2.Generator(str(tmp_path), compute_type="float32")
    theirs = torch.from_numpy(np.array(generator.forward_batch([[names[t] for t in PROMPT]])))
    torch.testing.assert_close(theirs[0, -1], teacher_forced(model, prompt(), [])[-1], atol=1e-4, rtol=1e-4)


@torch.inference_mode()
@pytest.mark.parametrize("name", BERTS)
def test_a_classifier_computes_the_same_pooled_vector_there(name: str, tmp_path: Path) -> None:
    model = built(BERTS[name])
    ctranslate2_export.bert(model, tmp_path)
    encoder = ctranslate2.Encoder(str(tmp_path), compute_type="float32")
    theirs = torch.from_numpy(np.array(encoder.forward_batch([PROMPT]).pooler_output))
    torch.testing.assert_close(theirs, model.pool(model.hidden(prompt())), atol=1e-4, rtol=1e-4)


def test_a_table_becomes_a_map_that_allows_the_same_tokens(tmp_path: Path) -> None:
    model = built(CONFIGS["seq2seq-pre-sinusoidal-tied"])
    config = model.config
    ctranslate2_export.seq2seq(model, tmp_path)
    chance = np.random.default_rng(0)
    table = Translations(
        tokens=chance.integers(3, config.vocab_size, config.vocab_size * 2, dtype=np.int32),
        ends=np.arange(1, config.vocab_size + 1) * 2,
        always=np.array([20, 21], dtype=np.int32),
    )
    ctranslate2_export.vocabulary_map(table, config, tmp_path)
    names = ctranslate2_peer.vocabulary(vars(config))
    translator = ctranslate2.Translator(str(tmp_path), compute_type="float32")
    # As many outputs as there are tokens: every one that may come does.
    (result,) = translator.translate_batch(
        [[names[token] for token in PROMPT]],
        use_vmap=True,
        beam_size=1,
        num_hypotheses=len(names),
        return_alternatives=True,
        max_decoding_length=1,
    )
    found = {token for (token,) in result.hypotheses} - {"<s>", "<blank>"}  # which it adds, as it does the end
    assert found == {names[token] for token in table.of(PROMPT)}


def test_a_matrix_that_occurs_more_than_once_is_kept_once(tmp_path: Path) -> None:
    tied = CONFIGS["seq2seq-pre-sinusoidal-tied"]
    sizes = []
    for config in (tied, replace(tied, tied_embeddings=False)):
        directory = tmp_path / str(config.tied_embeddings)
        ctranslate2_export.seq2seq(built(config), directory)
        sizes.append((directory / "model.bin").stat().st_size)
    matrix = 61 * 32 * 4  # which tied ones have for the source, the target and the output
    assert sizes[1] - sizes[0] == pytest.approx(matrix, abs=matrix / 10), "an output matrix of its own, and no more"
