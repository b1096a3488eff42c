"""The state by reference: compiled functions pass a pointer to it instead of its hundred arrays.

Numba passes a named tuple by value, each array in seven pieces or more. With some thousand pieces to an argument list,
calls cost a third of a microsecond and compiling them minutes. A reference is one pointer to a copy of the tuple in the
frame of the entry that Python called; its fields read like those of the tuple.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# numba and llvmlite carry no types: this is why there are marks for the type checker here and below.
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils, config, types
from numba.core.imputils import impl_ret_borrowed, lower_getattr_generic
from numba.core.typing.templates import AttributeTemplate, infer_getattr
from numba.extending import intrinsic, models, register_model

from sim.engine.state import State

__all__ = ["reference"]


class _Reference(types.Type):
    """Type of a reference to a named tuple."""

    def __init__(self, held: Any) -> None:
        self.held = held
        super().__init__(name=f"reference({held})")


register_model(_Reference)(models.OpaqueModel)


@intrinsic  # type: ignore[untyped-decorator]
def _point_to(typing_context: Any, held: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (value,) = arguments
        place = cgutils.alloca_once_value(builder, value)
        return builder.bitcast(place, context.get_value_type(signature.return_type))

    return _Reference(held)(held), generate


def _as_it_is(s: State) -> State:
    return s


reference: Callable[[State], State] = _as_it_is if config.DISABLE_JIT else _point_to
"""The state by reference where code is compiled, and as it is where Python runs it. Only entries may make one: it lasts
as long as their frame."""


@infer_getattr
class _Fields(AttributeTemplate):  # type: ignore[misc]
    """The fields of what is referred to."""

    key = _Reference

    def generic_resolve(self, reference: Any, name: str) -> Any:
        held = reference.held
        return held.types[held.fields.index(name)] if name in held.fields else None


@lower_getattr_generic(_Reference)  # type: ignore[untyped-decorator]
def _read(context: Any, builder: Any, reference: Any, value: Any, name: str) -> Any:
    held = reference.held
    place = held.fields.index(name)
    tuple_pointer = builder.bitcast(value, context.get_value_type(held).as_pointer())
    zero = ir.Constant(ir.IntType(32), 0)
    field = builder.load(builder.gep(tuple_pointer, [zero, ir.Constant(ir.IntType(32), place)], inbounds=True))
    return impl_ret_borrowed(context, builder, held.types[place], field)
