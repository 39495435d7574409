"""One request as the engine sees it: token ids in, token ids out. Knows nothing of text, HTTP or tensors."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from service.engine.beams import Beams, BeamSearch, Hypothesis
from service.engine.constraints import ConstrainedSearch, Phrase
from service.engine.loops import LoopGuard
from service.engine.stats import ANSWERED, Outcome, RequestStats, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the next token is chosen; None leaves a filter out.

    Bias and penalties hold for greedy decoding, too; temperature, filters and seed only for sampling. Whoever makes one
    has checked it.
    """

    do_sample: bool = False  # false: the best token, which is greedy decoding
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    typical_p: float | None = None
    repetition_penalty: float = 1.0
    penalize_prompt: bool = False  # the repetition penalty counts the prompt's tokens, too
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    no_repeat_ngram_size: int = 0  # no n tokens in a row come twice; 0 lets them
    logit_bias: tuple[tuple[int, float], ...] = ()  # (token, what is added to its logit)
    seed: int = 0

    @property
    def filters(self) -> bool:
        """Whether some tokens are left out before one is drawn."""
        return any(each is not None for each in (self.top_k, self.top_p, self.min_p, self.typical_p))

    @property
    def plain(self) -> bool:
        """Nothing but the best token."""
        penalties = (self.repetition_penalty, self.presence_penalty, self.frequency_penalty)
        return not self.do_sample and penalties == (1, 0, 0) and not self.logit_bias and not self.no_repeat_ngram_size


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceSpec:
    """What is asked of a sequence; nothing of it changes."""

    id: str
    prompt: list[int]
    max_new_tokens: int
    min_new_tokens: int = 0  # until then the end token is ruled out; `watch` may end it earlier
    segments: list[int] | None = None  # token types of the prompt, for models that have them
    end_id: int | None = None  # the token that ends it
    other_ends: tuple[int, ...] = ()  # that do so, too
    sampling: Sampling = Sampling()
    beams: Beams | None = None  # beam search instead of one token after the other
    phrases: tuple[Phrase, ...] = ()  # that the results of a beam search must have
    target_prefix: list[int] = field(default_factory=list)  # the first tokens of a translation, given
    shortlist: np.ndarray | None = None  # the tokens that may come, and have probabilities, int32; None: all
    begun: int = 0  # of these, so many count in the length of a beam search's results, as `transformers` has it
    priority: int = 0  # lower is sooner
    streamed: bool = True  # each token is told as it comes; otherwise the end alone
    align_layer: int | None = None  # the layer whose cross-attention becomes `alignments`
    want_logprobs: bool = False
    top_n_tokens: int = 0  # so many best tokens come with each one
    watch: Callable[[int], bool] | None = None  # asked after each token but the end token: true ends the sequence
    loop_guard: LoopGuard | None = None  # ends it where it repeats itself
    want_logits: bool = False  # keep the whole output vector of the last step: a classifier's scores
    arrived: float = field(default_factory=time.monotonic)
    deadline: float | None = None  # on the same clock

    def search(self, beams: Beams) -> BeamSearch:
        if not self.phrases:
            return BeamSearch(
                beams,
                end_id=self.end_id,
                other_ends=self.other_ends,
                max_new_tokens=self.max_new_tokens,
                begun=self.begun,
                guard=self.loop_guard,
            )
        return ConstrainedSearch(
            beams,
            self.phrases,
            begins=not self.target_prefix,
            end_id=self.end_id,
            other_ends=self.other_ends,
            max_new_tokens=self.max_new_tokens,
            begun=self.begun,
            guard=self.loop_guard,
        )

    def is_end(self, token: int) -> bool:
        return token == self.end_id or token in self.other_ends

    @property
    def width(self) -> int:
        """Slots it takes while it runs."""
        return 1 if self.beams is None else self.beams.width


@dataclass(eq=False, slots=True)
class Row:
    """A cache slot at work: the one of a greedy or sampled sequence, or that of a beam."""

    sequence: Sequence
    tokens: list[int] = field(default_factory=list)  # what it has given so far
    slot: int = field(init=False)  # from its admission to its end

    @property
    def filled(self) -> int:
        """Positions the slot holds. The newest token is fed by the next step."""
        sequence, tokens = self.sequence, len(self.tokens)
        return sequence.prefilled + tokens - 1 if tokens else sequence.filled

    @property
    def position(self) -> int:
        """Of the newest token."""
        return self.sequence.prefilled + len(self.tokens) - 1


