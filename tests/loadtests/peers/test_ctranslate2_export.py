from __future__ import annotations

from pathlib import Path

import ctranslate2
import pytest
import torch

from loadtests.peers.ctranslate2_export import export
from models.cache import KeyValueCache
from service.engine.engine import Engine
from service.engine.runner import Runner
from service.engine.scheduler import Scheduler
from service.engine.sequence import Sequence
from tests.models.tiny import CONFIGS, built

TRANSLATORS = [name for name in CONFIGS if name.startswith("seq2seq")]


@pytest.mark.parametrize("name", TRANSLATORS)
def test_the_peer_says_what_our_engine_says(name: str, tmp_path: Path) -> None:
    model = built(CONFIGS[name])
    vocabulary = export(model, tmp_path)
    sources = torch.randint(3, 61, (12, 9), generator=torch.Generator().manual_seed(0)).tolist()
    cache = KeyValueCache.allocate(model.config.cache_shape, slots=12, length=16, source_length=9)
    runner = Runner(model, cache, device=torch.device("cpu"), pad_id=0)
    engine = Engine(runner, Scheduler(slots=12, prefill_tokens=999), model.config.cache_shape)
    sequences = [Sequence(id=str(n), prompt=source, max_new_tokens=16, end_id=2) for n, source in enumerate(sources)]
    for sequence in sequences:
        engine.add(sequence)
    while not engine.idle:
        engine.step()
    translator = ctranslate2.Translator(str(tmp_path), compute_type="float32")
    results = translator.translate_batch(
        [[vocabulary[token] for token in source] for source in sources], beam_size=1, max_decoding_length=16
    )
    ours = [[vocabulary[token] for token in s.output if token != 2] for s in sequences]
    assert [result.hypotheses[0] for result in results] == ours
