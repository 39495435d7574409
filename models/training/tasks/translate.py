"""A text in one language, and what it says in another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from models import formats
from models.checkpoint import Manifest
from models.config import Config
from models.tokenizer import Tokenizer
from models.training.data.examples import Encoded, Examples
from models.training.data.look import Look, Table, Told, find_languages
from models.training.data.readers import Record
from models.training.data.rows import Sample, TextRow, read_corpus
from models.training.draft import DraftedTask, Size, commented, length
from models.training.evaluation.metrics import translation_quality
from models.training.evaluation.scores import Measured, Written, expected_quality, hashes_of, name_of, translated
from models.training.evaluation.training_text import FAR, TrainingText
from models.training.evaluation.validation import Answers, Shown, continuations, mixed
from models.training.objectives import Translation
from models.training.recipe import Recipe
from models.training.sections import Corpus, RecipeError
from models.training.tasks.task import Task

# Texts, source and target language, beam width. None: it does not translate that way.
AnswerTranslations = Callable[[Sequence[str], str, str, int], Sequence[Written] | None]


class Translate(Task, DraftedTask):
    name = "translate"
    noun = "a translator"
    does = "translates text"
    hub_name = "translation"
    kind = "encoder_decoder"
    tokenizer = "byte_bpe"
    fields = frozenset({"variation"})
    texts_stand_alone = True
    label_smoothing = 0.1

    def check(self, recipe: Recipe) -> None:
        super().check(recipe)
        if recipe.training.patience_by == "score" and not recipe.training.score_texts:
            raise RecipeError("patience_by is 'score' and score_texts 0: a translator's score needs texts to translate")
        if not all(corpus.directions for corpus in recipe.corpora):
            raise RecipeError("every corpus of a translator needs directions, such as [fr-en]")

    def samples(self, recipe: Recipe, corpus: Corpus, records: Iterator[Record]) -> Iterator[Sample]:
        pairs = corpus.pairs
        columns = list(dict.fromkeys(column for pair in pairs for column in pair))
        for values, line, group, _ in records:
            rows = tuple([TextRow(values[a], values[b], language=b, source_language=a) for a, b in pairs])
            yield Sample(rows, {column: values[column] for column in columns}, "", line, group)

    def encode(self, recipe: Recipe, tokenizer: Tokenizer, row: TextRow, longest: tuple[int, int]) -> Encoded:
        source = formats.translation_source(tokenizer, row.source, row.language or "")
        target = formats.translation_target(tokenizer, row.target)
        fits = len(source) <= longest[0] and len(target) <= longest[1]
        return Encoded([(source, target)]) if fits else Encoded([], "left out")

    def objective(self, recipe: Recipe, config: Any, tokenizer: Tokenizer) -> Translation:
        return Translation(config.pad_id, config.start_id)

    def judge(
        self, recipe: Recipe, config: Any, tokenizer: Tokenizer, rows: Sequence[TextRow], examples: Examples
    ) -> TranslationJudge:
        training = recipe.training
        texts = training.score_texts if find_spec("sacrebleu") else 0
        if training.patience_by == "score" and not texts:
            raise RecipeError("patience_by is 'score', and sacrebleu is missing: pip install -e \".[train]\"")
        return TranslationJudge(config, tokenizer, mixed(recipe, rows), texts=texts, shown=training.samples)

    def request(self, manifest: Manifest) -> str:
        source, target = manifest.language_pairs[0] if manifest.language_pairs else ("", "")
        return f'{{"inputs": "...", "parameters": {{"src_lang": "{source}", "tgt_lang": "{target}"}}}}'

    def find_columns(self, path: Path, table: Table, told: Told) -> dict[str, str]:
        return find_languages(path, table, told.languages)

    def drafted_model(self, look: Look, size: Size, common: Sequence[str]) -> Iterator[str]:
        longest = length(max(lengths.most for lengths in look.texts.values()), 64)
        yield from ("  architecture: seq2seq", *common)
        yield f"  encoder_layers: {size.layers}"
        yield commented(f"  decoder_layers: {max(size.layers // 2, 1)}", "few: decoding is what costs when serving")
        yield f"  dropout: {size.dropout}"
        yield commented(f"  max_source: {longest}", "tokens; longer translations are left out")
        yield f"  max_target: {longest}"

    def drafted_corpus(self, look: Look) -> Iterator[str]:
        yield "  # Both directions are learned by one model; leave one out if you do not need it."


class TranslationJudge:
    """BLEU of greedy translations, each of which ends at about twice its source's length."""

    measure, higher_is_better = "bleu", True

    def __init__(
        self, config: Config, tokenizer: Tokenizer, rows: Sequence[TextRow], *, texts: int, shown: int
    ) -> None:
        self._config, self._tokenizer, self._texts, self._shown = config, tokenizer, texts, shown
        self._rows: list[tuple[TextRow, list[int]]] = []
        for row in rows:
            ids = formats.translation_source(tokenizer, row.source, row.language or "")
            if len(ids) <= config.max_prompt and len(self._rows) < max(texts, shown):
                self._rows.append((row, ids))

    def __call__(self, model: Any, loss: float, accuracy: float) -> Answers:
        sources = [ids for _, ids in self._rows]
        limits = [min(self._config.max_output, 2 * len(ids) + 10) for ids in sources]
        said = [self._tokenizer.decode(ids) for ids in continuations(model, sources, limits)]
        rows = [row for row, _ in self._rows]
        score = None
        if expected := [formats.normalize(row.target) for row in rows[: self._texts]]:
            score = translation_quality(said[: self._texts], expected).bleu
        samples = [
            Shown(f"{row.source_language}→{row.language}: {row.source}", row.target, answer)
            for row, answer in zip(rows[: self._shown], said[: self._shown], strict=True)
        ]
        return Answers(score, tuple(samples))


def translation_scores(
    recipe: Recipe, data: Path, answer: AnswerTranslations, trained_on: TrainingText | None = None
) -> dict[str, Measured]:
    """Of every test, direction and beam width, and of its far sentences where `trained_on` tells which they are.

    {"tatoeba.fr-en.test fr-en": {"bleu": ...}, "... fr-en, beam 4": ..., "... fr-en, beam 4, far": ...}
    """
    chosen = defaultdict[tuple[str, str, str], list[TextRow]](list)
    for corpus in recipe.tests:
        for row in read_corpus(TRANSLATE, recipe, corpus, data):
            chosen[name_of(corpus), row.source_language or "", row.language or ""].append(row)
    hashes = hashes_of(recipe, data)
    scores: dict[str, Measured] = {}
    for (name, source, target), rows in chosen.items():
        sources, references = [row.source for row in rows], [row.target for row in rows]
        far = trained_on.far(source, target, sources, references) if trained_on else []
        kept = [index for index, is_far in enumerate(far) if is_far]
        for beams in recipe.beams:
            answers = answer(sources, source, target, beams)
            if answers is None:
                continue
            hypotheses = [each.text for each in answers]
            key = f"{name} {source}-{target}" + (f", beam {beams}" if beams > 1 else "")
            found = translated(hypotheses, references, target).of_file(hashes[name])
            confidence = expected_quality(answers, references, f"{source}-{target}")
            scores[key] = replace(found, scores={**found.scores, **confidence})
            if kept:
                part = translated([hypotheses[n] for n in kept], [references[n] for n in kept], target)
                subset = {**part.of_file(hashes[name]).scores, "subset": FAR}
                # Which sentences are far depends on what this version read, so that no other one is judged by them.
                scores[f"{key}, far"] = Measured(subset)
    return scores


TRANSLATE = Translate()
