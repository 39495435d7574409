"""Locust users for every endpoint, over HTTP alone: any Triptych service can be driven with it.

    locust -f loadtests/locustfile.py --headless -u 16 -r 8 -t 20s --host http://127.0.0.1:8000

Each answer's shape is checked, and what is not right counts as a failure (exit status 1). Beside Locust's own rows
there are two kinds for streams: TTFT, time to first token, and ITL, the mean time between the tokens of one stream.
`--think-time 0` takes away the pauses between a user's requests. Users whose task the service does not offer stop.
"""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any

from locust import FastHttpUser, events, task
from locust.exception import StopUser

FINISH_REASONS = ("eos_token", "length", "stop_sequence", "loop")
DATA = Path(__file__).resolve().parent / "data"
_SENTENCES = [line.split("\t") for line in (DATA / "sentences.fr-en.tsv").read_text(encoding="utf-8").splitlines()]
_LABELLED = [line.split("\t") for line in (DATA / "texts.tsv").read_text(encoding="utf-8").splitlines()]
REVIEWS = [text for _, text in _LABELLED if not text.isascii()]  # the Korean ones: what is served was trained on such
KOREAN = [
    "안녕하세요.",
    "지금 몇 시예요?",
    "저는 학생입니다.",
    "오늘은 날씨가 정말 좋네요.",
    "어제 친구와 함께 영화를 봤어요.",
    "이 근처에 맛있는 식당이 있나요?",
    "그는 매일 지하철로 회사에 다닌다.",
    "한국어를 배운 지 벌써 이 년이 되었어요.",
    "버스를 놓치는 바람에 회의에 십 분 늦었습니다.",
    "도서관에서 책을 빌리려고 했는데 월요일에는 문을 닫는다고 해서 그냥 돌아왔습니다.",
]
TEXTS = {"fr": [french for french, _ in _SENTENCES], "en": [english for _, english in _SENTENCES], "ko": KOREAN}
PROMPTS = (
    *(f"<rating:{stars}>" for stars in range(1, 11)),
    "<rating:9> 이 영화",
    "<rating:2> 솔직히",
    "<rating:10> 배우들의 연기가",
    "<rating:5> 기대를 많이 했는데",
    "오랜만에",
    "처음부터 끝까지",
)


def translation(texts: str | list[str], source: str, target: str, *, stream: bool = False) -> dict[str, Any]:
    """A body for /translate."""
    return {"inputs": texts, "parameters": {"src_lang": source, "tgt_lang": target}, "stream": stream}


def beam_search(text: str, source: str, target: str, beams: int) -> dict[str, Any]:
    """A body for /translate that asks for all of its `beams`, 2 or more."""
    body = translation(text, source, target)
    body["parameters"] |= {"num_beams": beams, "num_return_sequences": beams}
    return body


def generation(
    prompt: str, seed: int, max_new_tokens: int, *, stream: bool = False, results: int = 1
) -> dict[str, Any]:
    """A body for /generate."""
    parameters = {"max_new_tokens": max_new_tokens, "do_sample": True, "temperature": 0.9, "top_k": 40, "seed": seed}
    return {"inputs": prompt, "parameters": {**parameters, "num_return_sequences": results}, "stream": stream}


def classification(texts: str | list[str]) -> dict[str, Any]:
    """A body for /classify."""
    return {"inputs": texts}


def comparison(text: str, others: list[str]) -> dict[str, Any]:
    """A body for /embed."""
    return {"inputs": {"source_sentence": text, "sentences": others}}


def check_texts(answer: Any, count: int, field: str) -> None:
    """One object with a text for each input, or ValueError."""
    if not isinstance(answer, list) or len(answer) != count:
        raise ValueError(f"expected {count} results, got {answer!r:.200}")
    for result in answer:
        if not isinstance(result, dict) or not isinstance(result.get(field), str):
            raise ValueError(f"expected a text in {field}, got {result!r:.200}")


