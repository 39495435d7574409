"""Every text method of Hugging Face's client against every route: what is answered, what is refused and how.

`nothing tells` is what cannot be refused: the body is a text alone, as that of the task that the route is for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError

from tests.service.gateway.conftest import Stand

METHODS: dict[str, Callable[[InferenceClient], Any]] = {
    "text_generation": lambda client: client.text_generation("a b"),
    "text_generation, as asked": lambda client: client.text_generation("a b", max_new_tokens=3),
    "translation": lambda client: client.translation("a b", src_lang="fr", tgt_lang="en"),
    "text_classification": lambda client: client.text_classification("a b"),
    "text_classification, as asked": lambda client: client.text_classification("a", function_to_apply="softmax"),
    "feature_extraction": lambda client: client.feature_extraction("a b"),
    "feature_extraction, as asked": lambda client: client.feature_extraction("a b", normalize=True),
    "sentence_similarity": lambda client: client.sentence_similarity("a", ["b", "c"]),
    "fill_mask": lambda client: client.fill_mask("a [MASK]."),
    "fill_mask, as asked": lambda client: client.fill_mask("a <mask>.", top_k=2),
    "fill_mask, of some": lambda client: client.fill_mask("a [MASK].", targets=["b"]),
    "summarization": lambda client: client.summarization("a b"),
    "summarization, as asked": lambda client: client.summarization("a", generate_parameters={"max_new_tokens": 5}),
    "question_answering": lambda client: client.question_answering(question="a", context="b"),
    "zero_shot_classification": lambda client: client.zero_shot_classification("a", ["b", "c"]),
    "token_classification": lambda client: client.token_classification("a b"),
    "token_classification, as asked": lambda client: client.token_classification("a", aggregation_strategy="simple"),
    "table_question_answering": lambda client: client.table_question_answering(table={"a": ["b"]}, query="c"),
    "tabular_classification": lambda client: client.tabular_classification({"a": ["b"]}),
}
DOES = {
    "/generate": "/generate goes on with prompts",
    "/": "/ goes on with a prompt",
    "/translate": "/translate translates texts",
    "/classify": "/classify labels texts with the labels that its model was trained on, which /info tells",
    "/embed": "/embed gives vectors of texts, and says how similar texts are",
    "/detect": "/detect says which language texts are in",
}
OWN = {
    "/generate": {"text_generation", "text_generation, as asked"},
    "/": {"text_generation", "text_generation, as asked"},
    "/translate": {"translation"},
    "/classify": {"text_classification", "text_classification, as asked"},
    "/embed": {"feature_extraction", "feature_extraction, as asked", "sentence_similarity"},
    "/detect": {"text_classification", "text_classification, as asked"},
}
A_TEXT_ALONE = {"text_generation", "text_classification", "feature_extraction", "summarization", "token_classification"}


def expected_of(method: str, route: str) -> str:
    if method in OWN[route]:
        return "answered"
    # A translation may be asked for with parameters of these, and without languages where there is one pair.
    if route == "/translate" and method in A_TEXT_ALONE | {"text_generation, as asked", "summarization, as asked"}:
        return "languages are missing"
    return "nothing tells" if method in A_TEXT_ALONE else "refused"


EXPECTED = {(method, route): expected_of(method, route) for method in METHODS for route in OWN}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with Stand().server() as url:
        yield url


@pytest.mark.parametrize(("method", "route"), EXPECTED, ids=lambda name: name)
def test_what_a_model_cannot_do_is_refused_by_what_it_does(address: str, method: str, route: str) -> None:
    ask, expected = METHODS[method], EXPECTED[method, route]
    client = InferenceClient(model=address if route == "/" else f"{address}{route}")
    if expected == "answered":
        assert ask(client) is not None
    elif expected == "nothing tells":
        with suppress(TypeError, ValueError):  # of a client that does not know what to make of the answer
            ask(client)
    else:
        with pytest.raises(HfHubHTTPError) as caught:
            ask(client)
        message = caught.value.response.json()["error"]["message"]
        assert caught.value.response.status_code == 422
        if expected == "languages are missing":
            assert "leave more than one language pair" in message
        else:
            assert message.endswith(f"which is not done here: {DOES[route]}")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"inputs": "a [MASK].", "parameters": {}}, 422),
        ({"inputs": "a [MASK].", "parameters": {"top_k": 3}}, 422),
        ({"inputs": "a [MASK]."}, 200),  # which no method of the client sends
        ({"inputs": ["a [MASK]."], "parameters": {}}, 200),
        ({"inputs": "a [MASK].", "parameters": {"top_k": 3, "priority": 1}}, 200),
        ({"inputs": "a [MASK].", "parameters": {}, "model": "generator"}, 200),
    ],
)
async def test_a_text_with_a_mask_is_one_for_who_asks_for_it_so(client, body: dict[str, Any], status: int) -> None:
    assert (await client.post("/generate", json=body)).status_code == status


async def test_the_refusal_says_what_is_unknown_and_what_it_is_of(client) -> None:
    body = {"inputs": "a", "parameters": {"candidate_labels": ["b"]}}
    error = (await client.post("/classify", json=body)).json()["error"]
    assert (error["code"], error["parameter"]) == ("unknown_parameter", "parameters.candidate_labels")
    assert error["message"].startswith("parameters.candidate_labels is unknown; known are top_k")
    assert ". This asks for zero-shot classification, which is not done here: /classify labels" in error["message"]
    plain = (await client.post("/classify", json={"inputs": "a", "parameters": {"top_k": "5"}})).json()["error"]
    assert "which is not done here" not in plain["message"]
