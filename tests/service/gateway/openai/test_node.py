"""npm's `@huggingface/inference`, as it is: given the address of /generate, it looks below /generate/v1."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.service.gateway.conftest import Stand

INSTALLED = Path(sys.prefix) / "npm"
PACKAGE = INSTALLED / "node_modules" / "@huggingface" / "inference"
PROGRAM = """
import { InferenceClient } from "@huggingface/inference";
const client = new InferenceClient().endpoint(process.argv[1] + "/generate");
const told = async (chunks) => { const all = []; for await (const chunk of chunks) all.push(chunk); return all; };
const refusal = (error) => error.httpResponse.body.error.message;
const messages = [{ role: "user", content: "hello you" }];
const answers = {
  text: await client.textGeneration({ inputs: "once upon", parameters: { max_new_tokens: 5, temperature: 0.5 } }),
  texts: await told(client.textGenerationStream({ inputs: "once upon" })),
  chat: await client.chatCompletion({ messages, max_tokens: 5 }),
  chats: await told(client.chatCompletionStream({ messages, model: "second-generator" })),
  error: await client.chatCompletion({ messages, max_tokens: 500 }).catch(refusal),
};
console.log(JSON.stringify(answers));
"""

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="there is no node")
needs_package = pytest.mark.skipif(
    not PACKAGE.is_dir(), reason=f"there is no {PACKAGE}: make test installs it where there is npm"
)


@pytest.fixture
def answers(stand: Stand) -> dict[str, Any]:
    stand.generator.info = stand.chatter.info
    with stand.server() as url:
        command = ["node", "--input-type=module", "--eval", PROGRAM, url]
        done = subprocess.run(command, cwd=INSTALLED, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@needs_node
@needs_package
def test_hugging_faces_client_for_javascript_generates_and_chats(stand: Stand, answers: dict[str, Any]) -> None:
    assert answers["text"] == {"generated_text": "ONCE UPON"}
    assert "".join(chunk["choices"][0]["text"] for chunk in answers["texts"]) == "ONCE UPON"
    assert answers["chat"]["choices"][0]["message"]["content"] == "HELLO YOU"
    said = [chunk["choices"][0]["delta"].get("content") or "" for chunk in answers["chats"]]
    assert "".join(said) == "HELLO YOU"
    assert "max_tokens is 500, the model's limit is 32" in answers["error"]
    assert stand.generator.seen[0].decoding.max_new_tokens == 5
    assert len(stand.chatter.seen) == 1
