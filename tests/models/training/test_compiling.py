import pytest
import torch

from models.architectures import build
from models.config import GPTConfig
from models.interface import CausalBatch
from models.training import compiling
from models.training.compiling import compiled, uncompiled
from models.training.sections import RecipeError


@pytest.fixture
def model():
    torch.manual_seed(1)
    return build(GPTConfig(vocab_size=20, width=8, heads=2, feedforward=16, layers=2, context=8, dropout=0.0))


def test_layers_are_compiled_within_the_block_and_names_of_weights_stay(model, monkeypatch):
    calls = []

    def compile(function, **options):
        def quicker(*arguments, **keywords):
            calls.append(options)
            return function(*arguments, **keywords)

        return quicker

    monkeypatch.setattr(torch, "compile", compile)
    batch = CausalBatch(tokens_BT=torch.tensor([[1, 2, 3]]))
    names, expected = list(model.state_dict()), model(batch)
    with compiled(model):
        assert list(model.state_dict()) == names
        assert torch.equal(model(batch), expected)
        assert calls == [{"dynamic": True}] * 2
        with uncompiled(model):
            assert torch.equal(model(batch), expected)
        assert len(calls) == 2
        model(batch)
        assert len(calls) == 4
    assert torch.equal(model(batch), expected)
    assert len(calls) == 4


def test_a_machine_without_a_compiler_is_told_so(model, monkeypatch):
    monkeypatch.setattr(compiling.shutil, "which", lambda name: None)
    with pytest.raises(RecipeError, match="compile needs a C\\+\\+ compiler"), compiled(model):
        pass
