"""How a config.json says that queries and keys are turned, in the names of `transformers.modeling_rope_utils`."""

from __future__ import annotations

import math
from typing import Any

from models.huggingface.fields import Fields
from models.rotary import Rotation

# The names that each kind may have, beside its own and rope_theta.
_NAMES: dict[str, tuple[str, ...]] = {
    "default": (),
    "linear": ("factor",),
    "dynamic": ("factor", "original_max_position_embeddings"),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
    "yarn": (
        *("factor", "attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "truncate"),
        "original_max_position_embeddings",
    ),
    "longrope": ("factor", "attention_factor", "short_factor", "long_factor", "original_max_position_embeddings"),
}


def rotation_of(fields: Fields, context: int, theta: float = 10_000.0, share: float = 1.0) -> tuple[Rotation, int]:
    """And how many tokens a text may have, of the `context` that the config says. Raises CheckpointError, ConfigError.

    `theta` and `share` are what they are where the config does not say.
    """
    theta = fields.take("rope_theta", float, theta)
    share = fields.take("partial_rotary_factor", float, fields.take("rotary_pct", float, share))
    trained = fields.maybe("original_max_position_embeddings", int)
    old, new = fields.maybe("rope_scaling", dict), fields.maybe("rope_parameters", dict)
    given: dict[str, Any] = {**(old or {}), **(new or {})}
    name = "rope_parameters" if new else "rope_scaling"
    kind = given.pop("rope_type", None) or given.pop("type", None) or "default"
    given.pop("type", None)
    theta, share = given.pop("rope_theta", None) or theta, given.pop("partial_rotary_factor", None) or share
    if kind not in _NAMES:
        raise fields.refused(name, f"rope_type one of {', '.join(_NAMES)}")
    given = {each: value for each, value in given.items() if value is not None}
    if unknown := sorted(given.keys() - set(_NAMES[kind])):
        raise fields.refused(
            name, f"nothing but {', '.join(_NAMES[kind]) or 'rope_theta'} in it, of {kind}: {unknown[0]}"
        )
    common: dict[str, Any] = {"theta": float(theta), "share": float(share)}
    trained = trained or given.get("original_max_position_embeddings") or context
    if kind == "default":
        return Rotation(**common), context
    factor = float(given.get("factor") or context / trained)
    if kind in ("linear", "dynamic"):
        # What is dynamic depends on how long the whole text is: up to the length of the training it is nothing.
        common["scaling"] = kind
        return Rotation(**common, factor=factor, trained_context=context), context
    if kind == "llama3":
        low, high = float(given.get("low_freq_factor", 1.0)), float(given.get("high_freq_factor", 4.0))
        common |= {"scaling": "llama3", "low_frequency_factor": low, "high_frequency_factor": high}
        return Rotation(**common, factor=factor, trained_context=trained), context
    if kind == "yarn":
        low, high = float(given.get("beta_slow") or 1), float(given.get("beta_fast") or 32)
        common |= {"scaling": "yarn", "low_frequency_factor": low, "high_frequency_factor": high}
        common |= {"whole_pairs": bool(given.get("truncate", True)), "amplitude": _amplitude(given, factor)}
        return Rotation(**common, factor=factor, trained_context=trained), context
    amplitude = given.get("attention_factor")
    if amplitude is None:
        amplitude = math.sqrt(1 + math.log(factor) / math.log(trained)) if factor > 1 else 1.0
    # Longer texts are read with other divisors, all of them: what a cache holds would be wrong from there on.
    divisors = tuple(float(each) for each in given.get("short_factor", ()))
    return Rotation(**common, scaling="divisors", divisors=divisors, amplitude=float(amplitude)), min(context, trained)


def _amplitude(given: dict[str, Any], factor: float) -> float:
    """YaRN's, unless it is given."""
    if given.get("attention_factor") is not None:
        return float(given["attention_factor"])

    def of(scale: float) -> float:
        return 1.0 if factor <= 1 else 0.1 * scale * math.log(factor) + 1.0

    if given.get("mscale") and given.get("mscale_all_dim"):
        return of(float(given["mscale"])) / of(float(given["mscale_all_dim"]))
    return of(1.0)
