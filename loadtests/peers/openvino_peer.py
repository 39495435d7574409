"""OpenVINO as it runs a job best: sorted by length, in padded batches, caches kept as states inside the compiled model.

A decoder's best tokens are found inside the model, and only they come out. Beams are those of transformers' `generate`
with its defaults: length penalty 1, and a source ends when none of its running beams beats its worst finished one.
Imports no torch of its own, so that its memory is its own.

Shapes: B rows, M prompts, K beams, T new tokens, L tokens so far, S source tokens.
"""

from __future__ import annotations

import io
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as ops
from openvino import properties

from loadtests.bench.jobs import Contender, Entry, Ids, Job, Room, padded

ENCODER, DECODER = "openvino/encoder.xml", "openvino/decoder.xml"
NEVER = -1e9  # a score that no output has
HIDDEN = np.float32(-1e30)  # added to scores of what is not to be attended to; a number in bfloat16, too
FORMATS: dict[str, dict[str, str]] = {  # properties that say how it computes
    "float32": {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"},
    "bfloat16": {"INFERENCE_PRECISION_HINT": "bf16", "KV_CACHE_PRECISION": "bf16"},
    # What is not weights, as the plugin takes it by itself, but for the cache: in 8 bits, as it would have it, rows
    # that others leave go on with wrong keys and values.
    "int8": {"KV_CACHE_PRECISION": "bf16"},
}


@cache
def formats() -> tuple[str, ...]:
    """bfloat16 where the processor has it."""
    return tuple(name for name in FORMATS if name != "bfloat16" or "BF16" in capabilities())


@cache
def capabilities() -> list[str]:
    """Of the processor, as OpenVINO names them."""
    return list(ov.Core().get_property("CPU", properties.device.capabilities))


def open_model(entry: Entry, directory: Path, room: Room, threads: int) -> Contender:
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    peers: dict[str, Callable[[_Compiler, dict[str, Any]], Contender]]
    peers = {"seq2seq": _Translator, "gpt": _Generator, "bert": _Classifier}
    return peers[config["architecture"]](_Compiler(directory, entry.format, threads), config)


class _Compiler:
    def __init__(self, directory: Path, format: str, threads: int) -> None:
        self.core, self.directory, self.format = ov.Core(), directory, format
        self.properties = {
            "PERFORMANCE_HINT": "LATENCY",  # one stream that all threads work in
            "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": str(threads),
            **{name: value if "BF16" in capabilities() else "f32" for name, value in FORMATS[format].items()},
        }

    def read(self, path: str) -> ov.Model:
        model = self.core.read_model(self.directory / path)
        return _in_int8(model) if self.format == "int8" else model

    def request(self, model: ov.Model) -> ov.InferRequest:
        return self.core.compile_model(model, "CPU", self.properties).create_infer_request()


def _in_int8(model: ov.Model) -> ov.Model:
    """Its weights, without a word: nncf reports to the terminal what it does."""
    import nncf

    # Its own set_log_level sets the level of whatever handler is there, a test's as well.
    logging.getLogger("nncf").setLevel(logging.ERROR)
    with redirect_stdout(io.StringIO()):
        return nncf.compress_weights(model)


class _Classifier:
    def __init__(self, compiler: _Compiler, config: dict[str, Any]) -> None:
        self.encoder, self.pad_id = compiler.request(compiler.read(ENCODER)), config["pad_id"]

    def run(self, job: Job) -> list[Ids]:
        outputs: list[Ids] = [[] for _ in job.prompts]
        for numbers in job.by_length():
            tokens, mask, _ = _inputs([job.prompts[n] for n in numbers], self.pad_id)
            logits = self.encoder.infer({"tokens": tokens, "mask": mask}, share_inputs=True)[0]
            for number, label in zip(numbers, logits.argmax(axis=1).tolist(), strict=True):
                outputs[number] = [label]
        return outputs


class _Decoding(ABC):
    """What a translator and a generator share: a stateful decoder, compiled for as many best tokens as a search asks
    for, and both searches."""

    def __init__(self, compiler: _Compiler, config: dict[str, Any]) -> None:
        self.compiler, self.end_id, self.pad_id = compiler, config["end_id"], config["pad_id"]
        self.start_id = config["start_id"]
        self.best = 0
        self.decoder: Any = None

    def _compiled(self, best: int) -> Any:
        if best != self.best:
            self.decoder = None  # its weights go before the next ones come
            self.decoder = self.compiler.request(_choosing(self.compiler.read(DECODER), best))
            self.best = best
        return self.decoder

    def run(self, job: Job) -> list[Ids]:
        decoder = self._compiled(1 if job.beams == 1 else 2 * job.beams)
        outputs: list[Ids] = [[] for _ in job.prompts]
        for numbers in job.by_length():
            decoder.reset_state()
            steps = self._steps([job.prompts[n] for n in numbers], job.beams)
            found = _greedy(steps, job, self.end_id) if job.beams == 1 else _beams(steps, job, self.end_id)
            for number, output in zip(numbers, found, strict=True):
                outputs[number] = output
        return outputs

    @abstractmethod
    def _steps(self, prompts: list[Ids], beams: int) -> _Steps: ...


class _Steps(ABC):
    """A batch's decode steps. Rows that are not asked for any more leave the batch."""

    def __init__(self, decoder: Any, prompts: int, beams: int) -> None:
        self.decoder, self.prompts, self.beams = decoder, prompts, beams

    @abstractmethod
    def first(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Best tokens [B, best] after the prompts, and their log probabilities."""

    @abstractmethod
    def next(self, tokens_B: NDArray[Any], rows_B: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """The same after one more token; `rows_B` says which of the last step's rows each row goes on from."""

    def _run(self, **inputs: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        inputs["rows"] = inputs["rows"].astype(np.int32)
        found = self.decoder.infer(inputs, share_inputs=True)
        return found["tokens"], found["scores"]


class _Translator(_Decoding):
    def __init__(self, compiler: _Compiler, config: dict[str, Any]) -> None:
        super().__init__(compiler, config)
        self.encoder = compiler.request(compiler.read(ENCODER))

    def _steps(self, prompts: list[Ids], beams: int) -> _Steps:
        tokens, mask, _ = _inputs(prompts, self.pad_id)
        found = self.encoder.infer({"tokens": tokens, "mask": mask}, share_inputs=True)
        memory = {output.any_name: found[output] for output in self.encoder.model_outputs}
        return _TranslatorSteps(self.decoder, len(prompts), beams, {"memory_mask": mask, **memory}, self.start_id)


class _TranslatorSteps(_Steps):
    def __init__(self, decoder: Any, prompts: int, beams: int, memory: dict[str, Any], start_id: int) -> None:
        super().__init__(decoder, prompts, beams)
        self.memory, self.start_id, self.position = memory, start_id, -1
        self.sources = np.arange(prompts)  # of the last step's memory

    def first(self) -> tuple[NDArray[Any], NDArray[Any]]:
        rows = self.prompts * self.beams
        return self.next(np.full(rows, self.start_id), np.arange(rows))

    def next(self, tokens_B: NDArray[Any], rows_B: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        self.position += 1
        if len(tokens_B) < len(self.sources) * self.beams:
            kept = rows_B[:: self.beams] // self.beams
            self.sources = self.sources[kept]
            self.memory = {name: np.ascontiguousarray(value[kept]) for name, value in self.memory.items()}
        return self._run(
            tokens=tokens_B[:, None], positions=np.full((len(tokens_B), 1), self.position), rows=rows_B, **self.memory
        )


class _Generator(_Decoding):
    def _steps(self, prompts: list[Ids], beams: int) -> _Steps:
        repeated = [prompt for prompt in prompts for _ in range(beams)]
        return _GeneratorSteps(self.decoder, len(prompts), beams, *_inputs(repeated, self.pad_id, left=True))


class _GeneratorSteps(_Steps):
    def __init__(
        self,
        decoder: Any,
        prompts: int,
        beams: int,
        tokens_BT: NDArray[Any],
        mask_B11T: NDArray[Any],
        lengths_B: NDArray[Any],
    ) -> None:
        super().__init__(decoder, prompts, beams)
        self.tokens_BT, self.mask_B11L, self.positions_B = tokens_BT, mask_B11T, lengths_B - 1

    def first(self) -> tuple[NDArray[Any], NDArray[Any]]:
        rows, columns = self.tokens_BT.shape
        later_TT = np.triu(np.full((columns, columns), HIDDEN), k=1)
        positions_BT = self.positions_B[:, None] - np.arange(columns)[None, ::-1]
        return self._run(
            tokens=self.tokens_BT,
            positions=positions_BT.clip(min=0),
            rows=np.arange(rows),
            mask=np.minimum(self.mask_B11L, later_TT),
        )

    def next(self, tokens_B: NDArray[Any], rows_B: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        self.positions_B = self.positions_B[rows_B] + 1
        mask = self.mask_B11L[rows_B]
        self.mask_B11L = np.concatenate([mask, np.zeros((len(mask), 1, 1, 1), np.float32)], axis=3)
        return self._run(
            tokens=tokens_B[:, None], positions=self.positions_B[:, None], rows=rows_B, mask=self.mask_B11L
        )


def _inputs(prompts: list[Ids], pad_id: int, *, left: bool = False) -> tuple[NDArray[Any], ...]:
    """Tokens [B, S], what is added to scores [B, 1, 1, S], and lengths [B]."""
    rows, masks = padded(prompts, pad_id, left=left)
    own_BS = np.array(masks, dtype=bool)
    mask = np.where(own_BS, np.float32(0), HIDDEN)[:, None, None]
    return np.array(rows), mask, own_BS.sum(axis=1)


def _choosing(model: ov.Model, best: int) -> ov.Model:
    """The decoder with its `best` tokens [B, best] and their log probabilities in the place of its logits."""
    logits = model.output("logits").get_node().input_value(0)
    found = ops.topk(
        logits, ops.constant(best, dtype="int32"), axis=1, mode="max", sort="value", index_element_type="i64"
    )
    scores = found.output(0)
    if best > 1:
        scores = ops.subtract(scores, _log_sum(logits)).output(0)
    outputs = [found.output(1), scores]
    for output, name in zip(outputs, ("tokens", "scores"), strict=True):
        output.get_tensor().set_names({name})
    chosen = ov.Model([ops.result(output) for output in outputs], model.get_sinks(), model.get_parameters())
    chosen.validate_nodes_and_infer_types()
    return chosen


def _log_sum(logits: Any) -> Any:
    """[B, 1]: the logarithm of the sum of exponentials."""
    axis = ops.constant([1], dtype="int64")
    highest = ops.reduce_max(logits, axis, True)
    return ops.add(ops.log(ops.reduce_sum(ops.exp(ops.subtract(logits, highest)), axis, True)), highest)


def _greedy(steps: _Steps, job: Job, end_id: int) -> list[Ids]:
    outputs: list[Ids] = [[] for _ in range(steps.prompts)]
    going = np.arange(steps.prompts)
    tokens = steps.first()[0][:, 0]
    for step in range(job.max_new_tokens):
        rows = np.arange(len(going))
        if not job.exact:
            rows = np.flatnonzero(tokens != end_id)
            going, tokens = going[rows], tokens[rows]
        for number, token in zip(going.tolist(), tokens.tolist(), strict=True):
            outputs[number].append(token)
        if not len(going) or step + 1 == job.max_new_tokens:
            break
        tokens = steps.next(tokens, rows)[0][:, 0]
    return outputs


def _beams(steps: _Steps, job: Job, end_id: int) -> list[Ids]:
    """One batch, as transformers' `_beam_search` has it, but that a prompt which is done leaves the batch."""
    width, most = job.beams, job.max_new_tokens
    outputs: list[Ids] = [[] for _ in range(steps.prompts)]
    going = np.arange(steps.prompts)
    running = np.full((steps.prompts, width), NEVER, np.float32)
    running[:, 0] = 0  # the beams of a prompt are still the same
    written = np.zeros((steps.prompts, width, most), np.int64)
    ended, ended_lengths = written.copy(), np.zeros((steps.prompts, width), np.int64)
    finished = np.full((steps.prompts, width), NEVER, np.float32)
    tokens, scores = steps.first()
    for length in range(1, most + 1):
        count = len(going)
        at = np.arange(count)[:, None]
        sums = (scores.reshape(count, width, -1) + running[:, :, None]).reshape(count, -1)
        order = np.argsort(-sums, axis=1, kind="stable")[:, : 2 * width]
        sums, from_beam = np.take_along_axis(sums, order, 1), order // (2 * width)
        token = np.take_along_axis(tokens.reshape(count, -1), order, 1)
        candidates = written[at, from_beam]
        candidates[:, :, length - 1] = token
        ends = np.full(token.shape, True) if length == most else (token == end_id) & (not job.exact)

        new = np.where(ends & (np.arange(2 * width) < width), sums / length, np.float32(NEVER))
        said = np.where((token == end_id) & (not job.exact), length - 1, length)
        merged = np.concatenate([finished, new], axis=1)
        kept = np.argsort(-merged, axis=1, kind="stable")[:, :width]
        finished = np.take_along_axis(merged, kept, 1)
        ended = np.concatenate([ended, candidates], axis=1)[at, kept]
        ended_lengths = np.take_along_axis(np.concatenate([ended_lengths, said], axis=1), kept, 1)

        going_on = np.argsort(-np.where(ends, np.float32(NEVER) + sums, sums), axis=1, kind="stable")[:, :width]
        running, written = np.take_along_axis(sums, going_on, 1), candidates[at, going_on]
        last = np.take_along_axis(token, going_on, 1)
        rows = at * width + np.take_along_axis(from_beam, going_on, 1)
        better = running[:, 0] / length > finished[:, -1]
        for n in np.flatnonzero(~better | (length == most)):
            outputs[going[n]] = ended[n, 0, : ended_lengths[n, 0]].tolist()
        if length == most or not better.any():
            break
        going, running, written = going[better], running[better], written[better]
        finished, ended, ended_lengths = finished[better], ended[better], ended_lengths[better]
        tokens, scores = steps.next(last[better].reshape(-1), rows[better].reshape(-1))
    return outputs
