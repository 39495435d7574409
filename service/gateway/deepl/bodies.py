"""What is asked, as JSON or as a form, and what is answered. Answers document: what is sent is built as plain dicts."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from service.gateway.fields import ANY_TEXT, Body, Neutral, as_list, one_or_several
from service.messages import Decoding, Elements, ModelInfo, Split
from service.messages.decoding import GREEDY

BEAMS = 4  # of the search that is asked for by quality
_BREAKS = re.compile(r"\s*[\r\n]\s*")
_SPLITS: dict[str, Split] = {"0": "none", "1": "sentences", "nonewlines": "sentences"}


def _parted(value: Any) -> Any:
    """Several names may stand in one text, with commas between them."""
    given = value if isinstance(value, list) else [value]
    parts = [each.split(",") if isinstance(each, str) else [each] for each in given]
    return [name.strip() if isinstance(name, str) else name for part in parts for name in part]


def _detected(value: bool | None) -> bool | None:
    if value is False:
        raise PydanticCustomError(
            "not_supported", "what ends a sentence is always found out: leave it out or send true"
        )
    return value


_NAMES = WithJsonSchema({"anyOf": [ANY_TEXT, {"type": "array", "items": ANY_TEXT}]})
Names = Annotated[list[str], BeforeValidator(_parted), _NAMES]
Tags = Annotated[Names | None, Field(description="names of elements of the markup, also with commas between them")]
Outlined = Annotated[bool | None, AfterValidator(_detected), WithJsonSchema({"enum": [True, None]})]
_NEUTRAL: Any = Field(default=None, description="accepted; it changes nothing here")


class DeeplTranslateBody(Body):
    # No docstrings in here: the documentation would show them.
    shape: ClassVar = "an object with text and target_lang"
    expected: ClassVar = {
        "text": "a text, or a list of texts",
        "formality": "default, prefer_more or prefer_less: no model here can be told to be formal or not",
    }

    text: Annotated[list[str], as_list, one_or_several(ANY_TEXT)]
    target_lang: str = Field(description="such as EN-US or FR")
    source_lang: str | None = Field(default=None, description="such as EN; default: that of each text is found out")
    split_sentences: Literal["0", "1", "nonewlines"] | None = Field(
        default=None, description="0: the text is one; 1: lines and sentences; nonewlines: sentences over line breaks"
    )
    tag_handling: Literal["html", "xml"] | None = Field(default=None, description="markup stays as it is")
    ignore_tags: Tags = None
    splitting_tags: Tags = None
    non_splitting_tags: Tags = None
    outline_detection: Outlined = Field(default=None, description="not supported: only what changes nothing")
    glossary_id: str | None = Field(default=None, description="the id of a glossary, or its name")
    glossary_ids: Annotated[Names | None, Field(description="several; where they differ, the first counts")] = None
    model_type: Literal["latency_optimized", "quality_optimized", "prefer_quality_optimized"] | None = Field(
        default=None, description=f"quality: a beam search of {BEAMS}; default: latency"
    )
    formality: Literal["default", "prefer_more", "prefer_less"] | None = _NEUTRAL
    preserve_formatting: bool | None = _NEUTRAL
    show_billed_characters: bool | None = Field(default=None, description="the characters of each text come along")
    tag_handling_version: Literal["v1", "v2"] | None = _NEUTRAL
    context: Annotated[Any, Neutral("")] = None
    style_id: Annotated[Any, Neutral()] = None
    custom_instructions: Annotated[Any, Neutral()] = None
    translation_memory_id: Annotated[Any, Neutral()] = None
    translation_memory_threshold: Annotated[Any, Neutral()] = None
    enable_beta_languages: bool | None = _NEUTRAL

    @property
    def texts(self) -> list[str]:
        """Lines are put together where their ends are to say nothing; in markup they say nothing anyway."""
        if self.split_sentences == "nonewlines" and self.tag_handling is None:
            return [_BREAKS.sub(" ", text) for text in self.text]
        return self.text

    @property
    def glossaries(self) -> list[str]:
        return [*filter(None, (self.glossary_id, *(self.glossary_ids or ())))]

    @property
    def options(self) -> dict[str, Any]:
        elements = Elements(
            kept=_local(self.ignore_tags), blocks=_local(self.splitting_tags), inlines=_local(self.non_splitting_tags)
        )
        split = _SPLITS[self.split_sentences or "1"]
        return {"format": self.tag_handling or "text", "split": split, "elements": elements}

    @property
    def model_type_used(self) -> str | None:
        if self.model_type is None:
            return None
        return "latency_optimized" if self.model_type == "latency_optimized" else "quality_optimized"

    def decoding(self, info: ModelInfo) -> Decoding:
        beams = min(BEAMS, info.slots) if self.model_type_used == "quality_optimized" else 1
        return GREEDY if beams == 1 else Decoding(num_beams=beams)


def _local(names: list[str] | None) -> tuple[str, ...]:
    """As elements are told apart: in small letters, without a prefix."""
    return tuple(name.rpartition(":")[2].lower() for name in names or ())


class DeeplLanguagesBody(Body):
    type: Literal["source", "target"] | None = None


class DeeplTranslation(BaseModel):
    detected_source_language: str
    text: str
    billed_characters: int | None = None
    model_type_used: str | None = None


class DeeplTranslations(BaseModel):
    translations: list[DeeplTranslation]


class DeeplUsage(BaseModel):
    character_count: int
    character_limit: int
