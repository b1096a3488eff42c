"""The catalogue of GPUs and models in `data/`, by name and alias."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from sim.errors import CatalogueError, did_you_mean
from sim.hardware.gpu import Efficiency, Gpu
from sim.hardware.kv_capacity import kv_capacity_for, kv_capacity_tokens
from sim.hardware.model import Model
from sim.hardware.precision import Precision
from sim.paths import data_path

if TYPE_CHECKING:
    from sim.scenario import Scenario

__all__ = [
    "Catalogue",
    "Efficiency",
    "Gpu",
    "Model",
    "Precision",
    "catalogue_for",
    "kv_capacity_for",
    "kv_capacity_tokens",
    "load_catalogue",
    "normalised",
    "split_precision",
]

_Item = TypeVar("_Item")
_MAKERS = re.compile(r"^(nvidia|amd|intel|geforce|tesla|instinct|meta)[-_ ]+")
_VARIANT = re.compile(r"[-_ ](instruct|chat|hf|it|base|thinking|2507|mp)$")
_PRECISION = re.compile(r"[-_ ](fp32|bf16|fp16|fp8|int8|int4|fp4|nvfp4|mxfp4|awq|gptq)$", re.IGNORECASE)
_WEIGHTS = {"nvfp4": "fp4", "mxfp4": "fp4", "awq": "int4", "gptq": "int4"}


@dataclass(frozen=True)
class Catalogue:
    """GPUs, models and efficiencies by name; an alias will do, and letter case does not matter."""

    gpus: Mapping[str, Gpu]
    models: Mapping[str, Model]
    efficiencies: Mapping[str, Efficiency]
    gpu_aliases: Mapping[str, str]
    model_aliases: Mapping[str, str]

    def gpu(self, name: str) -> Gpu:
        """The GPU of this name or alias.

        Raises:
            CatalogueError: where there is none, with the nearest name.
        """
        return _found(name, self.gpus, self.gpu_aliases, "is not a GPU of the catalogue")

    def model(self, name: str) -> Model:
        """The model of this name or alias, with or without its owner and a suffix such as `-Instruct`.

        Raises:
            CatalogueError: where there is none, with the nearest name; or where the name states a precision.
        """
        bare, weights = split_precision(name)
        keys = self.model_aliases
        if weights and normalised(bare) in keys and normalised(name) not in keys:
            remedy = f"name the model {bare} and set the pool's precision: {{weights: {weights}}}"
            raise CatalogueError(name, "states a precision in a model's name", remedy)
        return _found(name, self.models, self.model_aliases, "is not a model of the catalogue")

    def efficiency(self, gpu: Gpu) -> Efficiency:
        """The efficiency of a GPU of this catalogue.

        Raises:
            CatalogueError: where `data/efficiencies.csv` has no row for it.
        """
        return _found(gpu.name, self.efficiencies, {}, "has no efficiency in the catalogue")

    def with_models(self, models: Iterable[Model]) -> Catalogue:
        """This catalogue with more models; one of the same name is replaced."""
        own = {model.name: model for model in models}
        taken = {normalised(name): name for name in own}
        return replace(self, models={**self.models, **own}, model_aliases={**self.model_aliases, **taken})


def normalised(name: str) -> str:
    """The key under which a GPU or model is found: no owner, maker, variant, punctuation or letter case.

    >>> normalised("meta-llama/Meta-Llama-3.1-8B-Instruct"), normalised("h100_sxm")
    ('llama318b', 'h100sxm')
    """
    word = name.rsplit("/", 1)[-1].strip().casefold()
    while _MAKERS.search(word) or _VARIANT.search(word):
        word = _VARIANT.sub("", _MAKERS.sub("", word))
    return re.sub(r"[^a-z0-9]", "", word)


def split_precision(name: str) -> tuple[str, str | None]:
    """A checkpoint's name without its precision, and the weight format that it states.

    >>> split_precision("Qwen/Qwen3-32B-NVFP4"), split_precision("Llama-3.1-8B")
    (('Qwen/Qwen3-32B', 'fp4'), ('Llama-3.1-8B', None))
    """
    stated = _PRECISION.search(name)
    if stated is None:
        return name, None
    word = stated[1].casefold()
    return name[: stated.start()], _WEIGHTS.get(word, word)


def load_catalogue() -> Catalogue:
    """The catalogue in `data/gpus.csv`, `data/models.csv` and `data/efficiencies.csv`, read once."""
    return _catalogue_in(data_path())


@cache
def _catalogue_in(folder: Path) -> Catalogue:
    gpu_rows, model_rows = _rows(folder / "gpus.csv"), _rows(folder / "models.csv")
    efficiency_rows = _rows(folder / "efficiencies.csv")
    return Catalogue(
        gpus={row["gpu"]: Gpu(name=row["gpu"], **_columns(Gpu, row)) for row in gpu_rows},
        models={row["model"]: Model.from_fields(row["model"], **_columns(Model, row)) for row in model_rows},
        efficiencies={row["gpu"]: Efficiency(**_columns(Efficiency, row)) for row in efficiency_rows},
        gpu_aliases=_aliases("gpu", gpu_rows),
        model_aliases=_aliases("model", model_rows),
    )


def catalogue_for(scenario: Scenario) -> Catalogue:
    """The catalogue with the models that a scenario defines inline.

    Raises:
        CatalogueError: where an inline model's shape contradicts itself.
    """
    inline = [entry.model_dump() for entry in scenario.models if not isinstance(entry, str)]
    return load_catalogue().with_models(Model.from_fields(**entry) for entry in inline)


def _found(name: str, items: Mapping[str, _Item], aliases: Mapping[str, str], rule: str) -> _Item:
    known = name if name in items else aliases.get(normalised(name))
    if known is None:
        raise CatalogueError(name, rule, did_you_mean(name, items))
    return items[known]


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@cache
def _types(kind: type[Any]) -> dict[str, Any]:
    return get_type_hints(kind)


def _columns(kind: type[Any], row: Mapping[str, str]) -> dict[str, Any]:
    """The filled cells of a row that are fields of `kind`, in the fields' types."""
    # The stubs do not take a class for hashable.
    types = _types(kind)  # type: ignore[arg-type]
    wanted = [field.name for field in fields(kind) if field.name != "name" and row.get(field.name)]
    return {name: _cell(row[name], types[name]) for name in wanted}


def _cell(text: str, kind: type[Any]) -> Any:
    return text == "true" if kind is bool else kind(text)


def _aliases(column: str, rows: Iterable[Mapping[str, str]]) -> dict[str, str]:
    return {normalised(name): row[column] for row in rows for name in _names(column, row)}


def _names(column: str, row: Mapping[str, str]) -> Iterator[str]:
    yield row[column]
    yield from (alias for alias in row["aliases"].split(";") if alias)
