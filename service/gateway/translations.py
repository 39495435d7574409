"""Texts to be translated, as protocols ask for it that name no model: each by the first that has its languages.

And which language texts are in, as every protocol asks for it.

Knows nothing of bodies, of how answers look, and of what a protocol calls things: it is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from starlette.requests import Request

from service.errors import InvalidRequest
from service.gateway.context import RequestContext, timeout_s
from service.gateway.detection import LanguageScore, Ranking, ToDetect
from service.gateway.glossaries import Entries, used
from service.gateway.languages import Choice, Pair, resolve_pair
from service.gateway.limits import NamedText, check_decoding, check_total
from service.gateway.traffic import Asked, Envelope, Traffic
from service.messages import Completion, Decoding, ModelInfo, TranslateRequest
from service.messages.decoding import GREEDY


@dataclass(frozen=True, slots=True, kw_only=True)
class ToTranslate:
    texts: Sequence[str]
    called: str  # what the call says the texts with
    languages: Choice
    glossary: Entries = ()
    decoding: Callable[[ModelInfo], Decoding] = lambda info: GREEDY  # may refuse the call
    options: Mapping[str, Any] = field(default_factory=dict)  # further fields of each request

    def named(self) -> list[NamedText]:
        return _named(self.called, self.texts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    text: str
    alternatives: Sequence[str] = ()
    source: str  # the language, as the model has it: what was said, or found out
    score: float = 1.0  # 0 to 1: how sure that is


async def translated(traffic: Traffic, request: Request, asked: ToTranslate) -> list[Translation]:
    """Of each text. One that says nothing, or is in its target language already, comes back as it is."""
    check_count(traffic, asked.called, len(asked.texts))
    context = RequestContext.of(request.scope)
    context.texts = len(asked.texts)
    timeout = timeout_s(request.headers, traffic.settings.request_timeout_s)
    check_total(asked.named(), traffic.settings.max_characters)
    infos = await traffic.catalogue.infos("translate", None)
    available = pairs_of(infos)
    possible = asked.languages.possible(available)
    rankings: Sequence[Ranking] = ()
    if possible is not None:
        rankings = await traffic.detect(ToDetect(asked.texts, possible), context, timeout)
    pairs = asked.languages.of(available, rankings, len(asked.texts))
    results: dict[int, Completion] = {}
    for info, indices in _by_model(infos, asked.texts, pairs):
        named = asked.named()
        call = await traffic.call(
            context,
            timeout,
            Asked(
                task="translate",
                model=info.name,
                inputs=len(indices),
                texts=[named[index] for index in indices],
                requests=partial(_requests, asked, pairs, indices),
            ),
        )
        for index, answer in zip(indices, await traffic.answering.all(call, request.receive), strict=True):
            assert isinstance(answer.result, Completion)
            results[index] = answer.result
    return [
        Translation(
            text=results[index].text if index in results else text,
            alternatives=[each.text for each in results[index].alternatives] if index in results else [],
            source=pair[0],
            score=_score(rankings[index], pair[0]) if rankings else 1.0,
        )
        for index, (text, pair) in enumerate(zip(asked.texts, pairs, strict=True))
    ]


async def translated_into(
    traffic: Traffic, request: Request, asked: ToTranslate, targets: Sequence[str]
) -> list[Sequence[Translation]]:
    """Of each text in each of the `targets`, which are asked for one after the other, and count as so many texts."""
    count = len(asked.texts) * len(targets)
    check_count(traffic, f"{asked.called}, each into {len(targets)} languages," if targets[1:] else asked.called, count)
    check_total(asked.named() * len(targets), traffic.settings.max_characters)
    found = [
        await translated(traffic, request, replace(asked, languages=replace(asked.languages, target=target)))
        for target in targets
    ]
    RequestContext.of(request.scope).texts = count
    return list(zip(*found, strict=True))


async def ranked(
    traffic: Traffic, request: Request, texts: Sequence[NamedText], model: str | None = None
) -> list[Ranking]:
    """How likely each text is in each of the languages that `model` translates, or all do. No worker is asked."""
    context = RequestContext.of(request.scope)
    context.texts = len(texts)
    check_total(texts, traffic.settings.max_characters)
    timeout = timeout_s(request.headers, traffic.settings.request_timeout_s)
    pairs = pairs_of(await traffic.catalogue.infos("translate", model))
    sources = list(dict.fromkeys(source for source, _ in pairs))
    return await traffic.detect(ToDetect([each.text for each in texts], sources), context, timeout)


async def detected(traffic: Traffic, request: Request, called: str, texts: Sequence[str]) -> list[LanguageScore]:
    """The likeliest language of each text, of those that all models translate."""
    check_count(traffic, called, len(texts))
    return [ranking[0] for ranking in await ranked(traffic, request, _named(called, texts))]


def check_count(traffic: Traffic, called: str, count: int) -> None:
    if not count:
        raise InvalidRequest(f"{called} is an empty list", parameter=called)
    if count > traffic.max_inputs:
        said = f"{called} has {count} texts, the limit is {traffic.max_inputs}"
        raise InvalidRequest(said, parameter=called, limit=traffic.max_inputs)


def pairs_of(infos: Sequence[ModelInfo]) -> list[Pair]:
    return list(dict.fromkeys(pair for info in infos for pair in info.language_pairs))


def examples_of(models: Sequence[ModelInfo]) -> Iterator[tuple[str, list[str], Pair]]:
    """Of what the models say that they answer well: what it shows, texts, and their languages."""
    for model in models:
        for shown, body in model.examples.items() if model.task == "translate" else ():
            inputs, parameters = body.get("inputs"), body.get("parameters") or {}
            texts = inputs if isinstance(inputs, list) else [inputs]
            if not body.get("stream") and parameters.keys() <= {"src_lang", "tgt_lang"}:
                source, target = parameters.get("src_lang"), parameters.get("tgt_lang")
                yield shown, texts, resolve_pair(model.language_pairs, source, target, "src_lang and tgt_lang")


def _named(called: str, texts: Sequence[str]) -> list[NamedText]:
    return [NamedText(index, f"{called}[{index}]", text) for index, text in enumerate(texts)]


def _by_model(
    infos: Sequence[ModelInfo], texts: Sequence[str], pairs: Sequence[Pair]
) -> list[tuple[ModelInfo, list[int]]]:
    """Which model is asked for which texts: the first that has the pair. What stays as it is asks for none."""
    asked: dict[str, list[int]] = {}
    for index, (text, pair) in enumerate(zip(texts, pairs, strict=True)):
        model = next((info for info in infos if pair in info.language_pairs), None)
        if model is not None and text.strip():
            asked.setdefault(model.name, []).append(index)
    return [(info, asked[info.name]) for info in infos if info.name in asked]


def _requests(
    asked: ToTranslate, pairs: Sequence[Pair], indices: Sequence[int], info: ModelInfo, envelope: Envelope
) -> list[TranslateRequest]:
    decoding = asked.decoding(info)
    check_decoding(decoding, info)
    glossary = used(asked.glossary, asked.texts)
    return [
        TranslateRequest(
            text=asked.texts[index],
            source_language=pairs[index][0],
            target_language=pairs[index][1],
            glossary=glossary,
            decoding=decoding,
            **asked.options,
            **envelope.of(position),
        )
        for position, index in enumerate(indices)
    ]


def _score(ranking: Ranking, language: str) -> float:
    return next((each.score for each in ranking if each.language == language), 0.0)
