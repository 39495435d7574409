"""What a checkpoint answers, straight from its three verbs: enough to score it where no engine is at hand.

Greedy and in fixed batches. Serving does not come here; `service.engine` is the real thing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from models import formats
from models.cache import KeyValueCache
from models.checkpoint import Checkpoint
from models.interface import Prompts
from models.training.data import Example, padded
from models.training.objectives import prompts


@torch.inference_mode()
def greedy_translations(
    checkpoint: Checkpoint, texts: Sequence[str], target_language: str, *, batch: int = 64
) -> list[str]:
    """The likeliest token at each step, at most twice the source's tokens plus ten."""
    config, tokenizer, model = checkpoint.config, checkpoint.tokenizer, checkpoint.model
    end = tokenizer.id("</s>")
    weight = next(model.parameters())
    sources = [formats.translation_source(tokenizer, text, target_language)[: config.max_prompt] for text in texts]
    outputs: list[str] = [""] * len(texts)
    order = sorted(range(len(texts)), key=lambda index: len(sources[index]))
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        tokens_BS = torch.from_numpy(padded([np.array(sources[index]) for index in chosen], config.pad_id))
        columns = tokens_BS.shape[1]
        steps = min(2 * columns + 10, config.max_output)
        cache = KeyValueCache.allocate(
            config.cache_shape, slots=len(chosen), length=steps + 1, source_length=columns, dtype=weight.dtype,
            device=weight.device,
        )  # fmt: skip
        lengths_B = torch.tensor([len(sources[index]) for index in chosen], device=weight.device)
        inputs = Prompts(tokens_BS=tokens_BS.to(weight.device), lengths_B=lengths_B)
        tokens_B = model.prefill(inputs, torch.arange(len(chosen), device=weight.device), cache).argmax(1)
        steps_B = [tokens_B]
        ended_B = tokens_B == end
        for position in range(1, steps):
            if ended_B.all():
                break
            tokens_B = model.decode(tokens_B, torch.full_like(tokens_B, position), cache).argmax(1)
            steps_B.append(tokens_B)
            ended_B |= tokens_B == end
        for index, row in zip(chosen, torch.stack(steps_B, dim=1).tolist(), strict=True):
            outputs[index] = tokenizer.decode(row[: row.index(end)] if end in row else row)
    return outputs


@torch.inference_mode()
def likeliest_labels(checkpoint: Checkpoint, texts: Sequence[str], *, batch: int = 64) -> list[str]:
    """The label with the highest logit; texts are cut to what the model reads."""
    config, tokenizer, model = checkpoint.config, checkpoint.tokenizer, checkpoint.model
    device = next(model.parameters()).device
    separator = tokenizer.id("[SEP]")
    rows = []
    for text in texts:
        ids = formats.classification_prompt(tokenizer, text)[0]
        rows.append(np.array([*ids[: config.max_prompt - 1], separator]))
    labels: list[str] = [""] * len(texts)
    order = sorted(range(len(texts)), key=lambda index: len(rows[index]))
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        examples = [Example(rows[index], np.array([0])) for index in chosen]
        inputs = prompts(examples, config.pad_id, separator)
        on_device = Prompts(
            tokens_BS=inputs.tokens_BS.to(device),
            lengths_B=inputs.lengths_B.to(device),
            segments_BS=None if inputs.segments_BS is None else inputs.segments_BS.to(device),
        )
        for index, label in zip(chosen, model(on_device).argmax(1).tolist(), strict=True):
            labels[index] = checkpoint.manifest.labels[label]
    return labels
