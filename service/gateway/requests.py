"""A checked body and what is known of the model to the requests its worker gets.

Knows nothing of HTTP and of how requests travel.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from typing import Any

from service.errors import EmptyInput, InputTooLong, InvalidRequest
from service.gateway.languages import resolve_pair
from service.gateway.quoting import quoted
from service.gateway.schemas import (
    ClassifyBody,
    ClassifyParameters,
    DecodingParameters,
    GenerateBody,
    GenerateParameters,
    TranslateBody,
    TranslateParameters,
)
from service.messages import ClassifyRequest, Decoding, GenerateRequest, ModelInfo, TranslateRequest

TaskBody = TranslateBody | GenerateBody | ClassifyBody


class RequestFactory:
    """Makes the requests of one HTTP call: their ids, their deadline, and whether they stream."""

    def __init__(self, request_id: str, left_s: float, *, stream: bool = False) -> None:
        # The client may use its id again while the first request is alive; ours must not collide.
        self._prefix = f"{request_id}.{secrets.token_hex(4)}"
        self._deadline = time.time() + left_s
        self._stream = stream

    def translate(self, body: TranslateBody, info: ModelInfo) -> list[TranslateRequest]:
        parameters = body.parameters or TranslateParameters()
        source, target = resolve_pair(info.language_pairs, parameters.src_lang, parameters.tgt_lang)
        decoding = _decoding(parameters, info)
        return [
            TranslateRequest(
                text=text,
                source_language=source,
                target_language=target,
                decoding=decoding,
                target_prefix=parameters.target_prefix or "",
                min_length_ratio=parameters.min_length_ratio,
                max_length_ratio=parameters.max_length_ratio,
                return_alignment=parameters.aligns,
                alignment_layer=parameters.alignment_layer,
                **self._common(index, parameters.priority),
            )
            for index, text in enumerate(body.inputs)
        ]

    def generate(self, body: GenerateBody, info: ModelInfo) -> list[GenerateRequest]:
        parameters = body.parameters or GenerateParameters()
        decoding, full = _decoding(parameters, info), bool(parameters.return_full_text)
        return [
            GenerateRequest(
                text=text, return_full_text=full, decoding=decoding, **self._common(index, parameters.priority)
            )
            for index, text in enumerate(body.inputs)
        ]

    def classify(self, body: ClassifyBody, info: ModelInfo) -> list[ClassifyRequest]:
        parameters = body.parameters or ClassifyParameters()
        _check_pairs(body, info)
        return [
            ClassifyRequest(
                text=pair.text,
                text_pair=pair.text_pair,
                top_k=parameters.top_k,
                function_to_apply=parameters.function_to_apply,
                **self._common(index, parameters.priority),
            )
            for index, pair in enumerate(body.inputs)
        ]

    def _common(self, index: int, priority: int | None) -> dict[str, Any]:
        return {
            "id": f"{self._prefix}.{index}",
            "stream": self._stream,
            "deadline": self._deadline,
            "priority": priority or 0,
        }


def _decoding(parameters: DecodingParameters, info: ModelInfo) -> Decoding:
    wanted = parameters.max_new_tokens
    if wanted is not None and wanted > info.max_new_tokens:
        raise InvalidRequest(
            f"parameters.max_new_tokens is {wanted}, the model's limit is {info.max_new_tokens}",
            parameter="parameters.max_new_tokens",
            limit=info.max_new_tokens,
        )
    least, most = parameters.min_new_tokens or 0, wanted or info.max_new_tokens
    if least > most:
        raise InvalidRequest(
            f"parameters.min_new_tokens is {least}, max_new_tokens is {most}",
            parameter="parameters.min_new_tokens",
            limit=most,
        )
    decoding = Decoding(
        max_new_tokens=wanted,
        min_new_tokens=least,
        do_sample=parameters.samples,
        temperature=1.0 if parameters.temperature is None else parameters.temperature,
        top_k=parameters.top_k,
        top_p=parameters.top_p,
        min_p=parameters.min_p,
        typical_p=parameters.typical_p,
        repetition_penalty=1.0 if parameters.repetition_penalty is None else parameters.repetition_penalty,
        presence_penalty=parameters.presence_penalty or 0.0,
        frequency_penalty=parameters.frequency_penalty or 0.0,
        logit_bias=tuple((parameters.logit_bias or {}).items()),
        stop=tuple(parameters.stop or ()),
        top_n_tokens=parameters.top_n_tokens or 0,
        seed=parameters.seed,
        no_repeat_ngram_size=parameters.no_repeat_ngram_size or 0,
        num_beams=parameters.num_beams or 1,
        num_return_sequences=parameters.results,
        length_penalty=1.0 if parameters.length_penalty is None else parameters.length_penalty,
        early_stopping=parameters.early_stopping or False,
    )
    decoding.check_results(info.slots)
    return decoding


def check_inputs(body: TaskBody, max_inputs: int) -> None:
    """What holds for every task: some texts, not too many, none of them empty, and one alone for a stream."""
    count = len(body.inputs)
    if not count:
        raise EmptyInput("inputs is an empty list")
    if count > max_inputs:
        raise InvalidRequest(f"inputs has {count} texts, the limit is {max_inputs}", limit=max_inputs)
    _check_results(body, count, max_inputs)
    for index, name, text in _all_texts(body):
        if not text.strip():
            raise EmptyInput(f"{name} is {quoted(text)}: there is nothing to work on", index=index)
    _check_stream(body, count)


def check_lengths(body: TaskBody, info: ModelInfo) -> None:
    """No text has more characters than the model could have room for, whatever they are: they need no tokenizing."""
    most = info.max_characters
    if most is None:
        return
    texts = [*_all_texts(body)]
    if isinstance(body, TranslateBody) and body.parameters is not None and body.parameters.target_prefix is not None:
        texts.append((0, "parameters.target_prefix", body.parameters.target_prefix))
    for index, name, text in texts:
        if len(text) > most:
            message = f"{name} has {len(text)} characters, the limit is {most}"
            raise InputTooLong(message, index=index, limit=most)


def _all_texts(body: TaskBody) -> Iterator[tuple[int, str, str]]:
    """Index of the input, what a message calls the text, and the text itself."""
    if isinstance(body, ClassifyBody):
        for index, pair in enumerate(body.inputs):
            yield index, f"inputs[{index}]", pair.text
            if pair.text_pair is not None:
                yield index, f"inputs[{index}].text_pair", pair.text_pair
        return
    for index, text in enumerate(body.inputs):
        yield index, f"inputs[{index}]", text


def _check_pairs(body: ClassifyBody, info: ModelInfo) -> None:
    paired = next((index for index, pair in enumerate(body.inputs) if pair.text_pair is not None), None)
    if paired is not None and not info.takes_pairs:
        raise InvalidRequest(
            f"inputs[{paired}] has a text_pair, but {info.name} ({info.version}) was trained on single texts: "
            "what it said of a pair would mean nothing",
            index=paired,
            parameter=f"inputs[{paired}].text_pair",
        )


def _check_results(body: TaskBody, count: int, most: int) -> None:
    """Samples cost what texts do; the results of a beam search cost what its beams do."""
    parameters = None if isinstance(body, ClassifyBody) else body.parameters
    if parameters is None or (parameters.num_beams or 1) > 1:
        return
    samples = count * parameters.results
    if samples > most:
        raise InvalidRequest(
            f"inputs has {count} texts with num_return_sequences {parameters.results}: {samples} results, "
            f"the limit is {most}",
            parameter="parameters.num_return_sequences",
            limit=most,
        )


def _check_stream(body: TaskBody, count: int) -> None:
    if not body.stream:
        return
    if isinstance(body, ClassifyBody):
        raise InvalidRequest("stream is true: a classification is one event, it cannot be streamed", parameter="stream")
    if count != 1:
        raise InvalidRequest(f"stream is true with {count} inputs, the limit is 1", parameter="stream", limit=1)
    if body.parameters is None:
        return
    beams, results = body.parameters.num_beams or 1, body.parameters.results
    if beams > 1:
        raise InvalidRequest(
            f"stream is true with num_beams {beams}, the limit is 1: a beam search knows its first token at its end",
            parameter="stream",
            limit=1,
        )
    if results > 1:
        raise InvalidRequest(
            f"stream is true with num_return_sequences {results}, the limit is 1", parameter="stream", limit=1
        )
