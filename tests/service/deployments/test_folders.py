"""What is asked of the replicas and what becomes of it, without Ray. With it, see tests/e2e/test_folders.py."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pyarrow
import pytest

from service.deployments import folders
from service.deployments.folders import Asker, _Texts, answered
from service.deployments.worker import RayWorker
from service.documents.document import Text
from service.documents.formats import Reading
from service.errors import InputTooLong, InvalidRequest, NotReady, Overloaded, ServiceError
from service.messages import Completion, Decoding, Event, Failure, Request, TranslateRequest
from service.translating.files import Job
from service.translating.journal import Journal, path_for
from service.translating.translating import Opening
from service.translating.translator import Translation, Unusable


class Replicas(RayWorker):
    """Answers in capitals; fails as it is told to, once for each entry."""

    def __init__(self, **failing: ServiceError) -> None:
        super().__init__("translator")
        self.failing = {text: [error] for text, error in failing.items()}
        self.breaking: list[ServiceError] = []
        self.asked: list[list[str]] = []

    async def submit(self, requests: Sequence[Request]) -> AsyncIterator[list[Event]]:
        self.asked.append([request.text for request in requests])
        for request in requests:
            if self.breaking:
                raise self.breaking.pop()
            if errors := self.failing.get(request.text):
                yield [Failure.of(request.id, errors.pop())]
            else:
                reason = "loop" if request.text == "boucle" else "eos_token"
                yield [
                    Completion(
                        request_id=request.id,
                        text=request.text.upper(),
                        finish_reason=reason,
                        prompt_tokens=1,
                        generated_tokens=1,
                    )
                ]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def sleep(seconds: float) -> None:
        assert seconds >= 1

    monkeypatch.setattr(folders.asyncio, "sleep", sleep)


def requests(*texts: str) -> list[TranslateRequest]:
    return [TranslateRequest(id=text, text=text, source_language="fr", target_language="en") for text in texts]


def texts_of(answers: dict[str, object]) -> dict[str, str]:
    return {id: each.text if isinstance(each, Completion) else each.message for id, each in answers.items()}  # type: ignore[attr-defined]


async def test_who_finds_no_room_or_no_replica_is_asked_for_again_and_nobody_else() -> None:
    replicas = Replicas(deux=Overloaded("full"), trois=NotReady("loading"), quatre=InputTooLong("too long"))
    answers = await answered(replicas, requests("un", "deux", "trois", "quatre"))
    assert texts_of(answers) == {"un": "UN", "deux": "DEUX", "trois": "TROIS", "quatre": "too long"}
    assert replicas.asked == [["un", "deux", "trois", "quatre"], ["deux", "trois"]]


async def test_what_a_replica_that_goes_away_has_not_answered_is_asked_of_another() -> None:
    replicas = Replicas()
    replicas.breaking.append(NotReady("gone"))
    assert texts_of(await answered(replicas, requests("un", "deux"))) == {"un": "UN", "deux": "DEUX"}


async def test_where_it_stays_so_it_is_given_up_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "PATIENCE_S", 0.0)
    with pytest.raises(Unusable, match=r"^nothing was translated for 0 s: loading$"):
        await answered(Replicas(un=NotReady("loading")), requests("un"))


async def test_a_parameter_that_is_wrong_is_wrong_for_every_text() -> None:
    error = InvalidRequest("num_beams is 9, the limit is 8", parameter="num_beams")
    with pytest.raises(Unusable, match="num_beams is 9"):
        await answered(Replicas(un=error), requests("un"))


async def test_a_batch_comes_back_with_what_became_of_each_of_its_rows() -> None:
    asker = Asker.__new__(Asker)
    asker._worker, asker._pair, asker._decoding = Replicas(deux=InputTooLong("too long")), ("fr", "en"), Decoding()
    said = [("", ""), ("un", "text"), ("deux", "html"), ("boucle", "text")]
    batch = pyarrow.table({"file": [1, 1, 2, 2], "text": [text for text, _ in said], "format": [f for _, f in said]})
    rows = (await asker(batch)).to_pylist()
    assert [row["translation"] for row in rows] == ["", "UN", "", "BOUCLE"]
    assert [row["lost"] for row in rows] == ["", "", "too long", ""]
    assert [row["finish_reason"] for row in rows] == ["", "", "", "loop"]
    assert {row["unusable"] for row in rows} == {""}
    asker._worker = Replicas(un=InvalidRequest("no", parameter="p"))
    assert {row["unusable"] for row in (await asker(batch)).to_pylist()} == {"no"}


def test_of_a_file_those_texts_are_asked_for_that_its_journal_has_not(tmp_path: Path) -> None:
    job = Job(tmp_path / "a.txt", tmp_path / "a.en.txt")
    job.source.write_text("un\ndeux\nun\n\ntrois\n")
    kept = Journal(path_for(job.output), "settings")
    kept.add(Text("deux", "text", ""), Translation("two"))
    kept.close()
    read = _Texts(Opening(Reading(), None, "settings"))
    row = {"file": 7, "source": bytes(job.source), "output": bytes(job.output)}
    assert [(each["file"], each["text"]) for each in read(row)] == [(7, ""), (7, "un"), (7, "trois")]
    job.source.write_bytes(b"\xff\xfe\x00")
    assert [each["text"] for each in read({**row, "source": bytes(tmp_path / "none.txt")})] == [""]
