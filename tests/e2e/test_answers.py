"""The shipped service over real HTTP, with the clients that the field uses."""

from __future__ import annotations

import asyncio
import json
import re
import time
from typing import Any

import httpx
import pytest
from huggingface_hub import InferenceClient

from tests.e2e.service import Service

HANGUL = re.compile(r"[가-힣]")

TRANSLATIONS = [
    ("fr", "en", "Je suis fatigué.", r"(?i)\btired\b"),
    ("en", "fr", "I am tired.", r"(?i)fatigu"),
    ("ko", "en", "톰은 매우 피곤하다.", r"(?i)\btom is\b.*\btired\b"),
]


def post(service: Service, route: str, body: object, **options: Any) -> httpx.Response:
    return httpx.post(f"{service.url}{route}", json=body, timeout=60, **options)


def translation(text: str, source: str, target: str) -> dict[str, Any]:
    return {"inputs": text, "parameters": {"src_lang": source, "tgt_lang": target}}


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line.removeprefix("data:")) for line in text.splitlines() if line.startswith("data:")]


@pytest.mark.parametrize(("source", "target", "text", "expected"), TRANSLATIONS)
def test_translations_make_sense(service: Service, source: str, target: str, text: str, expected: str) -> None:
    client = InferenceClient(model=f"{service.url}/translate")
    answer = client.translation(text, src_lang=source, tgt_lang=target)
    assert re.search(expected, answer.translation_text), answer.translation_text


def test_the_best_beams_are_translations_with_falling_scores(service: Service) -> None:
    source, target, text, expected = TRANSLATIONS[0]
    asked = {"num_beams": 4, "num_return_sequences": 3}
    client = InferenceClient(model=f"{service.url}/translate")
    best = client.translation(text, src_lang=source, tgt_lang=target, generate_parameters=asked)
    texts = [best.translation_text, *(other["translation_text"] for other in best.alternatives)]
    scores = [best.score, *(other["score"] for other in best.alternatives)]
    assert re.search(expected, best.translation_text), best
    assert len(set(texts)) == 3
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > -1  # the mean log-probability of a translation that makes sense


def test_a_translation_goes_on_from_its_prefix_and_says_where_its_words_come_from(service: Service) -> None:
    body = translation("Tom a acheté une voiture rouge.", "fr", "en")
    body["parameters"] |= {"target_prefix": "Yesterday", "return_alignment": True, "num_beams": 2}
    (answer,) = post(service, "/translate", body).json()
    text, alignment = answer["translation_text"], answer["alignment"]
    assert re.match(r"Yesterday.*\bred car\b", text), text
    source, target = alignment["source_tokens"], alignment["target_tokens"]
    assert ("".join(source), "Yesterday" + "".join(target)) == (body["inputs"], text)
    row = alignment["weights"][target.index(" red")]
    assert source[max(range(len(row)), key=row.__getitem__)] == " rouge"
    body["parameters"].pop("num_beams")
    *_, last = events(post(service, "/translate", {**body, "stream": True}).text)
    assert last["generated_text"].startswith("Yesterday")
    assert "".join(last["alignment"]["target_tokens"]) == last["generated_text"].removeprefix("Yesterday")


def test_a_translation_keeps_to_its_length_ratios(service: Service) -> None:
    body = translation("Nous avons mangé du pain et du fromage hier soir.", "fr", "en")
    (whole,) = post(service, "/translate", body).json()
    body["parameters"]["max_length_ratio"] = 0.3
    (short,) = post(service, "/translate", body).json()
    assert whole["translation_text"].startswith(short["translation_text"])
    assert len(short["translation_text"]) < len(whole["translation_text"]) / 2


def test_each_of_several_samples_can_be_had_again_by_its_seed(service: Service) -> None:
    parameters = {"do_sample": True, "seed": 11, "max_new_tokens": 20}
    several = {"inputs": "<rating:9>", "parameters": {**parameters, "n": 3}}
    (answer,) = post(service, "/generate", several).json()
    samples = [answer, *answer["alternatives"]]
    assert [sample["seed"] for sample in samples] == [11, 12, 13]
    for sample in samples:
        again = {"inputs": "<rating:9>", "parameters": {**parameters, "seed": sample["seed"]}}
        assert post(service, "/generate", again).json() == [{"generated_text": sample["generated_text"]}]


def test_a_review_is_generated_for_a_rating(service: Service) -> None:
    client = InferenceClient(model=f"{service.url}/generate")
    text = client.text_generation("<rating:9>", do_sample=True, seed=1, max_new_tokens=40)
    assert HANGUL.search(text), text


def test_a_generated_stream_is_the_unstreamed_text(service: Service) -> None:
    client = InferenceClient(model=f"{service.url}/generate")
    asked = {"do_sample": True, "seed": 3, "max_new_tokens": 40}
    pieces = list(client.text_generation("<rating:2>", stream=True, **asked))
    assert len(pieces) > 3
    assert "".join(pieces) == client.text_generation("<rating:2>", **asked)


