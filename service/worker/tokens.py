"""Texts as the tokens that a model reads, and tokens as text. Knows nothing of requests, and nothing waits for it."""

from __future__ import annotations

from service.errors import InvalidRequest
from service.messages import Detokenize, TextToken, Tokenize
from service.worker.tasks.task import WorkerTask


def tokenized(task: WorkerTask, asked: Tokenize) -> list[list[TextToken]]:
    """Of each text: normalized, as the model reads it."""
    before, after = ([], [])
    if asked.add_special_tokens:
        before, after = ([_special(task, id) for id in ids] for ids in task.format.around(task.tokenizer))
    return [[*before, *_tokens(task, text), *after] for text in asked.texts]


def detokenized(task: WorkerTask, asked: Detokenize) -> list[str]:
    """Raises InvalidRequest for an id that no token has."""
    known = task.tokenizer.vocab_size
    for index, ids in enumerate(asked.ids):
        wrong = next((place for place, id in enumerate(ids) if not 0 <= id < known), None)
        if wrong is not None:
            raise InvalidRequest(
                f"ids[{index}][{wrong}] is {ids[wrong]}, expected 0 to {known - 1}: "
                f"{task.manifest.reference} has {known} tokens",
                index=index,
                limit=known - 1,
            )
    return [task.tokenizer.decode(ids, keep_special=not asked.skip_special_tokens) for ids in asked.ids]


def _tokens(task: WorkerTask, text: str) -> list[TextToken]:
    """Their places are those of the text that was sent, which is told where normalizing has left it as it was."""
    read = task.format.text(text)
    return [
        TextToken(
            id=piece.id,
            text=piece.text,
            special=task.tokenizer.is_special(piece.id),
            start=piece.start if read == text else None,
            stop=piece.stop if read == text else None,
        )
        for piece in task.tokenizer.pieces(read)
    ]


def _special(task: WorkerTask, id: int) -> TextToken:
    return TextToken(id=id, text=task.tokenizer.decode([id], keep_special=True), special=True)
