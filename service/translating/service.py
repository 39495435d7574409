"""A running service, asked for translations over HTTP: a `Translator`.

Knows its answers; neither files nor who else asks at the same time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from service.documents.document import Text
from service.serving.asking import ask
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

    def __init__(self, url: str, asked: Asked, key: str | None = None) -> None:
        """Asks what is served; Unusable where nobody answers or nobody translates."""
        self.url = url.rstrip("/")
        self.asked = asked
        self._headers = {} if key is None else {"authorization": f"Bearer {key}"}
        status, info = ask(f"{self.url}/info", headers=self._headers)
        if status != 200 or not isinstance(info, dict):
            reason = info if status == 0 else f"status {status}"
            raise Unusable(f"no service answers at {self.url} ({reason}); start one with: triptych serve")
        translators = [model for model in info["models"] if model["task"] == "translate"]
        wanted = [model for model in translators if asked.model in (None, model["name"])]
        if not wanted:
            served = ", ".join(model["name"] for model in translators) or "none"
            raise Unusable(f"{self.url} serves no translator {asked.model or ''}; there are: {served}")
        if "error" in wanted[0]:
            raise Unusable(f"{wanted[0]['name']} at {self.url} is not ready: {wanted[0]['error']}")
        self.version: str = wanted[0]["version"]
        limits = info["limits"]
        self._max_inputs = int(limits.get("max_inputs", 1))
        self._max_characters = int(limits.get("max_characters", 10_000))
        self._timeout_s = limits.get("request_timeout_s", 60.0) + SPARE_S

    @property
    def called(self) -> str:
        return f"the service at {self.url}"

    @property
    def settings(self) -> str:
        """What a translation depends on besides its text."""
        return repr({**asdict(self.asked), "version": self.version})

    def translate(self, texts: Sequence[Text]) -> list[Translation]:
        """Raises Busy, Gone, Failed or Unusable."""
        found: dict[int, Translation] = {}
        for format in dict.fromkeys(text.format for text in texts):
            numbers = [number for number, text in enumerate(texts) if text.format == format]
            for first, last in self._requests([texts[number].text for number in numbers]):
                found |= self._post({number: texts[number].text for number in numbers[first:last]}, format)
        return [found[number] for number in range(len(texts))]

    def _requests(self, parts: Sequence[str]) -> Iterator[tuple[int, int]]:
        """As few as the service's limits allow."""
        first = characters = 0
        for index, part in enumerate(parts):
            characters += len(part)
            if index > first and (characters > self._max_characters or index - first >= self._max_inputs):
                yield first, index
                first, characters = index, len(part)
        if parts:
            yield first, len(parts)

    def _post(self, texts: Mapping[int, str], format: str) -> dict[int, Translation]:
        """Each text's by its number."""
        asked = self.asked
        parameters: dict[str, Any] = {"src_lang": asked.source, "tgt_lang": asked.target, "priority": PRIORITY}
        parameters |= {"num_beams": asked.num_beams} if asked.num_beams > 1 else {}
        parameters |= {"format": format} if format != "text" else {}
        body = {"inputs": [*texts.values()], "parameters": parameters, "model": asked.model}
        status, answer = ask(f"{self.url}/translate", body, headers=self._headers, timeout_s=self._timeout_s)
        if status == 200 and isinstance(answer, list) and len(answer) == len(texts):
            said = [Translation(each["translation_text"], each.get("finish_reason")) for each in answer]
            return dict(zip(texts, said, strict=True))
        error = answer.get("error") if isinstance(answer, dict) else None
        error = error if isinstance(error, dict) else {}
        reason = error.get("message") or f"{answer}"[:200]
        if status == 0:
            raise Gone(reason)
        if status in (408, 429, 503):
            raise Busy(max(float(error.get("retry_after_s", LEAST_RETRY_S)), LEAST_RETRY_S), reason)
        if status in (400, 401, 403, 404, 405) or "parameter" in error or error.get("code") == "unknown_parameter":
            raise Unusable(reason)
        index = error.get("index")
        raise Failed(reason, [*texts][index] if isinstance(index, int) and index < len(texts) else None)
