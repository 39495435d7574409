"""What is asked, as JSON or as a form, and what is answered. Answers document: what is sent is built as plain dicts."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, Field

from service.errors import EmptyInput, InvalidRequest
from service.gateway.fields import Body, TextsAsSent
from service.gateway.parsing import quoted
from service.messages import Decoding, ModelInfo
from service.messages.decoding import GREEDY, MOST_BEAMS

ApiKey = Annotated[str | None, Field(description="the client's key, where keys are asked for")]


class LibreTranslateBody(Body):
    # No docstrings in here: the documentation would show them.
    shape: ClassVar = "an object with q, source and target"
    expected: ClassVar = {"q": "a text, or a list of texts"}

    q: TextsAsSent
    source: str = Field(description="the texts' language; auto: that of each text")
    target: str = Field(description="the language that they are to be in")
    format: Literal["text", "html"] | None = Field(default=None, description="default: text")
    alternatives: Annotated[int, Field(ge=0, lt=MOST_BEAMS)] | None = Field(
        default=None, description="how many other translations, of a beam search; default: 0"
    )
    api_key: ApiKey = None
    secret: str | None = Field(default=None, description="what LibreTranslate's own page sends; it says nothing here")

    @property
    def texts(self) -> list[str]:
        return self.q if isinstance(self.q, list) else [self.q]

    def decoding(self, info: ModelInfo) -> Decoding:
        if not self.alternatives:
            return GREEDY
        if self.alternatives >= info.slots:
            most = info.slots - 1
            said = f"alternatives is {self.alternatives}, the limit of model {info.name!r} is {most}"
            raise InvalidRequest(said, parameter="alternatives", limit=most)
        return Decoding(num_beams=self.alternatives + 1, num_return_sequences=self.alternatives + 1)


class LibreDetectBody(Body):
    shape: ClassVar = "an object with q"

    q: str = Field(description="the text whose language is asked for", json_schema_extra={"minLength": 1})
    api_key: ApiKey = None

    def check(self) -> None:
        if not self.q.strip():
            raise EmptyInput(f"q is {quoted(self.q)}: there is nothing to work on")


class LibreError(BaseModel):
    error: str


class LibreDetectedLanguage(BaseModel):
    language: str
    confidence: float


class LibreTranslation(BaseModel):
    translatedText: str | list[str]
    detectedLanguage: LibreDetectedLanguage | list[LibreDetectedLanguage] | None = None
    alternatives: list[str] | list[list[str]] | None = None


class LibreLanguage(BaseModel):
    code: str
    name: str
    targets: list[str]


class LibreNamedLanguage(BaseModel):
    code: str
    name: str


class LibreFrontendLanguages(BaseModel):
    source: LibreNamedLanguage
    target: LibreNamedLanguage


class LibreFrontendSettings(BaseModel):
    charLimit: int
    frontendTimeout: int
    apiKeys: bool
    keyRequired: bool
    suggestions: bool
    filesTranslation: bool
    supportedFilesFormat: list[str]
    language: LibreFrontendLanguages


class LibreHealth(BaseModel):
    status: Literal["ok"]
