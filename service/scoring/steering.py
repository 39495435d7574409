"""Whether a generator says what its prompts ask for, as another model, a classifier, sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models.checkpoint import Checkpoint, FindBase, load
from models.training.evaluation.resampling import Proportion
from service.messages import Decoding
from service.scoring.answers import EngineAnswers


@dataclass(frozen=True)
class Steered:
    """Of one prompt."""

    prompt: str
    asked: str  # label
    texts: list[str]
    labels: list[str]  # the judge's of each text; "" of one that is empty, or too long for the judge

    @property
    def agreed(self) -> Proportion:
        return Proportion(self.labels.count(self.asked), len(self.labels))


@dataclass(frozen=True)
class SteeringResult:
    prompts: list[Steered]
    judge: str  # name@version

    @property
    def texts(self) -> list[str]:
        return [text for each in self.prompts for text in each.texts]

    @property
    def right_each(self) -> list[bool]:
        return [label == each.asked for each in self.prompts for label in each.labels]

    @property
    def agreed(self) -> Proportion:
        return Proportion.among(self.right_each)

    def to_dict(self) -> dict[str, Any]:
        prompts = {
            each.prompt: {
                "asked": each.asked,
                **_figures(each.agreed),
                "unjudged": each.labels.count(""),
                "distinct": len(set(each.texts)),  # a generator that repeats itself is steered easily
            }
            for each in self.prompts
        }
        return {**_figures(self.agreed), "judge": self.judge, "prompts": prompts}


def _figures(agreed: Proportion) -> dict[str, Any]:
    interval = [round(bound, 4) for bound in agreed.interval]
    return {"agreement": round(agreed.value, 4), "interval": interval, "samples": agreed.of}


def load_judge(directory: Path, base: FindBase | None = None) -> Checkpoint:
    """Raises CheckpointError, and ValueError for what is no classifier."""
    judge = load(directory, base=base)
    manifest = judge.manifest
    if not manifest.labels:
        raise ValueError(f"the judge {manifest.reference} is made to {manifest.task}, expected a classifier")
    return judge


def steer(
    generator: EngineAnswers, judge: EngineAnswers, prompts: Mapping[str, str], decoding: Decoding, samples: int
) -> SteeringResult:
    """`samples` texts for each prompt, which is to be given its label; sample n has the seed of `decoding` plus n.

    Raises ValueError: a judge without that label, a prompt or a setting that the generator refuses.
    """
    info = judge.info
    unknown = sorted(set(prompts.values()) - set(info.labels))
    if unknown:
        raise ValueError(f"{info.version} has no label {', '.join(unknown)}; it has {', '.join(info.labels)}")
    first = decoding.seed or 0
    asked = [(prompt, replace(decoding, seed=first + n)) for prompt in prompts for n in range(samples)]
    found = generator.generations([prompt for prompt, _ in asked], [each for _, each in asked]).all()
    texts = [completion.text.strip() for completion in found]
    written = [text for text in texts if text]
    judged = iter(judge.classifications(written, [None] * len(written), "judge").each)
    judgements = [next(judged) if text else None for text in texts]
    labels = ["" if each is None else each.scores[0][0] for each in judgements]
    results = []
    for number, (prompt, label) in enumerate(prompts.items()):
        mine = slice(number * samples, (number + 1) * samples)
        results.append(Steered(prompt, label, texts[mine], labels[mine]))
    return SteeringResult(results, info.version)
