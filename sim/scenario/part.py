"""What every part of a scenario is: a frozen record that refuses unknown keys and says what is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

__all__ = ["DefaultKind", "Part", "Refusal", "refuse", "refuse_all", "written_fields"]


class Part(BaseModel):
    """A frozen, documented record; unknown keys, NaN and infinity are refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        validate_default=False,
        # A key that is a word of Python, `class`, has another name in it.
        populate_by_name=True,
    )


def written_fields(part: type[Part]) -> dict[str, FieldInfo]:
    """The fields of a part by the keys under which a scenario holds them."""
    return {str(field.validation_alias or name): field for name, field in part.model_fields.items()}


@dataclass(frozen=True)
class DefaultKind:
    """Beside a union of parts told apart by their `kind`: the kind of a mapping that names none."""

    kind: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.named, handler(source))

    def named(self, value: Any) -> Any:
        """The mapping with its kind; anything else as it is."""
        return {"kind": self.kind, **value} if isinstance(value, dict) else value


class Refusal(NamedTuple):
    """A rule broken at `path`, counted from the part whose validator found it."""

    path: tuple[str | int, ...]
    value: Any
    rule: str
    remedy: str

    def __str__(self) -> str:
        place = "".join(f"{step}." for step in self.path).rstrip(".")
        return f"{place}: {self.value} {self.rule}; {self.remedy}".removeprefix(": ")


def refuse(value: object, rule: str, remedy: str) -> PydanticCustomError:
    """The error a validator raises for its own value."""
    return _custom([Refusal((), value, rule, remedy)])


def refuse_all(refusals: list[Refusal]) -> None:
    """Raise every refusal at once; nothing happens when there are none.

    Raises:
        PydanticCustomError: when there is at least one.
    """
    if refusals:
        raise _custom(refusals)


def _custom(refusals: list[Refusal]) -> PydanticCustomError:
    text = "\n".join(map(str, refusals))
    return PydanticCustomError("refusals", "{text}", {"text": text, "refusals": refusals})