def test_the_stream_with_details_ends_with_the_whole_text(service: Service) -> None:
    client = InferenceClient(model=f"{service.url}/generate")
    *_, last = client.text_generation("<rating:9>", stream=True, details=True, max_new_tokens=8)
    assert last.generated_text is not None
    assert last.details.finish_reason in ("length", "eos_token")


@pytest.mark.parametrize(
    ("text", "label"), [("정말 재미있는 영화였어요", "positive"), ("시간이 아깝다 최악", "negative")]
)
def test_a_review_gets_its_label_with_a_score(service: Service, text: str, label: str) -> None:
    best, *_ = InferenceClient(model=f"{service.url}/classify").text_classification(text)
    assert best.label == label
    assert 0.5 < best.score <= 1


def test_a_list_of_inputs_is_answered_in_its_order(service: Service) -> None:
    texts = ["Bonjour.", "Merci beaucoup.", "Où est la gare ?"]
    together = post(service, "/translate", {**translation("", "fr", "en"), "inputs": texts}).json()
    alone = [post(service, "/translate", translation(text, "fr", "en")).json() for text in texts]
    assert [t["translation_text"] for t in together] == [_single(a)["translation_text"] for a in alone]


def _single(answer: Any) -> dict[str, Any]:
    return answer[0] if isinstance(answer, list) else answer


