from __future__ import annotations

import asyncio
import re
from dataclasses import replace

import httpx
from prometheus_client.parser import text_string_to_metric_families

from service.gateway.huggingface.routes import DETECT
from service.gateway.huggingface.routes import ROUTES as TASK_ROUTES
from service.gateway.huggingface.tei import TEI
from service.gateway.huggingface.tgi import TGI
from service.observability.metrics import WorkerMetrics
from tests.service.gateway.conftest import MODELS
from tests.waiting import eventually

POSTS = (*TASK_ROUTES, DETECT)
OTHER_POSTS = (*TGI.tasks, *TEI.tasks, "/tokenize", "/decode")
ROUTES = {
    "/": {"GET", "HEAD", "POST"},
    "/translate": {"POST"},
    "/generate": {"POST"},
    "/classify": {"POST"},
    "/embed": {"POST"},
    "/detect": {"POST"},
    "/generate_stream": {"POST"},
    "/predict": {"POST"},
    "/rerank": {"POST"},
    "/similarity": {"POST"},
    "/tokenize": {"POST"},
    "/decode": {"POST"},
    "/embed_all": {"POST"},
    "/embed_sparse": {"POST"},
    "/translate/file": {"POST"},
    "/translate/file/{id}": {"GET", "HEAD", "DELETE"},
    "/translate/file/{id}/result": {"GET", "HEAD"},
    **{
        f"{base}/{path}": methods
        for base in ("/v1", "/generate/v1")
        for path, methods in {
            "completions": {"POST"},
            "chat/completions": {"POST"},
            "embeddings": {"POST"},
            "models": {"GET", "HEAD"},
            "models/{model}": {"GET", "HEAD"},
        }.items()
    },
    "/libretranslate/translate": {"POST"},
    "/libretranslate/detect": {"POST"},
    "/libretranslate/languages": {"GET", "HEAD"},
    "/libretranslate/frontend/settings": {"GET", "HEAD"},
    "/libretranslate/health": {"GET", "HEAD"},
    "/libretranslate/suggest": {"POST"},
    "/libretranslate/translate_file": {"POST"},
    **{
        f"{base}/{path}": methods
        for base in ("/deepl/v2", "/v2")
        for path, methods in {
            "translate": {"POST"},
            "languages": {"GET", "HEAD"},
            "usage": {"GET", "HEAD"},
            "glossary-language-pairs": {"GET", "HEAD"},
            "glossaries": {"GET", "HEAD", "POST"},
            "glossaries/{id}": {"GET", "HEAD", "DELETE"},
            "glossaries/{id}/entries": {"GET", "HEAD"},
            "document": {"POST"},
        }.items()
    },
    "/language/translate/v2": {"GET", "HEAD", "POST"},
    "/language/translate/v2/detect": {"GET", "HEAD", "POST"},
    "/language/translate/v2/languages": {"GET", "HEAD"},
    "/azure/translate": {"POST"},
    "/azure/detect": {"POST"},
    "/azure/languages": {"GET", "HEAD"},
    "/azure/breaksentence": {"POST"},
    "/azure/transliterate": {"POST"},
    "/azure/dictionary/lookup": {"POST"},
    "/azure/dictionary/examples": {"POST"},
    "/livez": {"GET", "HEAD"},
    "/health": {"GET", "HEAD"},
    "/readyz": {"GET", "HEAD"},
    "/info": {"GET", "HEAD"},
    "/metrics": {"GET", "HEAD"},
    "/docs": {"GET", "HEAD"},
    "/openapi.json": {"GET", "HEAD"},
}


def test_the_routes_are_these(stand):
    routes: dict[str, set[str]] = {}
    for route in stand.app.routes:
        routes.setdefault(route.path, set()).update(route.methods)
    assert routes == {path: {*methods, "OPTIONS"} for path, methods in ROUTES.items()}


async def test_livez_answers_whatever_the_models_do(stand, client):
    for worker in stand.workers.values():
        worker.ready = False
    assert (await client.get("/livez")).status_code == 200


async def test_readyz_waits_for_each_models_sign_of_life(stand):
    stand.translator.ready = False
    async with stand.client() as client:
        response = await client.get("/readyz")
        assert response.status_code == 503
        assert response.json()["error"]["models"] == {"translator": "still loading"}
        assert response.headers["retry-after"] == "10"  # nothing is known yet of how long it takes
        stand.translator.ready = True
        assert (await client.get("/readyz")).status_code == 200
        assert stand.sample("triptych_model_ready", model="translator") == 1
        asked = stand.generator.canaries
        for _ in range(5):
            await client.get("/readyz")
        assert stand.generator.canaries == asked  # a sign of life is believed for some seconds


async def test_readyz_asks_again_after_a_worker_failed(stand, client):
    assert (await client.get("/readyz")).status_code == 200
    stand.generator.breaks = RuntimeError()
    stand.generator.ready = False
    await client.post("/generate", json={"inputs": "a"})
    response = await client.get("/readyz")
    assert response.status_code == 503
    assert list(response.json()["error"]["models"]) == ["generator"]


