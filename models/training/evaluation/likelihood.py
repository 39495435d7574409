"""How likely a model finds given texts: teacher-forced, nothing is generated.

The model is a generator as the engine has it, converted to its precision, or any that gives `hidden` and `logits`.
Shapes: B rows, T tokens, N scored positions, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from models import formats
from models.config import Config, EncoderConfig
from models.formats import GENERATION, Format
from models.interface import CausalBatch, Prompts
from models.tokenizer import Tokenizer

BATCH_TOKENS = 4096  # padded, of one pass
LOGITS_AT_A_TIME = 512  # positions that are projected at once: a vocabulary of 50,000 makes 100 MB of them

Tick = Callable[[int], object]  # is told how many more rows have been read


@dataclass(frozen=True, slots=True)
class Window:
    """Ids that fit into the model; those from `first` on are scored, given all before them."""

    ids: list[int]
    first: int

    @property
    def scored(self) -> int:
        return len(self.ids) - self.first


def context_of(config: Config) -> int:
    """Tokens that a decoder reads at once: its start token, and all that it can say after it."""
    return config.max_output + 1


@dataclass(frozen=True)
class Likelihood:
    """Of texts, in their order."""

    nats_each: list[float]  # summed negative log-likelihood, of the end token too
    tokens_each: list[int]
    windows: int  # of all together

    @property
    def nats(self) -> float:
        return sum(self.nats_each)

    @property
    def tokens(self) -> int:
        return sum(self.tokens_each)


def windows(prompt: list[int], text: list[int], context: int, stride: int | None = None) -> Iterator[Window]:
    """A text's ids as windows of at most `context` inputs, each id scored once; `prompt` begins each and is not scored.

    A text that fits is one window. Of a longer one, each further window scores `stride` ids (half of what fits unless
    given) after as many before them as there is room for. Raises ValueError where the prompt leaves no room.
    """
    room = context + 1 - len(prompt)  # the last id is only predicted, never read
    if room < 2:
        raise ValueError(f"the prompt has {len(prompt)} tokens, the model reads {context}: there is no room for a text")
    stride = room // 2 if stride is None else stride
    if not 1 <= stride <= room:
        raise ValueError(f"stride is {stride}, expected 1 to {room}: the tokens that fit after the prompt")
    end = min(room, len(text))
    yield Window([*prompt, *text[:end]], len(prompt))
    while end < len(text):
        scored = min(stride, len(text) - end)
        end += scored
        ids = [*prompt, *text[end - room : end]]
        yield Window(ids, len(ids) - scored)


@torch.inference_mode()
def negative_log_likelihoods(
    model: Any, rows: Sequence[Window], *, pad_id: int, tick: Tick = lambda rows: None
) -> list[float]:
    """Nats of each row's scored ids, in the order given."""
    device = next(model.parameters()).device
    nats = [0.0] * len(rows)
    for chosen in _batches([len(row.ids) - 1 for row in rows]):
        some = [rows[index] for index in chosen]
        tokens_BT = pad_sequence([torch.tensor(row.ids) for row in some], batch_first=True, padding_value=pad_id)
        places = [(row, place) for row, window in enumerate(some) for place in range(window.first, len(window.ids))]
        rows_N, places_N = (torch.tensor(values, device=device) for values in zip(*places, strict=True))
        tokens_BT = tokens_BT.to(device)
        hidden_BTC = model.hidden(CausalBatch(tokens_BT=tokens_BT[:, :-1]))
        found_N = _log_probabilities(model.logits, hidden_BTC[rows_N, places_N - 1], tokens_BT[rows_N, places_N])
        sums_B = torch.zeros(len(some), dtype=torch.float64, device=device).index_add_(0, rows_N, found_N.double())
        for index, total in zip(chosen, sums_B.tolist(), strict=True):
            nats[index] = -total
        tick(len(chosen))
    return nats


def text_likelihood(
    model: Any,
    tokenizer: Tokenizer,
    config: Any,  # of a decoder
    texts: Sequence[str],
    prompts: Sequence[str] | None = None,
    *,
    format: Format = GENERATION,
    stride: int | None = None,
    track: Callable[[int], Tick] = lambda rows: lambda done: None,
) -> Likelihood:
    """Of whole texts, their end tokens included, each after its prompt (the start token where there is none; of a model
    that reads none, either, the text's first token). `track` gets the number of windows.
    """
    of_each: list[list[Window]] = []
    for number, text in enumerate(texts):
        prompt = format.prompt(tokenizer, prompts[number] if prompts else "")
        ids = [*tokenizer.encode(format.text(text)), config.end_id]
        if not prompt:
            prompt, ids = ids[:1], ids[1:] or ids
        of_each.append(list(windows(prompt, ids, context_of(config), stride)))
    rows = [window for some in of_each for window in some]
    nats = iter(negative_log_likelihoods(model, rows, pad_id=config.pad_id, tick=track(len(rows))))
    nats_each: list[float] = [sum(islice(nats, len(some))) for some in of_each]
    return Likelihood(nats_each, [sum(window.scored for window in some) for some in of_each], len(rows))


