import numpy as np
import pytest

from models import formats
from models.tokenizer import SPECIAL_TOKENS, train_byte_bpe
from models.training.data.examples import Example
from models.training.data.varied import Varied
from models.training.sections import Variation
from tests.models.training.reading import examples_of

PAIRS = [(f"Je vois {n} arbres à Paris.", f"I see {n} trees in Paris.") for n in ("deux", "trois", "cent")] * 40
TOKENIZER = train_byte_bpe([text for pair in PAIRS for text in pair], 400, [*SPECIAL_TOKENS, "<2en>", "<2fr>"])


def example(source: str, target: str, language: str) -> Example:
    return Example(
        np.array(formats.translation_source(TOKENIZER, source, language), np.int32),
        np.array(formats.translation_target(TOKENIZER, target), np.int32),
    )


EXAMPLES = examples_of([each for fr, en in PAIRS for each in (example(fr, en, "en"), example(en, fr, "fr"))])


def varied(longest=(256, 256), **shares) -> Varied:
    return Varied(EXAMPLES, TOKENIZER, Variation(**shares), longest=longest, seed=1)


def texts(some: Example) -> tuple[str, str]:
    return TOKENIZER.decode(some.source.tolist()), TOKENIZER.decode(some.target.tolist())


def same(a: Example, b: Example) -> bool:
    return np.array_equal(a.source, b.source) and np.array_equal(a.target, b.target)


def test_an_example_is_the_same_whenever_an_epoch_reads_it_and_another_in_the_next():
    first, again = varied(slips=0.9), varied(slips=0.9)
    rows = list(range(0, 240, 7))
    one = [first.epoch(0)[row] for row in rows]
    other = [again.epoch(0)[row] for row in reversed(rows)][::-1]
    assert all(map(same, one, other))
    assert sum(not same(a, first.epoch(1)[row]) for a, row in zip(one, rows, strict=True)) > len(rows) / 2


def test_each_variation_gets_its_share_and_the_rest_is_read_as_it_is():
    epoch = varied(capitals=0.25).epoch(0)
    changed = [row for row in range(len(EXAMPLES)) if not same(epoch[row], EXAMPLES[row])]
    assert 0.15 < len(changed) / len(EXAMPLES) < 0.35
    assert all(text.isupper() for row in changed for text in texts(epoch[row]))


def test_the_tag_and_the_end_tokens_stay():
    epoch = varied(capitals=0.3, copies=0.3, joined=0.3, split_tokens=0.3).epoch(0)
    for row in range(len(EXAMPLES)):
        source, target = epoch[row].source, epoch[row].target
        assert source[0] == EXAMPLES[row].source[0]
        assert source[-1] == target[-1] == TOKENIZER.id("</s>")
        assert (source[1:-1] > TOKENIZER.id("<2fr>")).all()
        assert (target[:-1] > TOKENIZER.id("<2fr>")).all()


def test_joined_examples_are_several_that_are_translated_into_the_same_language():
    epoch = varied(joined=0.9).epoch(0)
    sentences = set()
    for row in range(len(EXAMPLES)):
        source, target = texts(epoch[row])
        assert source.count(".") == target.count(".") <= 4
        assert ("I see" in source) != ("Je vois" in source) != ("Je vois" in target)
        sentences.add(source.count("."))
    assert sentences == {1, 2, 3, 4}


def test_split_tokens_write_the_same_text_with_more_ids():
    epoch = varied(split_tokens=0.2).epoch(0)
    before = after = 0
    for row in range(len(EXAMPLES)):
        assert texts(epoch[row]) == texts(EXAMPLES[row])
        before, after = before + len(EXAMPLES[row].source), after + len(epoch[row].source)
    assert 1.1 * before < after < 1.6 * before


def test_the_lengths_that_batches_are_planned_with_are_near_the_real_ones():
    epoch = varied(capitals=0.2, copies=0.2, joined=0.3, split_tokens=0.05).epoch(0)
    real = sum(len(epoch[row].source) for row in range(len(EXAMPLES)))
    assert epoch.source_lengths_N.sum() == pytest.approx(real, rel=0.25)


def test_what_becomes_too_long_is_read_as_it_is():
    most = int(EXAMPLES.source_lengths_N.max()), int(EXAMPLES.target_lengths_N.max())
    epoch = varied(most, joined=0.9).epoch(0)
    assert all(same(epoch[row], EXAMPLES[row]) for row in range(len(EXAMPLES)))


def test_shares_that_are_none_are_refused():
    with pytest.raises(ValueError, match=r"slips"):
        Variation(slips=1.5)
    with pytest.raises(ValueError, match=r"add up to 1\.2"):
        Variation(slips=0.6, capitals=0.6, split_tokens=0.1)