async def test_readyz_answers_in_time_however_many_models_hang(stand, client, monkeypatch):
    monkeypatch.setattr("service.gateway.readiness.ANSWER_TIMEOUT_S", 0.2)
    monkeypatch.setattr("service.gateway.readiness.FRESH_S", 0.0)
    for worker in stand.workers.values():
        worker.hanging = True
    asked = {name: worker.canaries for name, worker in stand.workers.items()}
    async with asyncio.timeout(10):
        responses = await asyncio.gather(*(client.get("/readyz") for _ in range(10)))
    for response in responses:
        assert response.status_code == 503
        assert list(response.json()["error"]["models"]) == list(MODELS)
    for name, worker in stand.workers.items():
        assert worker.canaries <= asked[name] + 2, name  # one question for all, and the watch's


async def test_a_model_that_hangs_is_noticed_without_being_asked_for(stand, monkeypatch, caplog):
    monkeypatch.setattr("service.gateway.readiness.QUESTION_TIMEOUT_S", 0.05)
    monkeypatch.setattr("service.gateway.catalogue.WATCH_EVERY_S", 0.02)
    async with stand.client() as client:
        assert (await client.get("/readyz")).status_code == 200
        stand.generator.hanging = True
        await eventually(lambda: stand.sample("triptych_model_ready", model="generator") == 0)
        batches = len(stand.generator.batches)
        refused = await client.post("/generate", json={"inputs": "a", "model": "generator"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "not_ready")
        assert refused.headers["retry-after"] == "10"
        assert len(stand.generator.batches) == batches
        stand.generator.hanging = False
        await eventually(lambda: stand.sample("triptych_model_ready", model="generator") == 1)
        assert (await client.post("/generate", json={"inputs": "a"})).status_code == 200
    said = [record.getMessage() for record in caplog.records if getattr(record, "model", None) == "generator"]
    (line,) = [line for line in said if "not ready" in line]
    assert "no sign of life" in line


async def test_info_tells_models_and_limits_and_which_cannot_be_asked(stand):
    stand.generator.ready = False
    async with stand.client() as client:
        info = (await client.get("/info")).json()
    assert info["service"]["name"] == "Triptych"
    models = {model["name"]: model for model in info["models"]}
    assert list(models) == list(MODELS)
    assert models["translator"]["language_pairs"][0] == ["fr", "en"]
    assert models["classifier"]["labels"] == ["good", "bad"]
    assert models["generator"]["error"] == "model 'generator' is not ready: still loading"
    assert info["limits"]["max_inputs"] == 256


async def test_metrics_are_the_whole_applications(stand, client):
    worker_text = WorkerMetrics("generator").render()
    stand.generator.exposition = [("generator#1", worker_text), ("generator#2", worker_text)]
    await client.post("/generate", json={"inputs": "a"})
    response = await client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = {family.name: family for family in text_string_to_metric_families(response.text)}
    served = families["triptych_http_requests"].samples
    assert [sample.labels["replica"] for sample in served] == ["gateway"]
    slots = families["triptych_slots"].samples
    assert [sample.labels["replica"] for sample in slots] == ["generator#1", "generator#2"]
    assert families["triptych_batch_requests"].type == "histogram"


async def test_a_dead_worker_does_not_break_metrics(stand, client):
    stand.translator.exposition = RuntimeError("dead")
    stand.generator.exposition = [("generator#1", WorkerMetrics("generator").render())]
    response = await client.get("/metrics")
    assert response.status_code == 200
    assert 'triptych_slots{replica="generator#1"' in response.text
    assert stand.sample("triptych_scrape_failures_total", model="translator") == 1


async def test_docs_are_a_page_that_loads_nothing_from_elsewhere(client):
    response = await client.get("/docs")
    assert response.status_code == 200
    assert not re.findall(r"https?://", response.text)
    assert "connect-src 'self'" in response.headers["content-security-policy"]
    for operation in (*(f"POST {path}" for path in (*POSTS, *OTHER_POSTS)), "GET /info"):
        assert operation in response.text
    assert "max_new_tokens" in response.text


async def test_the_root_leads_to_the_docs(client):
    response = await client.get("/")
    assert (response.status_code, response.headers["location"]) == (307, "/docs")


async def test_the_page_sends_what_is_for_the_address_itself_there(client):
    assert 'data-method="POST" data-path="./"' in (await client.get("/docs")).text


async def test_openapi_describes_bodies_examples_and_errors(client):
    document = (await client.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    for path in ("/metrics", "/info", "/readyz", "/livez"):
        kind = "text/plain" if path == "/metrics" else "application/json"
        assert list(document["paths"][path]["get"]["responses"]["200"]["content"]) == [kind]
    for path in POSTS:
        operation = document["paths"][path]["post"]
        content = operation["requestBody"]["content"]["application/json"]
        assert content["examples"]
        name = content["schema"]["$ref"].rpartition("/")[2]
        assert "inputs" in schemas[name]["properties"]
        assert {"400", "404", "413", "422", "503", "504"} <= operation["responses"].keys()
        error = operation["responses"]["422"]["content"]["application/json"]["schema"]["$ref"]
        assert error.endswith("/ErrorAnswer")
    references = set(re.findall(r'"#/components/schemas/(\w+)"', (await client.get("/openapi.json")).text))
    assert references <= schemas.keys()


async def examples_of(client, task):
    document = (await client.get("/openapi.json")).json()
    content = document["paths"][f"/{task}"]["post"]["requestBody"]["content"]["application/json"]
    return {name: example["value"] for name, example in content.get("examples", {}).items()}


async def test_the_examples_are_those_of_the_models_which_are_named_where_there_are_several(stand, client):
    assert await examples_of(client, "translate") == stand.translator.info.examples
    examples = await examples_of(client, "generate")
    assert list(examples) == [
        f"{n}: {what}" for n in ("generator", "second-generator") for what in ("Greedy", "A stream")
    ]
    assert examples["second-generator: Greedy"] == {"inputs": "once upon", "model": "second-generator"}
    page = (await client.get("/docs")).text
    assert "once upon" in page
    assert "second-generator: A stream" in page


async def test_a_model_that_says_nothing_or_has_no_examples_leaves_them_out_and_the_page_stands(stand):
    stand.translator.ready = False
    stand.workers["second-generator"].info = replace(stand.workers["second-generator"].info, examples={})
    stand.classifier.info = replace(stand.classifier.info, examples={})
    async with stand.client() as client:
        assert await examples_of(client, "translate") == {}
        assert list(await examples_of(client, "generate")) == ["generator: Greedy", "generator: A stream"]
        assert await examples_of(client, "classify") == {}
        page = await client.get("/docs")
        assert page.status_code == 200
        assert "POST /translate" in page.text
        stand.translator.ready = True
        assert (await client.get("/readyz")).status_code == 200
        assert await examples_of(client, "translate") == stand.translator.info.examples


async def test_an_example_names_its_model_also_while_another_one_of_the_task_says_nothing(stand):
    stand.generator.ready = False
    async with stand.client() as client:
        examples = await examples_of(client, "generate")
    assert list(examples) == ["second-generator: Greedy", "second-generator: A stream"]
    assert all(body["model"] == "second-generator" for body in examples.values())


async def test_behind_a_proxy_the_document_says_where_the_service_is(stand):
    transport = httpx.ASGITransport(app=stand.app, root_path="/models")
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        response = await client.get("/models/openapi.json")
    assert response.json()["servers"] == [{"url": "/models"}]


async def test_after_a_reload_the_examples_are_the_new_ones(stand, client):
    assert "bonjour" in (await client.get("/docs")).text
    new = {"A new one": {"inputs": "bonsoir", "parameters": {"src_lang": "fr"}}}
    stand.translator.info = replace(stand.translator.info, version="translator@2", examples=new)
    await client.post("/translate", json={"inputs": "a", "parameters": {"src_lang": "fr"}})
    assert await examples_of(client, "translate") == new
    assert "bonjour" not in (await client.get("/docs")).text


def test_head_gets_the_headers_of_get_and_no_body(stand, server):
    stand.generator.exposition = [("generator#1", WorkerMetrics("generator").render())]
    for path in [path for path, methods in ROUTES.items() if "GET" in methods]:
        got, head = (
            httpx.request(method, f"{server}{path}", headers={"x-request-id": "mine"}) for method in ("GET", "HEAD")
        )
        assert (head.status_code, head.content) == (got.status_code, b""), path
        changing = {"date", *(["content-length"] if path == "/metrics" else [])}
        assert kept(head, changing) == kept(got, changing), path
    refused = httpx.head(f"{server}/translate")
    assert (refused.status_code, refused.headers["allow"]) == (405, "OPTIONS, POST")
    assert httpx.post(f"{server}/livez").headers["allow"] == "GET, HEAD, OPTIONS"


def kept(response, changing):
    return {name: value for name, value in response.headers.items() if name not in changing}


async def test_every_example_of_the_documentation_works(client):
    document = (await client.get("/openapi.json")).json()
    for path in (*POSTS, *OTHER_POSTS):
        examples = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["examples"]
        assert examples, path
        for example in examples.values():
            assert (await client.post(path, json=example["value"])).status_code == 200


async def test_unknown_paths_and_wrong_methods_have_the_error_shape(client):
    response = await client.get("/nowhere")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")
    response = await client.get("/translate")
    assert (response.status_code, response.json()["error"]["code"]) == (405, "method_not_allowed")
    assert response.headers["allow"] == "OPTIONS, POST"
    assert response.json()["error"]["request_id"] == response.headers["x-request-id"]
