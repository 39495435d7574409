from __future__ import annotations

import shlex

from service.serving.announcing import commands

MODELS = [
    {"task": "translate", "examples": {"One": {"inputs": "L'eau"}, "Two": {"inputs": "x"}}},
    {"task": "generate", "examples": {"A stream": {"inputs": "배우", "stream": True}}},
    {"task": "generate", "examples": {"Of another": {"inputs": "y"}}},
    {"task": "classify", "examples": {}, "language_pairs": []},
]


def test_there_is_a_command_for_the_first_example_of_each_task() -> None:
    translate, generate, classify = commands("http://here", MODELS)
    assert shlex.split(translate)[-1] == '{"inputs": "L\'eau"}'
    assert translate.startswith("curl http://here/translate -H")
    assert generate.startswith("curl -N http://here/generate -H")
    assert '"배우"' in generate
    assert shlex.split(classify)[-1] == '{"inputs": "Hello."}'


def test_where_keys_are_asked_for_the_commands_send_one() -> None:
    for command in commands("http://here", MODELS, needs_key=True):
        assert '-H "authorization: Bearer $TRIPTYCH_KEY" ' in command


def test_a_translator_without_examples_is_asked_for_a_pair_it_has() -> None:
    (command,) = commands("http://here", [{"task": "translate", "examples": {}, "language_pairs": [["ko", "en"]]}])
    assert '"src_lang": "ko", "tgt_lang": "en"' in command