def check_results(answer: Any, count: int, field: str) -> None:
    """One object whose text has a score and, beside it, at most `count - 1` others, or ValueError."""
    check_texts(answer, 1, field)
    others = answer[0]["alternatives"]
    if len(others) >= count:
        raise ValueError(f"expected at most {count - 1} alternatives, got {len(others)}")
    check_texts(others, len(others), field)
    if not all(isinstance(result["score"], float) for result in (answer[0], *others)):
        raise ValueError(f"expected scores, got {answer!r:.200}")


def check_labels(answer: Any, count: int) -> None:
    """Labels with scores, best first, for each input, or ValueError."""
    if not isinstance(answer, list) or len(answer) != count:
        raise ValueError(f"expected {count} results, got {answer!r:.200}")
    for labels in answer:
        scores = [entry["score"] for entry in labels if isinstance(entry["label"], str)]
        if not scores or scores != sorted(scores, reverse=True) or not 0 <= scores[-1] <= scores[0] <= 1:
            raise ValueError(f"expected labels with falling scores from 0 to 1, got {labels!r:.200}")


def check_similarities(answer: Any, count: int) -> None:
    """A number from -1 to 1 for each text that is compared, or ValueError."""
    if not isinstance(answer, list) or len(answer) != count or not all(-1.001 <= each <= 1.001 for each in answer):
        raise ValueError(f"expected {count} similarities, got {answer!r:.200}")


class StreamCheck:
    """What a stream's events must add up to."""

    def __init__(self) -> None:
        self._text = ""
        self.events = 0
        self.ended = False

    def add(self, line: bytes) -> bool:
        """Take one line; True where it holds an event. ValueError on an event that cannot be."""
        line = line.strip()
        if not line or line.startswith(b":") or line == b"event:error":  # a comment says that the stream waits
            return False
        if not line.startswith(b"data:"):
            raise ValueError(f"expected a data line, got {line!r:.200}")
        event = json.loads(line.removeprefix(b"data:"))
        if "error" in event:
            raise ValueError(f"the stream ended with {event['error']['code']}: {event['error']['message']}")
        if self.ended:
            raise ValueError(f"an event after the last one: {line!r:.200}")
        self.events += 1
        self._text += event["token"]["text"]
        if event["generated_text"] is not None:
            self.ended = True
            if event["generated_text"] != self._text:
                raise ValueError(f"the tokens join to {self._text!r:.100}, not {event['generated_text']!r:.100}")
            if event["details"]["finish_reason"] not in FINISH_REASONS:
                raise ValueError(f"finish_reason is {event['details']['finish_reason']!r}")
        return True

    def close(self) -> None:
        if not self.ended:
            raise ValueError(f"the stream ended after {self.events} events without a last one")


@events.init_command_line_parser.add_listener
def add_arguments(parser: Any) -> None:
    parser.add_argument("--think-time", type=float, default=0.2, help="mean pause between a user's requests, seconds")


class TriptychUser(FastHttpUser):
    """Knows how to ask; its subclasses know what."""

    abstract = True
    task_name: str

    def on_start(self) -> None:
        self.random = random.Random()
        with self.client.get("/info", catch_response=True) as response:
            models = response.json()["models"] if response.status_code == 200 else []
        serving = [model for model in models if model["task"] == self.task_name]
        if not serving:
            raise StopUser
        self.model = serving[0]

    def wait_time(self) -> float:
        mean = self.environment.parsed_options.think_time
        return self.random.uniform(0, 2 * mean)

    def ask(self, name: str, body: dict[str, Any], check: Any) -> None:
        """POST to the task's route; `check` raises on an answer that is not right."""
        with self.client.post(f"/{self.task_name}", json=body, name=name, catch_response=True) as response:
            if response.status_code != 200:
                response.failure(self._refusal(response))
                return
            try:
                check(response.json())
            except (ValueError, KeyError, TypeError) as error:
                response.failure(f"wrong answer: {error}")

    def ask_stream(self, name: str, body: dict[str, Any]) -> None:
        began = time.perf_counter()
        arrivals: list[float] = []
        check = StreamCheck()
        with self.client.post(f"/{self.task_name}", json=body, name=name, stream=True, catch_response=True) as response:
            if response.status_code != 200:
                response.failure(self._refusal(response))
                return
            try:
                # By lines: read() would wait until a whole block has come.
                while line := response.stream.readline(b"\n"):
                    if check.add(line):
                        arrivals.append(time.perf_counter() - began)
                check.close()
            except (ValueError, KeyError, TypeError, OSError) as error:
                response.failure(f"wrong stream: {error}")
            # Locust's own clock stopped at the headers.
            response.request_meta["response_time"] = (time.perf_counter() - began) * 1000
        if check.ended:
            self._report("TTFT", name, arrivals[0])
            if check.events > 1:
                self._report("ITL", name, (arrivals[-1] - arrivals[0]) / (check.events - 1))

    def _report(self, kind: str, name: str, seconds: float) -> None:
        self.environment.events.request.fire(
            request_type=kind, name=name, response_time=seconds * 1000, response_length=0, exception=None, context={}
        )

    def _refusal(self, response: Any) -> str:
        """Without what differs from request to request, so that Locust counts equal failures together."""
        try:
            return f"{response.status_code} {response.json()['error']['code']}"
        except (ValueError, KeyError, TypeError):
            return f"{response.status_code} {response.error or ''}".strip()


