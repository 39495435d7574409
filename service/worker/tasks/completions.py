"""What the tasks share whose answers are text: sequences by a request's decoding settings, and completions."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property

from models.config import AutoregressiveConfig
from models.shortlist import Tokens
from service.engine.constraints import Phrase
from service.engine.engine import Output
from service.engine.loops import LoopGuard
from service.engine.sequence import SequenceSpec
from service.messages import SEEDS, Completion, Decoding, Event, GenerateRequest, Timing, Token, TranslateRequest
from service.worker.decoding import Lengths, beams_of, sampling_of
from service.worker.results import Finished, alignment_of, finish_reason, finished_text, primed, scored
from service.worker.stopping import StopWatch
from service.worker.tasks.task import WorkerTask


class Completing(WorkerTask):
    config: AutoregressiveConfig

    def check_checkpoint(self) -> None:
        assert isinstance(self.config, AutoregressiveConfig), f"{self.manifest.task} is for models that write"

    @cached_property
    def _other_ends(self) -> tuple[int, ...]:
        return tuple(map(self.tokenizer.id, self.format.ends))

    def _specs(
        self,
        request: TranslateRequest | GenerateRequest,
        prompt: list[int],
        lengths: Lengths,
        *,
        prefix: list[int],
        penalize_prompt: bool = False,
        align_layer: int | None = None,
        phrases: tuple[Phrase, ...] = (),
        loop_guard: LoopGuard | None = None,
        want_logprobs: bool = False,
        shortlist: Tokens | None = None,
    ) -> list[SequenceSpec]:
        """One, or one for each sample. Whatever they have in common, the first is what it would be alone."""
        decoding = request.decoding
        decoding.check_results(self.limits.slots)
        sampling = sampling_of(decoding, vocabulary=self.config.vocab_size, penalize_prompt=penalize_prompt)
        beams = beams_of(decoding, phrases, self.limits.slots)
        return [
            SequenceSpec(
                id=request.id,
                prompt=prompt,
                max_new_tokens=lengths.most,
                min_new_tokens=lengths.least,
                end_id=self.config.end_id,
                other_ends=self._other_ends,
                sampling=replace(sampling, seed=(sampling.seed + number) % SEEDS),
                beams=beams,
                phrases=phrases,
                target_prefix=prefix,
                shortlist=shortlist,
                begun=len(self.format.begins),
                align_layer=align_layer,
                want_logprobs=want_logprobs or request.stream or decoding.num_return_sequences > 1,
                top_n_tokens=decoding.top_n_tokens if request.stream else 0,
                loop_guard=loop_guard,
                watch=StopWatch(primed(self.tokenizer, prefix)[0], decoding.stop) if decoding.stop else None,
            )
            for number in range(1 if beams else decoding.num_return_sequences)
        ]

    def _completion(
        self,
        request: TranslateRequest | GenerateRequest,
        ends: list[Output],
        timing: Timing,
        before: str = "",
        *,
        finished: Finished | None = None,
        aligned: bool = False,
    ) -> Completion:
        """`before` comes in front of every text. `aligned`: with the alignment."""
        sequences, decoding = [end.sequence for end in ends], request.decoding
        first = sequences[0]
        results = scored(self.tokenizer, sequences, decoding, finished) if decoding.num_return_sequences > 1 else []
        return Completion(
            request_id=request.id,
            text=before + finished_text(self.tokenizer, first, 0, decoding.stop, finished),
            finish_reason=finish_reason(first),
            prompt_tokens=len(first.spec.prompt),
            generated_tokens=len(first.output),
            seed=first.spec.sampling.seed if decoding.do_sample else None,
            score=results[0].score if results else None,
            alternatives=tuple(replace(result, text=before + result.text) for result in results[1:]),
            alignment=alignment_of(self.tokenizer, first) if aligned else None,
            timing=timing,
            model_version=self.manifest.reference,
        )

    @staticmethod
    def flaw(event: Event) -> str:
        if isinstance(event, Token) and not math.isfinite(event.logprob):
            return f"the canary's token {event.index} has the log-probability {event.logprob}"
        return ""

    def _canary_decoding(self) -> Decoding:
        """Two tokens, of which the second is decoded. The request is streamed, because log-probabilities come so."""
        return Decoding(max_new_tokens=min(2, self.limits.max_new_tokens))
