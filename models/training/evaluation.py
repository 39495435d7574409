"""Scores of a trained model on test files, from answers somebody else computes.

`answer` is any function from inputs to outputs: the serving engine (`service.scoring`), a running service, or another
system that is compared with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from models import formats
from models.checkpoint import Checkpoint
from models.interface import CausalBatch
from models.training.data import Row, padded, read_corpus
from models.training.recipe import Recipe

AnswerTranslations = Callable[[Sequence[str], str, str], Sequence[str]]  # texts, source and target language
AnswerLabels = Callable[[Sequence[str]], Sequence[str]]  # texts -> labels


def bleu(hypotheses: Sequence[str], references: Sequence[str]) -> dict[str, Any]:
    """Corpus BLEU (Papineni et al. 2002) and chrF of cased text, with sacrebleu's signature (Post 2018)."""
    from sacrebleu.metrics import BLEU, CHRF  # an extra: serving does not need it

    measure, characters = BLEU(), CHRF()
    return {
        "bleu": round(measure.corpus_score(list(hypotheses), [list(references)]).score, 2),
        "chrf": round(characters.corpus_score(list(hypotheses), [list(references)]).score, 2),
        "signature": str(measure.get_signature()),
        "sentences": len(references),
    }


def accuracy(answers: Sequence[str], expected: Sequence[str]) -> float:
    """Share of equal pairs. Raises ValueError when the lengths differ or there is nothing to measure."""
    if len(answers) != len(expected) or not expected:
        raise ValueError(f"{len(answers)} answers for {len(expected)} expected ones")
    return sum(a == b for a, b in zip(answers, expected, strict=True)) / len(expected)


def bits_per_byte(nats: float, texts: Sequence[str]) -> float:
    """Of texts whose summed negative log-likelihood is `nats`: comparable across tokenizers."""
    return nats / math.log(2) / sum(len(text.encode()) for text in texts)


def translation_scores(recipe: Recipe, data: Path, answer: AnswerTranslations) -> dict[str, Any]:
    """Of every test file and direction: {"tatoeba.fr-en.test fr-en": {"bleu": ...}}."""
    scores = {}
    for corpus in recipe.tests:
        rows = read_corpus(recipe, corpus, data)
        for source, target in corpus.pairs:
            chosen = [row for row in rows if row.language == target]
            hypotheses = answer([row.source for row in chosen], source, target)
            scores[f"{Path(corpus.file).stem} {source}-{target}"] = bleu(hypotheses, [row.target for row in chosen])
    return scores


def classification_scores(recipe: Recipe, data: Path, answer: AnswerLabels) -> dict[str, Any]:
    """Of every test file: {"nsmc.test": {"accuracy": ..., "texts": ...}}."""
    scores = {}
    for corpus in recipe.tests:
        rows = read_corpus(recipe, corpus, data)
        labels = answer([row.source for row in rows])
        share = accuracy(labels, [row.target for row in rows])
        scores[Path(corpus.file).stem] = {"accuracy": round(share, 4), "texts": len(rows)}
    return scores


@torch.inference_mode()
def generation_scores(checkpoint: Checkpoint, rows: Sequence[Row], batch: int = 64) -> dict[str, Any]:
    """Bits per byte of held-out texts read without their control tokens; the end token counts, its byte does not."""
    tokenizer, nats = checkpoint.tokenizer, 0.0
    device = next(checkpoint.model.parameters()).device
    texts, rows_of_ids = [], []
    for row in rows:
        ids = [*formats.generation_prompt(tokenizer, row.target), tokenizer.id("</s>")]
        if len(ids) <= checkpoint.config.max_prompt:
            texts.append(formats.normalize(row.target))
            rows_of_ids.append(torch.tensor(ids).numpy())
    order = sorted(range(len(texts)), key=lambda index: len(rows_of_ids[index]))
    for start in range(0, len(order), batch):
        some = [rows_of_ids[index] for index in order[start : start + batch]]
        tokens_BT = torch.from_numpy(padded(some, checkpoint.config.pad_id)).to(device)
        logits_BTV = checkpoint.model(CausalBatch(tokens_BT=tokens_BT[:, :-1])).float()
        lengths_B = torch.tensor([len(row) for row in some], device=device)
        scored_BT = torch.arange(1, tokens_BT.shape[1], device=device) < lengths_B[:, None]
        chosen = logits_BTV.log_softmax(2).gather(2, tokens_BT[:, 1:, None])[..., 0]
        nats -= float(chosen[scored_BT].sum())
    return {"bits_per_byte": round(bits_per_byte(nats, texts), 4), "texts": len(texts)}
