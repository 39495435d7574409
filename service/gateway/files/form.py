"""The form that a file is sent with: bytes of multipart/form-data to the file and what is asked of it.

Knows nothing of models and of what is done with the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field, WithJsonSchema, field_validator
from pydantic_core import PydanticCustomError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from service.documents.formats import FORMATS, Reading
from service.errors import BadRequest, EmptyInput, InvalidRequest, UnsupportedMediaType
from service.gateway.fields import Body, taken
from service.gateway.parsing import checked, media_type, quoted, reading
from service.messages import Decoding
from service.translating.files import renamed

MEDIA_TYPE = "multipart/form-data"
MOST_FIELDS = 100
MOST_BYTES = 10_000  # of a field that is no file
MOST_NAMES = 20  # of columns or fields
MOST_MARKS = 200_000  # lines and tags of a file: reading them takes seconds, in which all others are slower

_Names = Annotated[list[str] | None, Field(max_length=MOST_NAMES)]


class _File(Body):
    # Of the documentation: the file itself does not come as a text.
    file: Annotated[str, WithJsonSchema({"type": "string", "contentMediaType": "application/octet-stream"})]


class Options(Body):
    # No docstrings in here: the documentation would show them. A form has texts alone.
    model_config = ConfigDict(strict=False)

    src_lang: str = Field(description="the language that the file is in; auto: that of each text")
    tgt_lang: str = Field(description="the language that it is to be in")
    model: str | None = Field(default=None, description="which translator, of several; default: the first")
    num_beams: int | None = taken(Decoding, "num_beams")
    column: _Names = Field(
        default=None, description="of a table, as often as needed: its name, or its number without a header"
    )
    field: _Names = Field(
        default=None, description="of JSON Lines, as often as needed: a.b is b in the object a; default: text"
    )
    format: str | None = Field(
        default=None,
        description="the ending that says the format, where the file's name does not",
        json_schema_extra={"enum": [*FORMATS, None]},
    )
    encoding: str | None = Field(default=None, description="of the file, where it is not found")
    job: bool | None = Field(
        default=None, description="true: answer with a job, false: never; default: for files that are large"
    )

    @field_validator("format")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is not None and value not in FORMATS:
            raise PydanticCustomError("unknown_format", f"expected one of {', '.join(FORMATS)}")
        return value

    @property
    def reading(self) -> Reading:
        return Reading(
            columns=self.column or (),
            fields=self.field or ("text",),
            encoding=self.encoding,
            most_marks=MOST_MARKS,
        )

    def as_read(self, name: str) -> str:
        """The file's name with the ending that says its format."""
        return f"{PurePath(name).stem}.{self.format}" if self.format else name

    def output(self, name: str) -> str:
        """The name of the translated file."""
        return renamed(name, (self.src_lang, self.tgt_lang))


class FileBody(Options, _File):  # the fields of the last base come first
    shape: ClassVar = "a form with a file"


@dataclass(frozen=True, slots=True)
class SentFile:
    name: str
    data: bytes


async def read_form(request: Request) -> tuple[SentFile, Options]:
    """BadRequest where the body is no form, InvalidRequest where it is not what we take."""
    if (given := media_type(request)) != MEDIA_TYPE:
        raise UnsupportedMediaType(f"content-type is {quoted(given)}, expected {MEDIA_TYPE}, as curl -F sends it")
    try:
        with reading(request):
            async with request.form(max_files=MOST_FIELDS, max_fields=MOST_FIELDS, max_part_size=MOST_BYTES) as form:
                options = checked(_given(form), Options, known=FileBody)
                return await _file(form), options
    except HTTPException as error:
        raise BadRequest(f"the body is not {MEDIA_TYPE}: {error.detail}") from None


def _given(form: FormData) -> dict[str, Any]:
    """The fields but for the file. An empty one is left out: browsers send those that nobody has filled in."""
    given: dict[str, Any] = {}
    for name in dict.fromkeys(form):
        values = [value for value in form.getlist(name) if value != ""]
        if name == "file" or not values:
            continue
        if not all(isinstance(value, str) for value in values):
            raise InvalidRequest(f"{name} is a file, expected a text; the file itself is called file", parameter=name)
        if name not in ("column", "field") and len(values) > 1:
            raise InvalidRequest(f"{name} is there {len(values)} times, the limit is 1", parameter=name, limit=1)
        given[name] = values if name in ("column", "field") else values[0]
    return given


async def _file(form: FormData) -> SentFile:
    sent = form.getlist("file")
    if len(sent) != 1:
        said = f"is there {len(sent)} times, the limit is 1" if sent else "is missing"
        raise InvalidRequest(f"file {said}", parameter="file")
    if not isinstance(file := sent[0], UploadFile) or not file.filename:
        raise InvalidRequest("file has no file name, expected a file as curl -F file=@letter.docx sends it")
    data = await file.read()
    if not data:
        raise EmptyInput(f"file is {quoted(file.filename)} with 0 bytes: there is nothing to work on")
    return SentFile(PurePath(file.filename.replace("\\", "/")).name or "file", data)
