"""The decoder gives what a plain forward pass gives, however its tokens are fed, and says what it cannot do."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sim.errors import CatalogueError, InputError
from sim.lab.decoder import decoder as decoder_module
from sim.lab.decoder import graph as graph_module
from sim.lab.decoder import sessions as sessions_module
from sim.lab.decoder.decoder import Decoder, numbers_of, providers_here
from sim.lab.decoder.graph import GRAPH_FILE, Numbers, decoder_graph, write_graph
from sim.lab.decoder.kv_cache import CacheShape, DeviceCache, HostCache, copying_graph
from sim.lab.decoder.sessions import load_session, session_options
from sim.lab.decoder.shapes import random_weights, shape_of
from sim.lab.decoder.weights import DecoderConfig, read_weights
from sim.paths import data_path
from tests import plain_decoder

pytest.importorskip("onnx")

Tokens = NDArray[np.int32]

SMALL = DecoderConfig(vocab_size=50, width=48, layers=2, heads=3, kv_heads=3, head_size=16, mlp_width=80)
GROUPED = replace(SMALL, heads=4, kv_heads=2, tied=False, rope_theta=500.0)


@cache
def weights(config: DecoderConfig) -> dict[str, NDArray[np.float32]]:
    return plain_decoder.random_weights(config, 1)


def opened(config: DecoderConfig = SMALL, slots: int = 4, capacity: int = 40) -> Decoder:
    return Decoder.open(config, weights(config), provider="cpu", slots=slots, capacity=capacity, threads=1)


def rehearsed(numbers: Numbers, slots: int = 4, capacity: int = 40) -> Decoder:
    """As on a device with memory of its own, in these numbers, but on the CPU."""
    shape, options = CacheShape.of(SMALL, slots, capacity, numbers.cache), session_options(1)
    copier = load_session(copying_graph(shape), "cpu", options)
    session = load_session(decoder_graph(SMALL, weights(SMALL), numbers), "cpu", options)
    return Decoder(SMALL, session, DeviceCache(shape, "cpu", copier), numbers.weights)


def assert_close(logits: NDArray[Any], expected: Any) -> None:
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4)


def text(count: int, seed: int = 0) -> Tokens:
    return np.random.default_rng(seed).integers(0, SMALL.vocab_size, count).astype(np.int32)


def whole(*values: int) -> Tokens:
    return np.array(values, np.int32)


def plain(tokens: Tokens, config: DecoderConfig = SMALL) -> NDArray[np.float64]:
    return plain_decoder.logits(config, weights(config), tokens)


@pytest.mark.parametrize("config", [SMALL, GROUPED], ids=["tied", "grouped and untied"])
def test_every_token_of_a_prompt_gets_the_logits_of_a_plain_forward_pass(config: DecoderConfig) -> None:
    tokens = text(30)
    logits = opened(config).prefill(2, tokens, 0, every_token=True)
    assert logits.dtype == np.float32
    assert_close(logits, plain(tokens, config))


def test_without_every_token_the_last_one_gets_its_logits() -> None:
    tokens = text(30)
    assert_close(opened().prefill(0, tokens, 0), plain(tokens)[-1])


def test_a_prompt_may_be_fed_in_chunks() -> None:
    tokens, model = text(30), opened()
    chunks = [model.prefill(1, tokens[a:b], a, every_token=True) for a, b in ((0, 11), (11, 12), (12, 12 + 18))]
    assert_close(np.concatenate(chunks), plain(tokens))


def test_a_prompt_may_be_fed_token_by_token() -> None:
    tokens, model = text(20), opened()
    steps = [model.decode(tokens[i : i + 1], whole(i)) for i in range(20)]
    assert_close(np.concatenate(steps), plain(tokens))


def test_rows_at_different_positions_decode_together() -> None:
    texts, model = [text(count, seed=count) for count in (17, 1, 40, 6)], opened()
    for slot, tokens in enumerate(texts):
        if len(tokens) > 1:
            model.prefill(slot, tokens[:-1], 0)
    logits = model.decode(whole(*(tokens[-1] for tokens in texts)), whole(*(len(tokens) - 1 for tokens in texts)))
    assert_close(logits, [plain(tokens)[-1] for tokens in texts])


def test_a_token_may_be_tried_and_another_fed_in_its_place() -> None:
    tokens, model = text(12), opened()
    model.prefill(0, tokens[:11], 0)
    tried = model.decode(whole((tokens[11] + 1) % SMALL.vocab_size), whole(11))
    real = model.decode(tokens[11:], whole(11))
    assert_close(real[0], plain(tokens)[-1])
    assert np.abs(tried - real).max() > 0.1


def test_a_slot_goes_on_from_the_copied_part_of_another() -> None:
    shared, own, model = text(15), text(8, seed=9), opened()
    model.prefill(3, text(30, seed=4), 0)
    model.prefill(1, shared, 0)
    model.copy(1, 3, 10)
    logits = model.prefill(3, own, 10, every_token=True)
    assert_close(logits, plain(np.concatenate([shared[:10], own]))[10:])
    assert_close(model.prefill(1, own, 15), plain(np.concatenate([shared, own]))[-1])


def test_what_was_given_back_stays_when_more_is_fed() -> None:
    model = opened()
    first = model.decode(whole(3), whole(0))
    kept = first.copy()
    model.decode(whole(7), whole(1))
    assert (first == kept).all()


def test_the_best_token_is_that_of_the_largest_logit() -> None:
    model, tokens, lengths = opened(), whole(3, 8, 20, 41), whole(0, 0, 0, 0)
    best = model.decode_best(tokens, lengths)
    assert best.dtype == np.int32
    assert best.tolist() == model.decode(tokens, lengths).argmax(axis=1).tolist()


class Script:
    """Random prompts, chunks, steps and copies on a decoder, beside what each slot has read."""

    def __init__(self, model: Decoder, seed: int) -> None:
        self.model, self.random = model, np.random.default_rng(seed)
        self.read: list[list[int]] = [[] for _ in range(model.slots)]

    def error(self) -> float:
        """The largest difference from a plain forward pass that one random action shows."""
        action = self.random.choice([self.prefill, self.decode, self.copy])
        return float(action())

    def prefill(self) -> float:
        slot = int(self.random.integers(self.model.slots))
        held = int(self.random.integers(len(self.read[slot]) + 1))
        room = self.model.capacity - held
        if not room:
            return 0.0
        tokens = self.drawn(int(self.random.integers(1, room + 1)))
        self.read[slot] = [*self.read[slot][:held], *tokens]
        logits = self.model.prefill(slot, whole(*tokens), held, every_token=True)
        return float(np.abs(logits - plain(whole(*self.read[slot]))[held:]).max())

    def decode(self) -> float:
        rows = int(self.random.integers(1, self.model.slots + 1))
        for slot in range(rows):
            self.read[slot] = self.read[slot][: self.model.capacity - 1]
        tokens, lengths = self.drawn(rows), [len(self.read[slot]) for slot in range(rows)]
        for slot, token in enumerate(tokens):
            self.read[slot].append(token)
        logits = self.model.decode(whole(*tokens), whole(*lengths))
        expected = [plain(whole(*self.read[slot]))[-1] for slot in range(rows)]
        return float(np.abs(logits - expected).max())

    def copy(self) -> float:
        source, target = (int(slot) for slot in self.random.integers(self.model.slots, size=2))
        if self.read[source]:
            tokens = int(self.random.integers(1, len(self.read[source]) + 1))
            self.model.copy(source, target, tokens)
            self.read[target] = self.read[source][:tokens]
        return 0.0

    def drawn(self, count: int) -> list[int]:
        return [int(token) for token in self.random.integers(0, SMALL.vocab_size, count)]


@pytest.mark.parametrize("seed", range(3))
def test_any_order_of_prompts_chunks_steps_and_copies_is_right(seed: int) -> None:
    script = Script(opened(slots=3, capacity=24), seed)
    assert max(script.error() for _ in range(60)) < 1e-4


@pytest.mark.parametrize(
    ("numbers", "largest_error"),
    [(Numbers("fp32", "fp32"), 1e-4), (Numbers("fp32", "fp16"), 0.02), (Numbers("fp16", "fp16"), 0.05)],
    ids=["fp32", "fp32 with an fp16 cache", "fp16"],
)
def test_a_cache_in_device_memory_is_right_in_any_numbers(numbers: Numbers, largest_error: float) -> None:
    script = Script(rehearsed(numbers, slots=3, capacity=24), seed=5)
    assert max(script.error() for _ in range(40)) < largest_error


def test_the_training_framework_gives_the_same_logits() -> None:
    torch = pytest.importorskip("torch")
    from sim.lab.training.model import Decoder as TrainedDecoder
    from sim.lab.training.model import causal_mask

    tokens, model = text(30), TrainedDecoder(GROUPED).eval()
    model.load_state_dict({name: torch.from_numpy(array) for name, array in weights(GROUPED).items()})
    with torch.no_grad():
        mask, places = causal_mask(torch.tensor([30]), 30), torch.arange(30)[None]
        expected = model(torch.from_numpy(tokens[None]).long(), places, mask)[0].numpy()
    assert_close(opened(GROUPED).prefill(0, tokens, 0, every_token=True), expected)


def test_a_graph_written_to_a_file_is_the_same_model(tmp_path: Path) -> None:
    file, tokens = tmp_path / "model.onnx", text(9)
    write_graph(file, SMALL, weights(SMALL), Numbers())
    model = Decoder.open(SMALL, file, provider="cpu", slots=1, capacity=16)
    assert_close(model.prefill(0, tokens, 0), plain(tokens)[-1])
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def test_a_graph_of_another_shape_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    write_graph(file, SMALL, weights(SMALL), Numbers())
    with pytest.raises(InputError, match="is a graph of another shape or other numbers"):
        Decoder.open(replace(SMALL, rope_theta=1.0), file, provider="cpu", slots=1, capacity=16)


def test_large_weights_lie_beside_the_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (graph_module, decoder_module):
        monkeypatch.setattr(module, "LARGEST_INLINE_BYTES", 1000)
    file, tokens = tmp_path / "model.onnx", text(9)
    write_graph(file, SMALL, weights(SMALL), Numbers())
    assert (tmp_path / "model.onnx.weights").stat().st_size > 4 * SMALL.parameters
    from_file = Decoder.open(SMALL, file, provider="cpu", slots=1, capacity=16)
    for model in (from_file, opened()):
        assert_close(model.prefill(0, tokens, 0), plain(tokens)[-1])


def test_layers_that_share_an_array_share_its_place_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_module, "LARGEST_INLINE_BYTES", 1000)
    sizes = []
    for layers in (1, 8):
        config = replace(SMALL, layers=layers)
        write_graph(tmp_path / "model.onnx", config, random_weights(config), Numbers("bf16", "bf16"))
        sizes.append((tmp_path / "model.onnx.weights").stat().st_size)
    assert sizes[0] == sizes[1]


def test_random_weights_run() -> None:
    config = replace(GROUPED, layers=3)
    model = Decoder.open(config, random_weights(config), provider="cpu", slots=1, capacity=8)
    logits = model.prefill(0, text(8), 0)
    assert np.isfinite(logits).all()
    assert logits.std() > 0


def test_a_shape_is_that_of_the_catalogue() -> None:
    config = shape_of("Llama-3.1-8B")
    assert abs(config.parameters / 8.03e9 - 1) < 0.01
    assert replace(config, layers=3) == shape_of("meta-llama/Llama-3.1-8B", layers=3)


@pytest.mark.parametrize("name", ["Mixtral-8x7B", "DeepSeek-V3", "Gemma-3-1B", "Qwen3.5-397B-A17B"])
def test_a_shape_that_the_decoder_has_not_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="the lab's decoder has not; take a dense model"):
        shape_of(name)


def test_an_unknown_shape_and_too_many_layers_are_refused() -> None:
    with pytest.raises(CatalogueError, match="is not a model of the catalogue"):
        shape_of("Lama-3.1-8B")
    with pytest.raises(InputError, match=r"33 is not a number of layers of Llama-3.1-8B; give 1 to 32"):
        shape_of("Llama-3.1-8B", layers=33)


def test_the_cache_counts_its_bytes() -> None:
    model = opened(GROUPED)
    assert model.kv_bytes_per_token == 2 * 2 * 2 * 16 * 4
    assert CacheShape.of(GROUPED, 4, 40, "bf16").bytes == 2 * 2 * 2 * 16 * 2 * 4 * 48
    assert (model.slots, model.capacity, model.provider, model.precision) == (4, 40, "cpu", "fp32")


@pytest.mark.parametrize(("capacity", "room"), [(1, 16), (16, 16), (17, 48), (40, 48), (512, 528)])
def test_a_slot_has_room_for_an_odd_number_of_blocks(capacity: int, room: int) -> None:
    assert CacheShape.of(SMALL, 1, capacity, "fp32").room == room


def test_host_cache_copies_no_more_than_asked() -> None:
    cache = HostCache(CacheShape.of(SMALL, 2, 8, "fp32"))
    cache._layers[1][:, 0] = 1.0
    cache.copy(0, 1, 5)
    assert cache._layers[1][:, 1].sum() == 2 * 3 * 5 * 16
    assert not cache._layers[1][:, 1, :, 5:].any()


def test_the_cpu_is_always_there() -> None:
    assert providers_here()[-1] == "cpu"


def test_cuda_is_refused_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions_module, "cuda_works", lambda: False)
    with pytest.raises(InputError, match=r"cuda needs an NVIDIA GPU .*; use cpu, or install"):
        Decoder.open(SMALL, weights(SMALL), provider="cuda", slots=1, capacity=8)


def test_a_provider_that_falls_back_to_the_cpu_is_refused() -> None:
    if "cuda" in providers_here():
        pytest.skip("CUDA works here")
    graph = copying_graph(CacheShape.of(SMALL, 1, 8, "fp32"))
    with pytest.raises(InputError, match="could not be loaded by ONNX Runtime"):
        load_session(graph, "cuda", session_options(1))


def test_attention_on_cuda_is_in_16_bits_whatever_the_weights() -> None:
    assert numbers_of("cuda", "fp32") == Numbers("fp32", "fp16")
    assert numbers_of("cuda", "bf16") == Numbers("bf16", "bf16")
    assert numbers_of("cpu", "fp32") == Numbers("fp32", "fp32")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"provider": "tpu"}, "tpu is not a provider; use one of: auto, cuda, cpu"),
        ({"precision": "fp8"}, "fp8 is not a precision; use one of: fp32, fp16, bf16"),
        ({"precision": "bf16"}, "bf16 does not run on the CPU; use fp32"),
        ({"capacity": 513}, "4 x 513 are not slots and tokens for a model of 512 positions; .* capacity of 1 to 512"),
        ({"slots": 0}, "0 x 40 are not slots"),
        ({"slots": 1 << 40}, r"GiB\) does not fit into memory: .*; use fewer slots, a smaller capacity or model"),
    ],
)
def test_what_cannot_be_opened_is_refused(changes: dict[str, object], message: str) -> None:
    settings = {"provider": "cpu", "slots": 4, "capacity": 40, **changes}
    with pytest.raises(InputError, match=message):
        Decoder.open(SMALL, weights(SMALL), **settings)  # type: ignore[arg-type]


def test_heads_that_attention_does_not_know_are_refused() -> None:
    config = replace(SMALL, head_size=8)
    with pytest.raises(InputError, match=r"8 is a head size .*; use a model whose heads are a multiple of 16"):
        opened(config)


def test_memory_that_runs_out_while_loading_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("Failed to allocate memory for requested buffer of size 123")

    monkeypatch.setattr(decoder_module, "open_cache", fails)
    with pytest.raises(InputError, match=r"a cache of 4 slots x 40 tokens .* does not fit into memory"):
        opened()


@pytest.mark.parametrize(
    ("slot", "start", "message"),
    [(4, 0, "4 to 4 are not slots of a decoder with 4"), (0, 38, "38 to 40 are not positions of a row of 40")],
)
def test_tokens_beyond_the_cache_are_refused(slot: int, start: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        opened().prefill(slot, text(3), start)


def test_more_rows_than_slots_are_refused() -> None:
    with pytest.raises(InputError, match="0 to 4 are not slots of a decoder with 4"):
        opened().decode(text(5), np.zeros(5, np.int32))


class TestShippedGraph:
    """data/lab/model.onnx."""

    def test_answers_as_its_weights_do(self) -> None:
        config, arrays = read_weights(data_path("lab"))
        tokens = np.arange(30, dtype=np.int32)
        logits = [
            Decoder.open(config, weights, provider="cpu", slots=1, capacity=64, threads=1).prefill(0, tokens, 0)
            for weights in (arrays, data_path("lab") / GRAPH_FILE)
        ]
        np.testing.assert_allclose(logits[0], logits[1], atol=1e-6)