def test_sixty_four_clients_at_once_get_what_each_gets_alone(service: Service) -> None:
    texts = [
        "Je suis fatigué.", "Où est la gare ?", "Il fait beau aujourd'hui.", "Tom a acheté une voiture rouge.",
        "Nous avons mangé du pain et du fromage hier soir.", "Merci.",
    ]  # fmt: skip
    reviews = ["정말 재미있는 영화였어요", "돈이 아깝다", "배우들의 연기가 훌륭하다 하지만 이야기는 지루하다", "최고"]
    mix: list[tuple[str, dict[str, Any]]] = []
    for number in range(64):
        stream = number % 3 == 0
        match number % 4:
            case 0:
                body = translation(texts[number % 6], "fr", "en")
                body["parameters"] |= {"num_beams": 2 + number % 3, "n": 2, "priority": number % 5 - 2}
                mix.append(("/translate", body))
            case 1:
                mix.append(("/translate", {**translation(texts[number % 6], "fr", "en"), "stream": stream}))
            case 2:
                parameters = {"max_new_tokens": 10 + number % 30}
                mix.append(
                    ("/generate", {"inputs": f"<rating:{number % 10 + 1}>", "parameters": parameters, "stream": stream})
                )
            case 3:
                mix.append(("/classify", {"inputs": reviews[number // 4 % 4]}))

    async def ask(client: httpx.AsyncClient, route: str, body: dict[str, Any]) -> Any:
        answer = await client.post(service.url + route, json=body)
        assert answer.status_code == 200, answer.text
        if not body.get("stream"):
            return answer.json()
        parts = events(answer.text)
        whole = parts[-1]["generated_text"]
        assert "".join(part["token"]["text"] for part in parts) == whole
        return whole

    async def run() -> tuple[list[Any], list[Any]]:
        limits = httpx.Limits(max_connections=64)
        async with httpx.AsyncClient(timeout=120, limits=limits) as client:
            together = await asyncio.gather(*(ask(client, route, body) for route, body in mix))
            alone = [await ask(client, route, body) for route, body in mix]
        return list(together), alone

    together, alone = asyncio.run(run())
    for (route, body), got, expected in zip(mix, together, alone, strict=True):
        if route == "/classify":  # float32 sums in another order: the last digits may differ
            assert [s["label"] for s in _flat(got)] == [s["label"] for s in _flat(expected)]
            for a, b in zip(_flat(got), _flat(expected), strict=True):
                assert a["score"] == pytest.approx(b["score"], abs=1e-5)
        elif "num_beams" in body.get("parameters", {}):
            check_beams(got[0], expected[0])
        else:
            assert got == expected, body


def check_beams(got: dict[str, Any], expected: dict[str, Any]) -> None:
    """Equal but for the last digits of the scores, which are sums."""
    for ours, theirs in zip([got, *got["alternatives"]], [expected, *expected["alternatives"]], strict=True):
        assert ours["translation_text"] == theirs["translation_text"]
        assert ours["score"] == pytest.approx(theirs["score"], abs=1e-3)


def _flat(answer: Any) -> list[dict[str, Any]]:
    return answer[0] if isinstance(answer[0], list) else answer


WHOLE = translation("mot " * 2000, "fr", "en")
WHOLE["parameters"]["split"] = "none"


def test_a_text_comes_back_sentence_by_sentence_as_it_stood(service: Service) -> None:
    sentences = ["Je suis fatigué.", "Où est la gare ?", "Merci beaucoup !"]
    alone = [
        post(service, "/translate", translation(text, "fr", "en")).json()[0]["translation_text"] for text in sentences
    ]
    text = "  - {} {}\n\n{}\n"
    whole = translation(text.format(*sentences), "fr", "en")
    (answer,) = post(service, "/translate", whole).json()
    assert answer["translation_text"] == text.format(*alone)
    *_, last = events(post(service, "/translate", {**whole, "stream": True}).text)
    assert last["generated_text"] == answer["translation_text"]


def test_markup_and_terms_come_through(service: Service) -> None:
    body = translation("Je vois <b>le chat</b>. Écrivez à bob@exemple.fr ce soir.", "fr", "en")
    body["parameters"] |= {"format": "html", "glossary": {"chat": "feline"}}
    (answer,) = post(service, "/translate", body).json()
    assert (
        answer["translation_text"].count("<b>the feline</b>") == answer["translation_text"].count("bob@exemple.fr") == 1
    )


@pytest.mark.parametrize(
    ("route", "body", "status", "said"),
    [
        ("/translate", {"inputs": "x", "parameters": {"src_lang": "en", "tgt_lang": "ko"}}, 404, "en.*ko.*fr.*en"),
        ("/translate", {"inputs": ""}, 422, r'inputs\[0\] is ""'),
        ("/translate", WHOLE, 422, r"\d+ tokens, the limit is \d+"),
        ("/translate", translation("mot " * 30_000, "fr", "en"), 422, "120000 characters, the limit is 100000"),
        ("/generate", {"inputs": "x", "parameters": {"max_new_tokens": 100000}}, 422, "100000"),
        ("/generate", {"inputs": "x", "parameters": {"colour": 1}}, 422, "colour"),
        ("/generate", {"inputs": "x", "parameters": {"num_beams": 17}}, 422, "num_beams is 17.*16"),
        ("/generate", {"inputs": "x", "parameters": {"num_beams": 2}, "stream": True}, 422, "num_beams 2"),
        ("/generate", {"inputs": "x", "parameters": {"n": 2}}, 422, "num_return_sequences is 2.*greedy.*1"),
        ("/classify", {"inputs": 7}, 422, r"inputs\[0\] is 7: expected a text, or a list of texts"),
        ("/nothing", {}, 404, "/nothing"),
    ],
)
def test_bad_input_is_refused_in_one_shape(service: Service, route: str, body: object, status: int, said: str) -> None:
    answer = post(service, route, body)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert error.keys() >= {"code", "message", "request_id"}
    assert answer.headers["x-request-id"] == error["request_id"]
    assert re.search(said, error["message"]), error["message"]


def test_every_answer_says_which_model_made_it_and_how_long_it_took(service: Service) -> None:
    answer = post(service, "/translate", translation("Merci.", "fr", "en"), headers={"x-request-id": "mine-1"})
    assert answer.headers["x-request-id"] == "mine-1"
    assert answer.headers["x-model-version"].startswith("translator@")
    assert float(answer.headers["x-inference-time-ms"]) > 0
    assert float(answer.headers["x-queue-time-ms"]) >= 0


def test_info_says_what_is_served(service: Service) -> None:
    models = {model["name"]: model for model in httpx.get(f"{service.url}/info").json()["models"]}
    assert models.keys() == {"translator", "generator", "classifier", "encoder"}
    assert ["fr", "en"] in models["translator"]["language_pairs"]
    assert models["classifier"]["labels"] == ["negative", "positive"]
    assert all(model["scores"] and model["device"] for model in models.values())


def test_metrics_are_those_of_the_whole_application(service: Service) -> None:
    post(service, "/classify", {"inputs": "최고"})
    text = httpx.get(f"{service.url}/metrics").text
    for model in ("translator", "generator", "classifier", "encoder"):
        assert re.search(rf'triptych_model_info{{.*model="{model}".*}} 1\.0', text)
    assert re.search(r'triptych_requests_finished_total{.*model="classifier".*reason="length".*} [1-9]', text)
    assert re.search(r'triptych_http_requests_total{.*route="/classify".*} [1-9]', text)
    assert not re.search(r"triptych_tokens_after_cancel_total{[^}]*} [^0]", text)


def test_a_client_that_leaves_a_stream_is_counted_and_costs_nothing_more(service: Service) -> None:
    def cancelled() -> float:
        text = httpx.get(f"{service.url}/metrics").text
        found = re.findall(r'triptych_requests_cancelled_total{[^}]*model="generator"[^}]*} (\S+)', text)
        return sum(map(float, found))

    before = cancelled()
    body = {"inputs": "배우", "parameters": {"max_new_tokens": 100, "do_sample": True, "seed": 4}, "stream": True}
    for _ in range(5):
        with httpx.stream("POST", f"{service.url}/generate", json=body, timeout=30) as stream:
            next(stream.iter_lines())
    deadline = time.monotonic() + 10
    while cancelled() == before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert cancelled() > before
