"""A service, asked for translations through a client: a `Translator`.

Knows its answers; neither files nor where it runs, nor who else asks at the same time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from service.documents.document import Text
from service.serving.asking import Client, NotAnswered, within_limits
from service.translating.translator import (
    LEAST_RETRY_S,
    PRIORITY,
    Asked,
    Busy,
    Failed,
    Gone,
    Translation,
    Unusable,
)

SPARE_S = 30.0  # that an answer may take beyond the service's own limit


class Service:
    at_once = 8
    patience_s = 900.0

    def __init__(self, client: Client, asked: Asked) -> None:
        """Asks what is served; Unusable where nobody answers or nobody translates."""
        self.asked = asked
        self.called = client.called
        self._client = client
        status, info = client.ask("/info")
        if status != 200 or not isinstance(info, dict):
            reason = info if status == 0 else f"status {status}"
            raise Unusable(f"{client.called} does not answer ({reason}); start one with: triptych serve")
        translators = [model for model in info["models"] if model["task"] == "translate"]
        wanted = [model for model in translators if asked.model in (None, model["name"])]
        if not wanted:
            served = ", ".join(model["name"] for model in translators) or "none"
            raise Unusable(f"{client.called} serves no translator {asked.model or ''}; there are: {served}")
        if "error" in wanted[0]:
            raise Unusable(f"{wanted[0]['name']} of {client.called} is not ready: {wanted[0]['error']}")
        self.version: str = wanted[0]["version"]
        limits = info["limits"]
        self._max_inputs = int(limits.get("max_inputs", 1))
        self._max_characters = int(limits.get("max_characters", 10_000))
        self._timeout_s = limits.get("request_timeout_s", 60.0) + SPARE_S

    @property
    def settings(self) -> str:
        """What a translation depends on besides its text."""
        return repr({**asdict(self.asked), "version": self.version})

    def translate(self, texts: Sequence[Text]) -> list[Translation]:
        """Raises Busy, Gone, Failed or Unusable."""
        found: dict[int, Translation] = {}
        for format in dict.fromkeys(text.format for text in texts):
            numbers = [number for number, text in enumerate(texts) if text.format == format]
            asked = [texts[number].text for number in numbers]
            for first, last in within_limits(asked, self._max_inputs, self._max_characters):
                found |= self._post({number: texts[number].text for number in numbers[first:last]}, format)
        return [found[number] for number in range(len(texts))]

    def _post(self, texts: Mapping[int, str], format: str) -> dict[int, Translation]:
        """Each text's by its number."""
        asked = self.asked
        parameters: dict[str, Any] = {"src_lang": asked.source, "tgt_lang": asked.target, "priority": PRIORITY}
        parameters |= asked.parameters
        parameters |= {"format": format} if format != "text" else {}
        body = {"inputs": [*texts.values()], "parameters": parameters, "model": asked.model}
        status, answer = self._client.ask("/translate", body, timeout_s=self._timeout_s)
        if status == 200 and isinstance(answer, list) and len(answer) == len(texts):
            said = [Translation(each["translation_text"], each.get("finish_reason")) for each in answer]
            return dict(zip(texts, said, strict=True))
        not_answered = NotAnswered(status, answer)
        error, reason = not_answered.error, str(not_answered)
        if status == 0:
            raise Gone(reason)
        if status in (408, 429, 503):
            raise Busy(max(float(error.get("retry_after_s", LEAST_RETRY_S)), LEAST_RETRY_S), reason)
        if status in (400, 401, 403, 404, 405) or "parameter" in error or error.get("code") == "unknown_parameter":
            raise Unusable(reason)
        index = error.get("index")
        raise Failed(reason, [*texts][index] if isinstance(index, int) and index < len(texts) else None)
