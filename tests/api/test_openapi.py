"""The description is valid, complete, true to the models, and the exported file is the one of the code."""

from __future__ import annotations

import re
from http import HTTPStatus
from pathlib import Path
from typing import Any

import openapi_spec_validator
import pytest
import yaml
from pydantic import BaseModel

from identity_service.api import examples
from identity_service.api.openapi import TAGS, codes_of, document, document_yaml
from identity_service.api.operation import OPERATIONS, Operation
from identity_service.api.problems import KINDS
from identity_service.app import create_app
from identity_service.config import Settings
from identity_service.services.clients import Scope

EXPORTED = Path(__file__).parents[2] / "openapi.yaml"
DESCRIBED = document()
METHODS = {"get", "post", "put", "patch", "delete"}
every_operation = pytest.mark.parametrize("declared", OPERATIONS.values(), ids=lambda op: op.name)


def described() -> dict[str, dict[str, Any]]:
    """Every described operation by its id."""
    return {
        item[method]["operationId"]: item[method]
        for item in DESCRIBED["paths"].values()
        for method in METHODS & item.keys()
    }


def resolve(one: dict[str, Any]) -> dict[str, Any]:
    found: Any = DESCRIBED
    if "$ref" not in one:
        return one
    for part in one["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return dict(found)


def test_the_exported_description_is_the_one_of_the_code() -> None:
    assert EXPORTED.read_text() == document_yaml(), "run `./dev openapi`"


def test_the_description_is_valid_openapi_3_1() -> None:
    openapi_spec_validator.validate(yaml.safe_load(document_yaml()))


def test_the_description_holds_no_aliases_that_its_readers_would_trip_over() -> None:
    assert not re.search(r"[&*]id\d", document_yaml())


def test_every_operation_is_described_once_under_its_own_name() -> None:
    assert set(OPERATIONS) <= set(described())
    names = [op["operationId"] for item in DESCRIBED["paths"].values() for op in item.values()]
    assert len(names) == len(set(names))


def test_every_route_of_the_application_is_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    app = create_app(Settings(database_url=f"sqlite:///{tmp_path}/empty.sqlite3"))
    for rule in app.url_map.iter_rules():
        if rule.endpoint.endswith(("static", " otherwise")) or rule.rule.startswith("/dashboard"):
            continue
        if rule.endpoint.startswith("hosted."):  # forms for people, in docs/join-page.md
            continue
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        known = {method.upper() for method in DESCRIBED["paths"].get(path, {})}
        assert (rule.methods or set()) - {"HEAD", "OPTIONS"} <= known, path


def test_every_tag_is_explained() -> None:
    assert {tag["name"] for tag in DESCRIBED["tags"]} == {
        tag for op in described().values() for tag in op["tags"]
    }
    assert all(TAGS.values())


@every_operation
def test_an_operation_names_the_one_scope_that_it_needs(declared: Operation) -> None:
    assert described()[declared.name]["security"] == [{"apiKey": [declared.scope.value]}]
    told = DESCRIBED["components"]["securitySchemes"]["apiKey"]["description"]
    assert f"`{declared.scope}`" in told
    assert declared.name in told


def test_what_is_not_under_v1_asks_for_no_key() -> None:
    for path, item in DESCRIBED["paths"].items():
        for operation in item.values():
            assert (operation["security"] == []) is (not path.startswith("/v1")), path


def test_only_scopes_that_open_something_are_told() -> None:
    told = DESCRIBED["components"]["securitySchemes"]["apiKey"]["description"]
    used = {declared.scope for declared in OPERATIONS.values()} | {Scope.ADMIN}
    assert {scope for scope in Scope if f"`{scope}`" in told} == used


@every_operation
def test_every_body_has_an_example_that_its_model_takes(declared: Operation) -> None:
    if declared.body is not None:
        assert declared.example is not None
        declared.body.model_validate(dict(declared.example))


@every_operation
def test_every_answer_has_an_example_that_its_model_takes(declared: Operation) -> None:
    for status, model in declared.answers.items():
        model.model_validate(examples.of_answer(declared.name, status, model))
        told = described()[declared.name]["responses"][str(status)]["content"]["application/json"]
        assert told["example"] == examples.of_answer(declared.name, status, model)


@every_operation
def test_every_status_that_an_operation_may_answer_is_described(declared: Operation) -> None:
    told = described()[declared.name]["responses"]
    wanted = {*map(str, declared.answers), *(str(KINDS[code].status) for code in codes_of(declared))}
    assert set(told) == wanted | ({"304"} if declared.as_text else set())
    for code in codes_of(declared):
        media = resolve(told[str(KINDS[code].status)])["content"]["application/problem+json"]
        assert code in media["examples"]
    assert all(HTTPStatus(int(status)) for status in told)


@pytest.mark.parametrize("code", KINDS)
def test_every_stable_code_has_a_meaning_and_an_example(code: str) -> None:
    kind = KINDS[code]
    assert kind.meaning.endswith((".", "`.")), code
    example = DESCRIBED["components"]["examples"][code]["value"]
    assert (example["code"], example["status"]) == (code, kind.status)
    assert example["type"] == f"/docs#{code}"


@every_operation
def test_every_link_leads_to_an_operation_that_takes_its_parameters(declared: Operation) -> None:
    for target, parameters in declared.links.values():
        expected = {one["name"] for one in described()[target]["parameters"] if one.get("in") == "path"}
        assert set(parameters) == expected
        status, model = next(iter(declared.answers.items()))
        example = examples.of_answer(declared.name, status, model)
        for expression in parameters.values():
            found: Any = example
            for part in expression.removeprefix("$response.body#/").split("/"):
                found = found[part]
            assert isinstance(found, str)


def test_only_object_schemas_that_are_closed_are_sent_in() -> None:
    for name, schema in DESCRIBED["components"]["schemas"].items():
        if name.endswith("In"):
            assert schema["additionalProperties"] is False, name


def models() -> set[type[BaseModel]]:
    return {model for declared in OPERATIONS.values() for model in declared.answers.values()}


def test_an_answers_optional_fields_are_absent_and_never_null() -> None:
    for model in models():
        schema = DESCRIBED["components"]["schemas"][model.__name__.removesuffix("Out")]
        for name, one in schema["properties"].items():
            if name not in schema["required"]:
                assert {"type": "null"} not in one.get("anyOf", ()), (model, name)


def test_the_description_is_served_as_it_is_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    app = create_app(Settings(database_url=f"sqlite:///{tmp_path}/empty.sqlite3"))
    answer = app.test_client().get("/openapi.yaml")
    assert (answer.status_code, answer.mimetype) == (200, "application/yaml")
    assert answer.text == document_yaml()