class Translating(TriptychUser):
    """Chat-like single sentences, some as streams, and now and then a batch or a beam search (so: 2 slots or more)."""

    weight = 5
    task_name = "translate"

    def on_start(self) -> None:
        super().on_start()
        self.pairs = [(source, target) for source, target in self.model["language_pairs"] if source in TEXTS]
        if not self.pairs or self.model["slots"] < 2:
            raise StopUser

    @task(6)
    def one_text(self) -> None:
        body = translation(*self._chosen())
        self.ask("/translate", body, lambda answer: check_texts(answer, 1, "translation_text"))

    @task(1)
    def several_texts(self) -> None:
        count = self.random.randint(2, 12)
        body = translation(*self._chosen(count))
        self.ask("/translate [list]", body, lambda answer: check_texts(answer, count, "translation_text"))

    @task(1)
    def beams(self) -> None:
        beams = min(4, self.model["slots"])
        body = beam_search(*self._chosen(), beams)
        self.ask("/translate [beams]", body, lambda answer: check_results(answer, beams, "translation_text"))

    @task(2)
    def stream(self) -> None:
        self.ask_stream("/translate [stream]", translation(*self._chosen(), stream=True))

    def _chosen(self, count: int | None = None) -> tuple[Any, str, str]:
        """A text, or a list of so many, and its languages."""
        source, target = self.random.choice(self.pairs)
        texts = self.random.choices(TEXTS[source], k=count or 1)
        return texts[0] if count is None else texts, source, target


class Generating(TriptychUser):
    """Mostly streams: people watch a text being written."""

    weight = 2
    task_name = "generate"

    @task(3)
    def stream(self) -> None:
        self.ask_stream("/generate [stream]", self._body(stream=True))

    @task(1)
    def whole(self) -> None:
        self.ask("/generate", self._body(), lambda answer: check_texts(answer, 1, "generated_text"))

    @task(1)
    def samples(self) -> None:
        body = self._body(results=3)
        self.ask("/generate [samples]", body, lambda answer: check_results(answer, 3, "generated_text"))

    def _body(self, **asked: Any) -> dict[str, Any]:
        wanted = min(self.random.choice((10, 20, 40, 60)), self.model["max_new_tokens"])
        return generation(self.random.choice(PROMPTS), self.random.randrange(2**31), wanted, **asked)


class Classifying(TriptychUser):
    """Single reviews, and pages of them."""

    weight = 3
    task_name = "classify"

    @task(4)
    def one_text(self) -> None:
        self.ask("/classify", classification(self.random.choice(REVIEWS)), lambda answer: check_labels(answer, 1))

    @task(1)
    def several_texts(self) -> None:
        count = self.random.randint(2, 20)
        body = classification(self.random.choices(REVIEWS, k=count))
        self.ask("/classify [list]", body, lambda answer: check_labels(answer, count))


class Comparing(TriptychUser):
    """What a review is most like."""

    weight = 1
    task_name = "embed"

    @task
    def similar(self) -> None:
        text, *others = self.random.choices(REVIEWS, k=self.random.randint(2, 12))
        self.ask("/embed", comparison(text, others), lambda answer: check_similarities(answer, len(others)))
