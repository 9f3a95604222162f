"""The models as OpenAPI schemas: pydantic's own JSON Schema 2020-12, tidied for those who read it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from identity_service.api.schemas import Input

REF: Final = "#/components/schemas/"


def name_of(model_name: str) -> str:
    """Return what a model is called outside: `InviteOut` is an `Invite`."""
    return model_name.removesuffix("Out")


def ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": REF + name_of(model.__name__)}


def schemas(models: Iterable[type[BaseModel]]) -> dict[str, Any]:
    """Return the named schemas of the models and of everything that they are made of."""
    pairs = [
        (model, "validation" if issubclass(model, Input) else "serialization")
        for model in dict.fromkeys(models)
    ]
    _, definitions = models_json_schema(pairs, ref_template=REF + "{model}")  # type: ignore[arg-type]
    tidied = {}
    for name, schema in definitions["$defs"].items():
        tidied[name_of(name)] = _tidy(schema) | {"title": name_of(name)}
        if not name.endswith("In"):
            _absent_not_null(tidied[name_of(name)])
    return dict(sorted(tidied.items()))


def _tidy(schema: dict[str, Any]) -> dict[str, Any]:
    """Rename references, and drop the titles that only repeat a property's name."""
    done: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "$ref":
            done[key] = REF + name_of(value.removeprefix(REF))
        elif key == "properties":
            done[key] = {name: _tidy(one) for name, one in value.items()}
        elif key != "title":
            done[key] = _tidy_value(value)
    return done


def _tidy_value(value: Any) -> Any:
    if isinstance(value, dict):
        return _tidy(value)
    return [_tidy_value(item) for item in value] if isinstance(value, list) else value


def _absent_not_null(schema: dict[str, Any]) -> None:
    """What an answer may leave out it leaves out; it never says `null` there."""
    for name, one in schema.get("properties", {}).items():
        if name not in schema.get("required", ()) and one.get("default", "") is None:
            schema["properties"][name] = without_null(one)


def without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a value that is absent, never `null`, where it is not given."""
    choices: list[dict[str, Any]] = [one for one in schema.get("anyOf", []) if one != {"type": "null"}]
    if len(choices) != 1:
        return schema
    rest = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
    return choices[0] | rest


def query_parameters(model: type[BaseModel]) -> list[dict[str, Any]]:
    """Return a query model as OpenAPI parameters."""
    shown = []
    for name, one in _tidy(model.model_json_schema())["properties"].items():
        description = one.pop("description", None)
        parameter = {"name": name, "in": "query", "required": False, "schema": without_null(one)}
        if description:
            parameter["description"] = description
        shown.append(parameter)
    return shown
