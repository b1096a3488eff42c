"""How a deployment splits a model over its GPUs, mended from columns that several converters wrote.

The columns are `tensor` (ranks of each layer's attention), `data` (attention replicas), `expert_tensor` and
`experts` (slices of an expert, and GPUs the experts are spread over) and `batch` (requests in flight of a
rank or of a copy). A layout that no rule below touches is taken as it stands:
GPUs = max(tensor, data, expert_tensor * experts).
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MOST_GPUS", "Layout", "Recorded", "copies", "mend"]

MOST_GPUS = 16
"""Larger deployments in such files run prefill and decode on servers of their own."""


@dataclass(frozen=True)
class Recorded:
    """The layout columns of a row; 1 where a column is missing, blank or 0, which is how converters say "none"."""

    backend: str = ""
    tensor: int = 1
    data: int = 1
    expert_tensor: int = 1
    experts: int = 1


@dataclass(frozen=True)
class Layout:
    """How a model is split: `gpus` = `tensor_parallel * data_parallel`; the experts over `expert_parallel` of them."""

    tensor_parallel: int
    data_parallel: int
    expert_parallel: int

    @property
    def gpus(self) -> int:
        """GPUs of one deployment."""
        return self.tensor_parallel * self.data_parallel


def mend(row: Recorded, least_gpus: int = 1) -> Layout:
    """The layout that a row means; `least_gpus` are needed to hold the model's weights.

    >>> mend(Recorded("sglang", tensor=64, expert_tensor=8, experts=8))
    Layout(tensor_parallel=8, data_parallel=1, expert_parallel=8)
    >>> mend(Recorded("vllm", tensor=4, data=4, experts=16))
    Layout(tensor_parallel=1, data_parallel=4, expert_parallel=4)
    >>> mend(Recorded("tensorrt-llm", data=8, experts=8))
    Layout(tensor_parallel=1, data_parallel=8, expert_parallel=8)
    """
    if _is_product(row) and row.experts >= least_gpus:
        return _split(row.experts, row.data > 1, row.experts)
    if _counts_ranks_twice(row):
        return _split(row.tensor, True, row.tensor)
    if row.tensor > 1 and row.data > 1 and row.tensor != row.data:
        return Layout(row.tensor, row.data, row.experts)
    gpus = max(row.tensor, row.data, row.expert_tensor * row.experts)
    if row.data == 1 and row.tensor < gpus and gpus % row.tensor == 0:
        # The experts take more GPUs than the attention's ranks: it is replicated over them.
        return Layout(row.tensor, gpus // row.tensor, row.experts)
    return _split(gpus, row.data > 1, row.experts)


def copies(concurrency: float, batch: float, row: Recorded, layout: Layout) -> int:
    """Deployments that share the requests in flight, where `batch` is those of one.

    Where the quotient is the number of attention replicas, as recorded or as mended, `batch` is that of a
    rank, and the requests are all of one deployment. A quotient that is no whole number says nothing.
    """
    quotient = concurrency / batch
    whole = round(quotient)
    return whole if whole == quotient and whole not in (row.data, layout.data_parallel) else 1


def _is_product(row: Recorded) -> bool:
    """Whether ranks times experts stand where the ranks should, with both factors beside it.

    A server of n GPUs with its experts over all n is then n*n, n, n. The same runs, to the last digit of
    their times, stand elsewhere in such files with n alone.
    """
    ranks = max(row.tensor, row.data)
    return row.expert_tensor == row.experts > 1 and ranks == row.experts * row.expert_tensor


def _counts_ranks_twice(row: Recorded) -> bool:
    """Whether n data-parallel ranks also stand as n tensor-parallel ones, and the experts over n*n.

    vLLM multiplies both sizes to find its expert ranks, and a converter gave it the number of GPUs for each.
    """
    return row.backend == "vllm" and row.tensor == row.data > 1 and row.experts == row.tensor * row.data


def _split(gpus: int, by_data: bool, experts: int) -> Layout:
    data = gpus if by_data else 1
    return Layout(gpus // data, data, experts)
