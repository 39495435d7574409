from __future__ import annotations

import re

from prometheus_client.parser import text_string_to_metric_families

from service.observability.metrics import WorkerMetrics
from tests.service.gateway.conftest import MODELS

ROUTES = {
    "/": {"GET"},
    "/translate": {"POST"},
    "/generate": {"POST"},
    "/classify": {"POST"},
    "/livez": {"GET"},
    "/readyz": {"GET"},
    "/info": {"GET"},
    "/metrics": {"GET"},
    "/docs": {"GET"},
    "/openapi.json": {"GET"},
}


def test_the_routes_are_these(stand):
    routes = {route.path: set(route.methods) - {"HEAD"} for route in stand.app.routes}
    assert routes == ROUTES


async def test_livez_answers_whatever_the_models_do(stand, client):
    for worker in stand.workers.values():
        worker.ready = False
    assert (await client.get("/livez")).status_code == 200


async def test_readyz_waits_for_each_models_canary(stand, client):
    stand.translator.ready = False
    response = await client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["error"]["models"] == {"translator": "still loading"}
    stand.translator.ready = True
    assert (await client.get("/readyz")).status_code == 200
    assert (await client.get("/readyz")).status_code == 200
    assert (stand.translator.canaries, stand.generator.canaries) == (2, 1)  # once answered is enough


async def test_readyz_asks_again_after_a_worker_failed(stand, client):
    assert (await client.get("/readyz")).status_code == 200
    stand.generator.breaks = RuntimeError()
    await client.post("/generate", json={"inputs": "a"})
    stand.generator.ready = False
    response = await client.get("/readyz")
    assert response.status_code == 503
    assert list(response.json()["error"]["models"]) == ["generator"]


async def test_info_tells_models_and_limits_and_which_cannot_be_asked(stand, client):
    stand.generator.ready = False
    info = (await client.get("/info")).json()
    assert info["service"]["name"] == "Triptych"
    models = {model["name"]: model for model in info["models"]}
    assert list(models) == list(MODELS)
    assert models["translator"]["language_pairs"][0] == ["fr", "en"]
    assert models["classifier"]["labels"] == ["good", "bad"]
    assert models["generator"]["error"] == "still loading"
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
    slots = families["triptych_slots_total"].samples
    assert [sample.labels["replica"] for sample in slots] == ["generator#1", "generator#2"]
    assert families["triptych_batch_requests"].type == "histogram"


async def test_a_dead_worker_does_not_break_metrics(stand, client):
    stand.translator.exposition = RuntimeError("dead")
    stand.generator.exposition = [("generator#1", WorkerMetrics("generator").render())]
    response = await client.get("/metrics")
    assert response.status_code == 200
    assert 'triptych_slots_total{replica="generator#1"' in response.text
    assert stand.sample("triptych_scrape_failures_total", model="translator") == 1


async def test_docs_are_a_page_that_loads_nothing_from_elsewhere(client):
    response = await client.get("/docs")
    assert response.status_code == 200
    assert not re.findall(r"https?://", response.text)
    assert "connect-src 'self'" in response.headers["content-security-policy"]
    for path in ("/translate", "/generate", "/classify", "/info"):
        assert f"POST {path}" in response.text or f"GET {path}" in response.text
    assert "max_new_tokens" in response.text


async def test_the_root_leads_to_the_docs(client):
    response = await client.get("/")
    assert (response.status_code, response.headers["location"]) == (307, "/docs")


async def test_openapi_describes_bodies_examples_and_errors(client):
    document = (await client.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    for path in ("/translate", "/generate", "/classify"):
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


async def test_every_example_of_the_documentation_works(client):
    document = (await client.get("/openapi.json")).json()
    for path in ("/translate", "/generate", "/classify"):
        examples = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["examples"]
        for example in examples.values():
            assert (await client.post(path, json=example["value"])).status_code == 200


async def test_unknown_paths_and_wrong_methods_have_the_error_shape(client):
    response = await client.get("/nowhere")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")
    response = await client.get("/translate")
    assert (response.status_code, response.json()["error"]["code"]) == (405, "method_not_allowed")
    assert response.headers["allow"] == "POST"
    assert response.json()["error"]["request_id"] == response.headers["x-request-id"]
