"""Rotary positions against complex numbers, and the ways to stretch them against `transformers`."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from models.config import ConfigError
from models.rotary import Rotary, Rotation, angles

WIDTH, TRAINED = 16, 24
# Ours, and what `transformers` calls the same.
KINDS: dict[str, tuple[Rotation, dict[str, Any]]] = {
    "none": (Rotation(theta=500.0), {"rope_type": "default"}),
    "linear": (Rotation(theta=500.0, scaling="linear", factor=3.0), {"rope_type": "linear", "factor": 3.0}),
    "dynamic": (
        Rotation(theta=500.0, scaling="dynamic", factor=2.0, trained_context=TRAINED),
        {"rope_type": "dynamic", "factor": 2.0},
    ),
    "llama3": (
        Rotation(theta=500.0, scaling="llama3", factor=8.0, trained_context=TRAINED, high_frequency_factor=3.0),
        {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 3.0,
            "original_max_position_embeddings": TRAINED,
        },
    ),
    "yarn": (
        Rotation(
            theta=500.0,
            scaling="yarn",
            factor=4.0,
            trained_context=TRAINED,
            low_frequency_factor=1.0,
            high_frequency_factor=32.0,
        ),
        {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": TRAINED, "attention_factor": 1.0},
    ),
    "yarn, other places": (
        Rotation(
            theta=500.0,
            scaling="yarn",
            factor=4.0,
            trained_context=TRAINED,
            low_frequency_factor=0.5,
            high_frequency_factor=2.0,
            whole_pairs=False,
        ),
        {
            "rope_type": "yarn",
            "factor": 4.0,
            "original_max_position_embeddings": TRAINED,
            "attention_factor": 1.0,
            "beta_fast": 2.0,
            "beta_slow": 0.5,
            "truncate": False,
        },
    ),
    "divisors": (
        Rotation(theta=500.0, scaling="divisors", divisors=tuple(1.0 + 0.25 * each for each in range(WIDTH // 2))),
        {
            "rope_type": "longrope",
            "short_factor": [1.0 + 0.25 * each for each in range(WIDTH // 2)],
            "long_factor": [9.0] * (WIDTH // 2),
            "factor": 1.0,
            "original_max_position_embeddings": 100,
        },
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_angles_are_those_of_transformers_reading_one_token_after_the_other(kind: str) -> None:
    rotation, theirs = KINDS[kind]
    config = LlamaConfig(
        hidden_size=2 * WIDTH,
        num_attention_heads=2,
        max_position_embeddings=TRAINED,
        rope_parameters={"rope_theta": 500.0, **theirs},
    )
    reference = LlamaRotaryEmbedding(config)
    got = angles(rotation, 100, WIDTH)
    for position in range(100):
        cosines, sines = reference(torch.empty(0), torch.tensor([[position]]))
        torch.testing.assert_close(got[position].cos().repeat(2), cosines[0, 0], atol=1e-4, rtol=0)
        torch.testing.assert_close(got[position].sin().repeat(2), sines[0, 0], atol=1e-4, rtol=0)


def test_every_kind_stretches_differently_beyond_the_training_and_dynamic_only_there() -> None:
    tables = {kind: angles(rotation, 60, WIDTH) for kind, (rotation, _) in KINDS.items()}
    assert torch.equal(tables["dynamic"][:TRAINED], tables["none"][:TRAINED])
    last = [table[-1] for table in tables.values()]
    assert all(not torch.allclose(one, other) for at, one in enumerate(last) for other in last[:at])


@pytest.mark.parametrize("kind", KINDS)
def test_turning_is_multiplying_complex_numbers(kind: str) -> None:
    torch.manual_seed(0)
    rotation = KINDS[kind][0]
    rotary, x, positions = Rotary(rotation, positions=50, width=WIDTH), torch.randn(3, 4, WIDTH), [7, 0, 49]
    got = rotary(x, torch.tensor(positions))
    turns = torch.polar(torch.ones(3, WIDTH // 2), angles(rotation, 50, WIDTH)[positions])
    expected = torch.complex(x[..., : WIDTH // 2], x[..., WIDTH // 2 :]) * turns[:, None]
    torch.testing.assert_close(got, torch.cat([expected.real, expected.imag], dim=-1))


def test_products_depend_on_the_distance_alone() -> None:
    torch.manual_seed(0)
    rotary, (q, k) = Rotary(Rotation(), positions=100, width=WIDTH), torch.randn(2, 1, 1, WIDTH)
    at = [float((rotary(q, torch.tensor([p + 5])) * rotary(k, torch.tensor([p]))).sum()) for p in (0, 3, 90)]
    assert at == pytest.approx([at[0]] * 3, abs=1e-4)


def test_a_sequence_is_turned_as_its_tokens_are_at_their_positions() -> None:
    rotary, x = Rotary(Rotation(), positions=9, width=WIDTH), torch.randn(2, 5, 3, WIDTH)
    positions = torch.arange(5).expand(2, 5)
    assert torch.equal(rotary(x), rotary(x, positions))
    assert torch.equal(rotary(x[:, 4], positions[:, 4]), rotary(x)[:, 4])


def test_of_a_share_the_first_elements_turn_and_the_others_stay() -> None:
    rotary, x = Rotary(Rotation(share=0.5), positions=9, width=WIDTH), torch.randn(2, 5, 3, WIDTH)
    turned, half = rotary(x), WIDTH // 2
    assert torch.equal(turned[..., half:], x[..., half:])
    assert torch.equal(turned[..., :half], Rotary(Rotation(), positions=9, width=half)(x[..., :half]))


def test_an_amplitude_makes_what_is_turned_longer() -> None:
    x = torch.randn(2, 5, 3, WIDTH)
    one, other = (Rotary(Rotation(amplitude=each), positions=9, width=WIDTH)(x) for each in (1.0, 1.5))
    torch.testing.assert_close(other, 1.5 * one)


def test_there_is_a_divisor_for_each_pair() -> None:
    with pytest.raises(ConfigError, match="divisors has 1 numbers, the 8 pairs need as many"):
        angles(Rotation(scaling="divisors", divisors=(2.0,)), 10, WIDTH)


def test_a_padding_row_is_finite_and_the_format_stays() -> None:
    rotary = Rotary(Rotation(), positions=9, width=WIDTH)
    turned = rotary(torch.randn(2, 3, WIDTH).bfloat16(), torch.tensor([-1, 2]))
    assert turned.dtype is torch.bfloat16
    assert turned.isfinite().all()


def test_rotary_positions_are_no_weights() -> None:
    rotary = Rotary(Rotation(), positions=9, width=WIDTH)
    assert not rotary.state_dict()
    assert not list(rotary.parameters())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scaling": "ntk"}, "scaling is 'ntk', expected one of none, linear, dynamic, llama3"),
        ({"theta": 1.0}, "theta is 1.0, expected more than 1"),
        ({"factor": 0.5}, "factor is 0.5, expected at least 1"),
        ({"trained_context": 0}, "trained_context is 0, expected at least 1"),
        ({"share": 0.0}, "share is 0.0, expected more than 0"),
        ({"amplitude": 0.0}, "amplitude is 0.0, expected more than 0"),
        ({"divisors": (2.0,)}, "divisors is .2.0,., expected"),
        ({"scaling": "divisors"}, "divisors is .., expected"),
        ({"low_frequency_factor": 4.0}, "low_frequency_factor is 4.0, .* less than high_frequency_factor 4.0"),
    ],
)
def test_what_makes_no_sense_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Rotation(**change)


def test_an_odd_head_width_is_refused() -> None:
    with pytest.raises(ConfigError, match="head width is 5"):
        angles(Rotation(), 10, 5)
