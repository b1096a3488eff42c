"""The supply side of a scenario: pools of GPUs and of APIs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag, ValidationInfo, field_validator, model_validator

from sim.scenario.api import ApiPool
from sim.scenario.autoscale import MOST_REPLICAS, Autoscale, Scaling, ScheduleWindow
from sim.scenario.energy import Carbon, Electricity
from sim.scenario.engine import Engine, Precision, StepTimeFile
from sim.scenario.offers import Offer
from sim.scenario.operation import Admission, Failures, Power
from sim.scenario.part import DefaultKind, Part, Refusal, refuse, refuse_all
from sim.scenario.quantities import Count, Duration, Whole

__all__ = ["GpuPool", "Pool"]

_START_UP_S = 180.0


class GpuPool(Part):
    """Replicas of one model on one type of GPU, bought one way."""

    # A pool that scales says with `min` how many there are, if it does not say so itself.
    model_config = ConfigDict(
        json_schema_extra=lambda schema: schema.update(
            required=[key for key in schema["required"] if key != "replicas"],
            anyOf=[{"required": ["replicas"]}, {"required": ["autoscale"]}],
        )
    )

    name: str = Field(min_length=1)
    """Name of the pool, unique in the scenario."""
    kind: Literal["gpu"] = "gpu"
    """A pool of GPUs of one's own."""
    gpu: str = Field(min_length=1)
    """GPU type, a name in the catalogue such as H100-SXM."""
    model: str = Field(min_length=1)
    """Model it serves, a name in the catalogue such as Llama-3.1-8B, or of an inline model."""
    tensor_parallel: Annotated[Count, Field(le=1024)] = 1
    """GPUs that share each layer's attention: one replica, or one rank of a data-parallel one."""
    data_parallel: Annotated[Count, Field(le=1024)] = 1
    """Attention replicas that share their experts: ranks of one server. Each rank schedules for itself."""
    expert_parallel: Count | None = None
    """GPUs the experts are spread over. Without it every GPU of a rank holds a slice of each expert, but in a
    data-parallel server they are spread over all of its GPUs."""
    autoscale: Autoscale | None = None
    """How the number of replicas follows the load; it stays as it is where left out."""
    replicas: Annotated[Whole, Field(le=MOST_REPLICAS)]
    """Servers, each of tensor_parallel x data_parallel GPUs; with `autoscale` those at the start (else its `min`)."""
    offer: Offer
    """How the GPUs are bought."""
    engine: Engine = Field(default_factory=Engine)
    """Settings of the server on each replica."""
    step_time: StepTimeFile | None = None
    """Step times from a file; a roofline of the GPU without it."""
    precision: Precision | None = None
    """Number formats; bf16 weights and KV cache without it."""
    schedule: list[ScheduleWindow] = Field(default=[])
    """Windows in which another number of replicas accepts work; all of them do outside the windows. Replicas are
    switched at once; with a start-up, see `autoscale`."""
    start_up: Duration | None = None
    """Time from the launch of a server, after a failure or a reclaim, until it takes requests; 3m where left out.
    With `autoscale` its start-up counts."""
    tier: Whole = 0
    """Pools of a lower tier are tried first."""
    admission: Admission = Field(default_factory=Admission)
    """How many requests a replica lets in."""
    failures: Failures | None = None
    """Servers break down and are repaired; never where left out."""
    power: Power = Field(default_factory=Power)
    """Electric power it draws."""
    electricity: Electricity | None = None
    """Price of electricity where it is paid apart, as for GPUs of one's own; part of the GPU price where left out."""
    carbon: Carbon | None = None
    """Carbon intensity of its electricity; not counted where left out."""

    @model_validator(mode="before")
    @classmethod
    def _begins_at_the_minimum(cls, value: Any) -> Any:
        if not isinstance(value, dict) or "replicas" in value or value.get("autoscale") is None:
            return value
        scaling = value["autoscale"]
        fewest = scaling.min if isinstance(scaling, Scaling) else _fewest(scaling)
        return value | {"replicas": fewest}

    @field_validator("replicas")
    @classmethod
    def _some_replicas(cls, replicas: int, info: ValidationInfo) -> int:
        if replicas == 0 and info.data.get("autoscale", ...) is None:
            raise refuse(replicas, "must be at least 1", "raise it")
        return replicas

    @model_validator(mode="after")
    def _parts_fit(self) -> GpuPool:
        refuse_all([*_number_refusals(self), *_layout_refusals(self), *_schedule_refusals(self)])
        return self

    @property
    def most_replicas(self) -> int:
        """Servers there may be at once."""
        return self.replicas if self.autoscale is None else self.autoscale.max

    @property
    def ranks(self) -> int:
        """What schedules for itself, of all servers there may be: what the engine serves on."""
        return self.most_replicas * self.data_parallel

    @property
    def gpus_per_replica(self) -> int:
        """GPUs of one server."""
        return self.tensor_parallel * self.data_parallel

    @property
    def start_up_s(self) -> float:
        """Seconds from the launch of a server until it takes requests."""
        if self.autoscale is not None:
            return self.autoscale.start_up
        return _START_UP_S if self.start_up is None else self.start_up


