"""The translations of sentences as that of their text. Knows nothing of how they came about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from statistics import fmean
from typing import NamedTuple

from service.iso639 import language_and_variant
from service.messages import Alternative, Completion, Confidence, FinishReason, Sentence
from service.worker.tasks.task import EndedPart

UNSPACED = ("ja", "zh", "th", "lo", "km", "my")  # languages that put no space between sentences


class Completed(NamedTuple):
    """A sentence, and what it became."""

    ended: EndedPart
    completion: Completion

    def text(self, number: int) -> str:
        """The result `number`."""
        return self.completion.alternatives[number - 1].text if number else self.completion.text

    def stopped(self, number: int) -> bool:
        """Whether a stop string ended it: of a beam search there is one sequence for all results."""
        ends = self.ended.ends
        return ends[min(number, len(ends) - 1)].sequence.outcome == "stop_sequence"

    def sentence(self) -> Sentence:
        told = self.completion
        return Sentence(
            source=self.ended.part.source,
            text=told.text,
            finish_reason=told.finish_reason,
            score=told.score,
            alternatives=told.alternatives,
            alignment=told.alignment,
            confidence=told.confidence,
        )


def between(before: str, target_language: str) -> str:
    """What stands between two sentences of a translation, where `before` stood between those of the source."""
    if before in ("", " "):
        return "" if language_and_variant(target_language)[0] in UNSPACED else " "
    return before


def joined(completed: list[Completed], after: str, number: int) -> str:
    """The result `number` of all sentences, up to a stop string, with what stands around them."""
    texts = []
    for each in completed:
        texts += [each.ended.part.before, each.text(number)]
        if each.stopped(number):
            return "".join(texts)
    return "".join([*texts, after])


def put_together(completed: list[Completed], text: Callable[[int], str]) -> Completion:
    """`text` gives the whole text's result of a number: the second of all sentences makes the second of the text."""
    told = [each.completion for each in completed]
    first = told[0]
    others = [
        Alternative(
            text=text(number),
            score=fmean(each.alternatives[number - 1].score for each in told),
            seed=first.alternatives[number - 1].seed,
        )
        for number in range(1, 1 + min(len(each.alternatives) for each in told))
    ]
    return replace(
        first,
        text=text(0),
        finish_reason=_reason(told),
        prompt_tokens=sum(each.prompt_tokens for each in told),
        generated_tokens=sum(each.generated_tokens for each in told),
        score=None if first.score is None else fmean(each.score for each in told if each.score is not None),
        alternatives=tuple(others),
        alignment=first.alignment if len(told) == 1 else None,
        sentences=tuple(each.sentence() for each in completed) if len(told) > 1 else (),
        confidence=_confidence(told),
    )


def _confidence(completions: list[Completion]) -> Confidence | None:
    """Their mean, by tokens."""
    found = [each.confidence for each in completions if each.confidence is not None]
    if not found:
        return None
    tokens = [each.generated_tokens for each in completions]
    return Confidence(
        value=fmean((each.value for each in found), tokens),
        logprob=fmean((each.logprob for each in found), tokens),
        calibrated=found[0].calibrated,
    )


def _reason(completions: list[Completion]) -> FinishReason:
    """What ended the first sentence that did not come to its end."""
    return next((each.finish_reason for each in completions if each.finish_reason != "eos_token"), "eos_token")