@dataclass(frozen=True)
class MaskedWords:
    """How well a pre-trained encoder guesses words that were hidden from it, text by text."""

    right_each: list[int]
    words_each: list[int]
    nats_each: list[float]

    @property
    def words(self) -> int:
        return sum(self.words_each)


@torch.inference_mode()
def masked_words(
    model: Any, tokenizer: Tokenizer, config: Config, texts: Sequence[tuple[str, str | None]], *, seed: int = 1
) -> MaskedWords:
    """Hide 15 % of each text's words, at least one, and have the model guess them.

    Unlike in training every chosen word is hidden, so that the answer is of guessing alone. Texts longer than the
    model reads are cut. Raises ValueError for an encoder that has no head for words.
    """
    assert isinstance(config, EncoderConfig), "only an encoder is asked"
    if config.outputs != "all":
        raise ValueError("this encoder has no head that guesses words: there is nothing of it alone to measure")
    mask_id = tokenizer.id("[MASK]")
    special = torch.tensor([tokenizer.id(name) for name in ("[CLS]", "[SEP]", "[PAD]", "[UNK]") if tokenizer.has(name)])
    random = torch.Generator().manual_seed(seed)
    device = next(model.parameters()).device
    read = [formats.classification_prompt(tokenizer, *text) for text in texts]
    pieces = [(ids[: config.max_prompt], segments[: config.max_prompt]) for ids, segments in read]
    right_T, words_T, nats_T = (torch.zeros(len(texts), dtype=torch.float64) for _ in range(3))
    for chosen in _batches([len(ids) for ids, _ in pieces]):
        tokens_BS, segments_BS = (
            pad_sequence([torch.tensor(pieces[i][part]) for i in chosen], batch_first=True, padding_value=fill)
            for part, fill in ((0, config.pad_id), (1, 0))
        )
        lengths_B = torch.tensor([len(pieces[i][0]) for i in chosen])
        may_BS = (torch.arange(tokens_BS.shape[1]) < lengths_B[:, None]) & ~torch.isin(tokens_BS, special)
        draws_BS = torch.rand(tokens_BS.shape, generator=random).masked_fill(~may_BS, 2.0)
        hidden_BS = ((draws_BS < 0.15) | (draws_BS == draws_BS.amin(1, keepdim=True))) & may_BS
        targets_N = tokens_BS[hidden_BS].to(device)
        if not len(targets_N):
            continue
        prompts = Prompts(
            tokens_BS=tokens_BS.masked_fill(hidden_BS, mask_id).to(device),
            lengths_B=lengths_B.to(device),
            segments_BS=segments_BS.to(device),
        )
        vectors_NC = model.hidden(prompts)[hidden_BS.to(device)]
        costs_N = _log_probabilities(model.masked_words, vectors_NC, targets_N).double().neg().cpu()
        guesses = [model.masked_words(some).argmax(1) for some in vectors_NC.split(LOGITS_AT_A_TIME)]
        right_N = (torch.cat(guesses) == targets_N).double().cpu()
        owners_N = torch.tensor(chosen)[hidden_BS.nonzero()[:, 0]]
        for total_T, values_N in ((right_T, right_N), (words_T, torch.ones_like(right_N)), (nats_T, costs_N)):
            total_T.index_add_(0, owners_N, values_N)
    return MaskedWords(right_T.int().tolist(), words_T.int().tolist(), nats_T.tolist())


def _log_probabilities(project: Callable[[Tensor], Tensor], vectors_NC: Tensor, targets_N: Tensor) -> Tensor:
    """[N] float32, of each target."""
    parts = zip(vectors_NC.split(LOGITS_AT_A_TIME), targets_N.split(LOGITS_AT_A_TIME), strict=True)
    found = [project(some_NC).float().log_softmax(1).gather(1, targets[:, None])[:, 0] for some_NC, targets in parts]
    return torch.cat(found)


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices of rows of similar length, longest first, at most BATCH_TOKENS padded tokens together."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        if batch and (len(batch) + 1) * lengths[batch[0]] > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
