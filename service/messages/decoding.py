"""How tokens are chosen: every decoding parameter with its default, its bounds and what /docs says of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from service.errors import InvalidRequest
from service.messages.parameters import Bounds, parameter, parameters_of

MOST_BEAMS = MOST_RESULTS = 16  # of one request: what it costs stays bounded
SEEDS = 2**63  # a seed is below
_MOST_INT = 2**31  # a whole number is below, where nothing else bounds it


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoding:
    """The defaults are greedy decoding, which `do_sample` false is, whatever the parameters of sampling say.

    Penalties and `logit_bias` hold for greedy decoding and beam search, too.
    """

    # In the order in which the documentation shows them. None: the model's own limit, or nothing of the kind.
    max_new_tokens: int | None = parameter(None, "default and most: the model's own limit", ge=1)
    num_beams: int = parameter(1, "above 1: beam search; at most the model's slots", ge=1, le=MOST_BEAMS)
    do_sample: bool = parameter(False, "default: false, unless a sampling parameter is given")
    temperature: float = parameter(1.0, samples=True, neutral=1, gt=0)
    top_p: float | None = parameter(None, samples=True, neutral=1, gt=0, le=1)
    top_k: int | None = parameter(None, samples=True, ge=1, lt=_MOST_INT)
    seed: int | None = parameter(None, "default: drawn for each text", ge=0, lt=SEEDS)
    stop: tuple[str, ...] = parameter(
        (), "the text ends before the first of them", max_length=16, each=Bounds(min_length=1, max_length=256)
    )
    num_return_sequences: int = parameter(
        1, "the best of num_beams, or so many samples", also="n", ge=1, le=MOST_RESULTS
    )
    min_new_tokens: int = parameter(0, "the end token is ruled out until then", ge=0)
    min_p: float | None = parameter(None, "share of the best token's probability", samples=True, neutral=0, ge=0, le=1)
    typical_p: float | None = parameter(None, samples=True, neutral=1, gt=0, le=1)
    # Far outside these bounds a penalty makes logits infinite, and there is nothing left to choose from.
    repetition_penalty: float = parameter(
        1.0, "1 is none; on prompt and output, for translations on the output", ge=0.01, le=100
    )
    presence_penalty: float = parameter(0.0, "0 is none; on the output", ge=-2, le=2)
    frequency_penalty: float = parameter(0.0, "0 is none; on the output", ge=-2, le=2)
    no_repeat_ngram_size: int = parameter(
        0, "so many tokens in a row never come twice; 0 lets them", ge=0, lt=_MOST_INT
    )
    length_penalty: float = parameter(1.0, "score: log-probability / tokens ** this; default: 1", ge=-10, le=10)
    early_stopping: bool | Literal["never"] = parameter(False, "of a beam search; default: false")
    logit_bias: tuple[tuple[int, float], ...] = parameter(  # (token id, what is added to its logit)
        (), "token id: what is added to its logit", max_length=1024, each=Bounds(ge=-100, le=100)
    )
    top_n_tokens: int = parameter(0, "best tokens with each one, where listed", ge=0, le=20)

    def check_results(self, slots: int) -> None:
        """How many beams and results there are, and what goes with them. Raises InvalidRequest.

        `slots` is how many beams the model can run side by side.
        """
        if self.num_beams > slots:
            raise InvalidRequest(
                f"num_beams is {self.num_beams}, the model has {slots} slots: each beam takes one",
                parameter="num_beams",
                value=self.num_beams,
                limit=slots,
            )
        if self.num_beams > 1:
            self._check_beams()
        elif self.num_return_sequences > 1 and not self.do_sample:
            raise InvalidRequest(
                f"num_return_sequences is {self.num_return_sequences}, the limit of greedy decoding is 1: "
                f"set num_beams to at least {self.num_return_sequences}, or do_sample to true",
                parameter="num_return_sequences",
                limit=1,
            )

    def _check_beams(self) -> None:
        if self.num_return_sequences > self.num_beams:
            raise InvalidRequest(
                f"num_return_sequences is {self.num_return_sequences}, the limit is num_beams, {self.num_beams}",
                parameter="num_return_sequences",
                limit=self.num_beams,
            )
        reasons = {
            "sampling": self.do_sample and "the beams are the most likely ones, none is drawn",
            "stop": self.stop and "a beam ends at its end token or its length",
            "top_n_tokens": self.top_n_tokens and "the beams are the best tokens",
        }
        for name, reason in reasons.items():
            if reason:
                raise InvalidRequest(
                    f"num_beams is {self.num_beams}, which does not go with {name}: {reason}", parameter="num_beams"
                )


GREEDY = Decoding()
SAMPLING = {name: said for name, said in parameters_of(Decoding).items() if said.samples}
FILTERS = {name: said.neutral for name, said in SAMPLING.items() if getattr(GREEDY, name) is None}