def _form(value: Any) -> str:
    """The tag of a pool; never a key of one, so that it is not taken for a step on the way to a fault."""
    kind = value.get("kind", "gpu") if isinstance(value, dict) else getattr(value, "kind", "gpu")
    return f"of kind {kind}"


Pool = Annotated[
    Annotated[GpuPool, Tag("of kind gpu")] | Annotated[ApiPool, Tag("of kind api")],
    Discriminator(
        _form,
        custom_error_type="union_tag_invalid",
        custom_error_context={"discriminator": "kind", "tag": "", "expected_tags": "'gpu', 'api'"},
    ),
    DefaultKind("gpu"),
]
"""A pool of GPUs where no `kind` is given."""


def _fewest(scaling: Any) -> int:
    """The `min` of an autoscaler as it is written; where it is none, that is told of itself."""
    fewest = scaling.get("min", 1) if isinstance(scaling, dict) else 1
    return fewest if isinstance(fewest, int) and 0 <= fewest <= MOST_REPLICAS else 1


def _layout_refusals(pool: GpuPool) -> Iterator[Refusal]:
    gpus, spread = pool.gpus_per_replica, pool.expert_parallel
    if pool.ranks > MOST_REPLICAS:
        rule = f"makes {pool.ranks} ranks of {pool.most_replicas} replicas, of which there may be {MOST_REPLICAS}"
        yield Refusal(("data_parallel",), pool.data_parallel, rule, "lower it, or the replicas")
    if spread is not None and gpus % spread:
        rule = f"must divide the {gpus} GPUs of a replica (tensor_parallel x data_parallel)"
        yield Refusal(("expert_parallel",), spread, rule, "give a divisor, or leave it out")


def _number_refusals(pool: GpuPool) -> Iterator[Refusal]:
    scaling = pool.autoscale
    if scaling is not None and not scaling.min <= pool.replicas <= scaling.max:
        rule = f"must lie between autoscale.min ({scaling.min}) and autoscale.max ({scaling.max})"
        yield Refusal(("replicas",), pool.replicas, rule, "change it, or leave it out to begin with the fewest")


def _schedule_refusals(pool: GpuPool) -> Iterator[Refusal]:
    if pool.start_up is not None and pool.autoscale is not None:
        yield Refusal(("start_up",), "start_up", "cannot be given with autoscale", "give it in autoscale")
    if pool.schedule and pool.autoscale is not None:
        remedy = "keep one of them; `autoscale: {kind: schedule}` has windows with a start-up"
        yield Refusal(("schedule",), "schedule", "cannot be given with autoscale", remedy)
    rule = f"must be at most the pool's replicas ({pool.most_replicas})"
    for index, window in enumerate(pool.schedule):
        if window.replicas > pool.most_replicas:
            path = ("schedule", index, "replicas")
            yield Refusal(path, window.replicas, rule, "lower it, or raise the pool's replicas")