@dataclass(eq=False, slots=True)
class Sequence:
    """How far what was asked has come. Its phase is derived: it waits without rows, is prefilled until its prompt is
    read, runs, and is finished with an outcome."""

    spec: SequenceSpec
    prefilled: int = 0  # positions its slot holds after prefill; set by the engine
    read: int = 0  # prompt tokens that were read so far
    rows: list[Row] = field(default_factory=list)  # while it runs: one, or one a beam, best first
    slot: int = field(init=False)  # of the memory of its source, while it runs
    cancelled_at: float | None = None  # may be set from any thread; takes effect before the next step
    outcome: Outcome | None = None
    output: list[int] = field(default_factory=list)  # without the target prefix; of a beam search: of the best
    hypotheses: list[Hypothesis] = field(default_factory=list)  # of a beam search at its end, best first
    logprob: float = 0.0  # of the output, where log-probabilities are wanted
    alignments: list[list[list[float]]] = field(
        default_factory=list
    )  # at the end, of each result: rows over the prompt
    queued: float = field(init=False)  # since when it waits for a slot: those of a long text do so one after the other
    started: float | None = None  # first step that included it
    token_times: list[float] = field(default_factory=list)
    random: random.Random = field(init=False)
    plain: bool = field(init=False)  # its next token is the best one: all that most batches ever ask for
    curious: bool = field(init=False)  # it wants to know more of its tokens
    search: BeamSearch | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        spec = self.spec
        self.queued = spec.arrived
        self.plain = spec.sampling.plain and not spec.min_new_tokens
        self.curious = spec.want_logprobs or spec.want_logits or spec.top_n_tokens > 0
        self.random = random.Random(spec.sampling.seed)
        if spec.beams is not None:
            self.search = spec.search(spec.beams)

    @property
    def searching(self) -> BeamSearch:
        """Of one that is asked for beams."""
        assert self.search is not None, "it has no beams"
        return self.search

    def admit(self) -> list[Row]:
        """Its rows, which are to be given slots."""
        self.rows = [Row(self, self.output), *(Row(self) for _ in range(self.spec.width - 1))]
        return self.rows

    @property
    def ready(self) -> bool:
        """Its prompt is read: it decodes from now on."""
        return self.read == len(self.spec.prompt)

    @property
    def filled(self) -> int:
        """Positions its slots hold of prompt and prefix."""
        return self.prefilled if self.ready else self.read

    def accept(self, token: int, now: float) -> None:
        """Take the next token and notice the end."""
        spec = self.spec
        self.output.append(token)
        self.token_times.append(now)
        if spec.is_end(token):
            self.outcome = self._unless_it_loops("eos_token", self.output[:-1])
        elif spec.watch is not None and spec.watch(token):
            self.outcome = "stop_sequence"
        elif len(self.output) >= spec.max_new_tokens:
            self.outcome = self._unless_it_loops("length", self.output)
        elif spec.loop_guard is not None and spec.loop_guard.looks(self.output) and spec.loop_guard.sees(self.output):
            self.outcome = "loop"

    def _unless_it_loops(self, outcome: Outcome, output: list[int]) -> Outcome:
        guard = self.spec.loop_guard
        return "loop" if guard is not None and guard.sees(output) else outcome

    def finish(self, results: list[Hypothesis], now: float) -> None:
        """Take the results of its beam search, best first."""
        self.hypotheses = results
        self.output = results[0].tokens
        self.token_times.append(now)
        if self.output and self.spec.is_end(self.output[-1]):
            self.outcome = self._unless_it_loops("eos_token", self.output[:-1])
        else:
            self.outcome = self._unless_it_loops("length", self.output)

    @property
    def results(self) -> list[list[int]]:
        """Tokens of each, best first."""
        return [hypothesis.tokens for hypothesis in self.hypotheses] or [self.output]

    def stats(self, now: float) -> RequestStats:
        assert self.outcome is not None, "statistics are taken at the end"
        stage: Stage = "finished" if self.outcome in ANSWERED else "waiting" if self.started is None else "running"
        times, arrived = self.token_times, self.spec.arrived
        return RequestStats(
            outcome=self.outcome,
            stage=stage,
            prompt_tokens=len(self.spec.prompt),
            generated_tokens=len(self.output),
            queue_s=None if self.started is None else self.started - arrived,
            first_token_s=times[0] - arrived if times else None,
            total_s=now - arrived,
            inter_token_s=tuple(later - earlier for earlier, later in itertools.pairwise(times)),
        )
