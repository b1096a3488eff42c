"""The learned router: one ONNX file that says of each request what every strategy would come to.

`LearnedRouter.load` believes nothing: what the graph holds, what the metadata says, names, types and shapes of outputs,
and what comes of a few questions are all checked before the first request is scored. It needs numpy and ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from router.errors import RouterError
from router.features import Features, FeatureSpec
from router.graph_check import check_graph
from router.manifest import Manifest
from router.provider import device_for, open_session
from router.types import Floats, Scores

__all__ = ["LearnedRouter"]

INPUT = "features"
_OF_STRATEGIES = ("p_correct", "log_tokens", "log_tokens_sd")
_PREPARED = ("p_correct_prepared", "log_tokens_prepared", "log_tokens_prepared_sd")
_OF_CONTEXTS = ("predictability", "expected_questions")
_BOUNDS = {"p_correct": (0.0, 1.0), "log_tokens": (-5.0, 30.0), "log_tokens_sd": (0.0, 10.0)}
_CONTEXT_BOUNDS = {"predictability": (-1e6, 1e6), "expected_questions": (0.0, 1e9)}
_BLOCK = {"cpu": 8_192, "cuda": 65_536}
"""Rows at once: on a CPU as many as stay in its caches, on a GPU enough to keep it busy."""
_AGAIN = "export the router again with `nightshift train`"

Columns = NDArray[np.float32]


class LearnedRouter:
    """A router's file, opened."""

    def __init__(self, session: Any, device: str, manifest: Manifest, features: Features) -> None:
        """Use `load`."""
        self._session, self._device = session, device
        self._outputs = tuple(output.name for output in session.get_outputs())
        self.manifest, self.features = manifest, features

    @classmethod
    def load(
        cls, path: str | Path, provider: Literal["auto", "cpu", "cuda"] = "auto", threads: int = 1
    ) -> LearnedRouter:
        """A router from its file, on "cuda" where that works and else on "cpu", where it gets so many threads.

        Raises:
            RouterError: for a file that is not there, is no router of this version, holds what a router needs not, or
                gives impossible answers; for a provider that is not here.
        """
        try:
            return cls._load(Path(path), provider, threads)
        except RouterError as error:
            raise RouterError(error.value, error.rule, error.remedy, where=str(path)) from None

    @classmethod
    def _load(cls, path: Path, provider: str, threads: int) -> LearnedRouter:
        try:
            file = path.read_bytes()
        except OSError as error:
            remedy = "give the ONNX file that `nightshift train` has written"
            raise RouterError(path.name, f"cannot be read: {error.strerror}", remedy) from None
        check_graph(file)
        device = device_for(provider)
        session = open_session(file, device, threads)
        try:
            metadata = session.get_modelmeta().custom_metadata_map
        except UnicodeDecodeError:
            raise RouterError("the metadata", "is no text in UTF-8", _AGAIN) from None
        manifest = Manifest.read(metadata)
        features = Features(FeatureSpec.of_document(manifest.feature_spec))
        router = cls(session, device, manifest, features)
        router._check_ports()
        router._probe()
        return router

    @property
    def strategies(self) -> tuple[str, ...]:
        """In the order of the scores' columns."""
        return self.manifest.strategies

    @property
    def device(self) -> str:
        """Where it runs: "cpu" or "cuda"."""
        return self._device

    def score(self, features: ArrayLike) -> Scores:
        """What is expected of n requests from their features, [n, F]; in blocks.

        Raises:
            RouterError: for features of another width or that are not finite; where the router answers with what
                cannot be.
        """
        rows = np.ascontiguousarray(features, np.float32)
        if rows.ndim != 2 or rows.shape[1] != self.features.spec.width:
            rule = f"is not the shape of this router's features: [n, {self.features.spec.width}]"
            raise RouterError(rows.shape, rule, "compute them with the router's own `features.of`")
        if not np.isfinite(rows).all():
            raise RouterError("features", "hold what is no number", "leave out what is not known")
        return self._checked(self._run(rows))

    def _run(self, rows: Columns) -> dict[str, Columns]:
        pieces = [self._run_block(block) for block in _blocks(rows, _BLOCK[self._device])]
        if len(pieces) == 1:
            return dict(zip(self._outputs, pieces[0], strict=True))
        return {name: np.concatenate(parts) for name, *parts in zip(self._outputs, *pieces, strict=True)}

    def _run_block(self, rows: Columns) -> list[Columns]:
        try:
            if self._device == "cpu":
                found: list[Columns] = self._session.run(self._outputs, {INPUT: rows})
                return found
            return self._run_bound(rows)
        except Exception as error:  # ONNX Runtime's errors have no common class
            told = " ".join(str(error).split())
            raise RouterError("the graph", f"cannot be run: {told}", _AGAIN) from None

    def _run_bound(self, rows: Columns) -> list[Columns]:
        """On a GPU: features go there once, and come back once."""
        from onnxruntime import OrtValue

        binding = self._session.io_binding()
        binding.bind_ortvalue_input(INPUT, OrtValue.ortvalue_from_numpy(rows, self._device, 0))
        for name in self._outputs:
            binding.bind_output(name, self._device)
        self._session.run_with_iobinding(binding)
        found: list[Columns] = binding.copy_outputs_to_cpu()
        return found

    def _checked(self, found: dict[str, Columns]) -> Scores:
        for name, values in found.items():
            low, high = self._bounds(name)
            # A comparison with what is no number is false, so this finds that too.
            if values.size and not (values.min() >= low and values.max() <= high):
                bad = values[~((values >= low) & (values <= high))][0]
                raise RouterError(f"{name}={bad:g}", f"is not between {low:g} and {high:g}", "train the router again")
        return self._scores(found)

    @staticmethod
    def _bounds(name: str) -> tuple[float, float]:
        return _CONTEXT_BOUNDS.get(name) or _BOUNDS[name.replace("_prepared", "")]

    def _scores(self, found: dict[str, Columns]) -> Scores:
        wide: dict[str, Floats] = {name: values.astype(np.float64) for name, values in found.items()}
        p_correct, log_tokens, sd = (wide[name] for name in _OF_STRATEGIES)
        prepared = None
        if self.manifest.has_prepared:
            prepared = Scores(wide[_PREPARED[0]], wide[_PREPARED[1]], wide[_PREPARED[2]])
        return Scores(p_correct, log_tokens, sd, prepared, *(wide.get(name) for name in _OF_CONTEXTS))

    def _check_ports(self) -> None:
        """Names, types and shapes of what goes in and comes out."""
        inputs = self._session.get_inputs()
        if [port.name for port in inputs] != [INPUT]:
            raise RouterError([port.name for port in inputs], f"are not the inputs of a router: {INPUT}", _AGAIN)
        _check_port(inputs[0], (None, self.features.spec.width))
        needed = {*_OF_STRATEGIES, *(_PREPARED if self.manifest.has_prepared else ())}
        lacking = sorted(needed - set(self._outputs))
        if lacking:
            raise RouterError(lacking[0], "is missing from the outputs", _AGAIN)
        extra = sorted(set(self._outputs) - needed - set(_OF_CONTEXTS))
        if extra:
            raise RouterError(extra[0], "is no output of this router's format", _AGAIN)
        for port in self._session.get_outputs():
            _check_port(port, (None,) if port.name in _OF_CONTEXTS else (None, len(self.strategies)))

    def _probe(self) -> None:
        """A few questions, as they were in training and beyond: answers are possible, and each row's its own."""
        rows = self._probes()
        together = self._run(rows)
        for name, values in together.items():
            expected = (len(rows),) if name in _OF_CONTEXTS else (len(rows), len(self.strategies))
            if values.shape != expected:
                raise RouterError(f"{name} {list(values.shape)}", f"is not of shape {list(expected)}", _AGAIN)
        self._checked(together)
        alone = self._run(rows[-1:])
        for name, values in together.items():
            if not np.allclose(values[-1:], alone[name], rtol=1e-4, atol=1e-5):
                raise RouterError(name, "of a question depends on the questions beside it", _AGAIN)

    def _probes(self) -> Columns:
        rows = np.zeros((5, self.features.spec.width), np.float32)
        rows[1] = 1.0
        for column, name in enumerate(self.features.spec.names):
            bins = self.manifest.reference.features.get(name)
            if bins is not None:
                rows[2:, column] = bins.edges[[0, bins.edges.size // 2, -1]]
        return rows


def _blocks(rows: Columns, size: int) -> Iterator[Columns]:
    for begin in range(0, max(len(rows), 1), size):
        yield rows[begin : begin + size]


def _check_port(port: Any, shape: tuple[int | None, ...]) -> None:
    if port.type != "tensor(float)":
        raise RouterError(f"{port.name} of type {port.type}", "is not of type float32", _AGAIN)
    fits = len(port.shape) == len(shape) and all(
        asked is None or not isinstance(found, int) or found == asked
        for found, asked in zip(port.shape, shape, strict=True)
    )
    if not fits or isinstance(port.shape[0], int):
        told = ", ".join("n" if size is None else str(size) for size in shape)
        raise RouterError(f"{port.name} {port.shape}", f"is not of shape [{told}]", _AGAIN)
