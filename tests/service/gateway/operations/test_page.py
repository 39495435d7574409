from __future__ import annotations

import copy

from service.gateway.operations.page import page

DOCUMENT = {
    "info": {"title": "T & T", "version": "1"},
    "components": {"schemas": {"In": {"type": "object", "properties": {"deep": {"type": "integer"}}}}},
    "paths": {
        "/do": {
            "post": {
                "summary": "Does <it>",
                "requestBody": {
                    "content": {
                        "application/json": {
                            "schema": {
                                "type": "object",
                                "required": ["a"],
                                "properties": {
                                    "a": {"type": "array", "items": {"type": "string"}, "description": "x < y"},
                                    "b": {"anyOf": [{"$ref": "#/components/schemas/In"}, {"type": "null"}]},
                                    "c": {"enum": ["never", True]},
                                },
                            },
                            "examples": {"One": {"value": {"a": ["</textarea>é"]}}},
                        }
                    }
                },
                "responses": {"200": {"description": "all is well"}, "422": {"description": "wrong & so"}},
            }
        }
    },
}


def test_fields_stand_with_their_types_and_those_of_objects_below_them() -> None:
    text = page(DOCUMENT)
    assert "<td><code>a</code><td>list of string (required)<td>x &lt; y" in text
    assert text.index("<code>b</code><td>object") < text.index("<code>b.deep</code><td>integer")
    assert "<code>c</code><td>never | true" in text


def test_nothing_of_the_document_becomes_markup() -> None:
    text = page(DOCUMENT)
    assert "T &amp; T 1" in text
    assert "Does &lt;it&gt;" in text
    assert text.count("</textarea>") == 1
    assert "&lt;/textarea&gt;é" in text


def test_errors_are_listed_and_what_succeeds_is_not() -> None:
    text = page(DOCUMENT)
    assert "<tr><th>422<td>wrong &amp; so" in text
    assert "all is well" not in text


def test_what_takes_a_body_has_a_form_for_each_example_and_says_so_where_there_is_none() -> None:
    assert page(DOCUMENT).count("<form") == 1
    document = copy.deepcopy(DOCUMENT)
    del document["paths"]["/do"]["post"]["requestBody"]["content"]["application/json"]["examples"]  # type: ignore[index]
    assert "<form" not in page(document)
    assert "No model that is served has an example." in page(document)
    document["paths"] = {"/look": {"get": {"responses": {"200": {"description": "seen"}}}}}
    assert page(document).count("<form") == 1


def test_what_is_only_refused_has_no_form() -> None:
    document = copy.deepcopy(DOCUMENT)
    document["paths"] = {"/look": {"get": {"responses": {"422": {"description": "never"}}}}}
    assert "<form" not in page(document)
    assert "<tr><th>422<td>never" in page(document)


def test_parts_of_a_path_and_fields_of_a_form_have_inputs() -> None:
    document = copy.deepcopy(DOCUMENT)
    fields = {"type": "object", "properties": {"file": {"type": "string"}, "to": {"type": "string"}}}
    content = {"multipart/form-data": {"schema": fields}}
    document["paths"] = {
        "/send": {"post": {"requestBody": {"content": content}, "responses": {"200": {"description": "done"}}}},
        "/look/{id}": {
            "delete": {"parameters": [{"name": "id", "in": "path"}], "responses": {"200": {"description": "done"}}}
        },
    }
    text = page(document)
    assert 'data-path="send" enctype="multipart/form-data"' in text
    assert '<input name="file" type="file">' in text
    assert '<input name="to" type="text">' in text
    assert 'data-method="DELETE" data-path="look/{id}"><p></p><label>id <input name="id" type="text">' in text


def test_what_a_query_must_have_has_inputs_and_what_it_may_have_does_not() -> None:
    document = copy.deepcopy(DOCUMENT)
    said = [{"name": "to", "in": "query", "required": True}, {"name": "from", "in": "query", "required": False}]
    document["paths"] = {"/look": {"get": {"parameters": said, "responses": {"200": {"description": "done"}}}}}
    text = page(document)
    assert 'data-path="look?to={to}"><p></p><label>to <input name="to" type="text">' in text
    assert 'name="from"' not in text
