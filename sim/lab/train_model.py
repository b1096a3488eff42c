"""Trains the lab's model from scratch: `python -m sim.lab.train_model --out data/lab` (see data/lab/README.md).

One pass over ever new contexts: no context is seen twice, so the loss that is logged is that of unseen data.
"""

from __future__ import annotations

import argparse
import csv
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sim.lab.decoder.graph import export_graph
from sim.lab.decoder.weights import DecoderConfig
from sim.lab.language import MAX_POSITIONS, VOCABULARY_SIZE, Language
from sim.lab.training.branches import KINDS, Batch, Mix, Solution, make_batch
from sim.lab.training.judge import own_solutions, quick_accuracies
from sim.lab.training.model import Decoder, save_weights, tree_mask

__all__ = ["Muon", "Training", "main", "model_config", "train"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Training:
    """All that the outcome of a training run depends on, apart from the machine's arithmetic."""

    steps: int = 1300
    rows: int = 64
    """Rows in a step, each with a context of its own."""
    length: int = 256
    """Tokens in a row."""
    muon_rate: float = 0.007
    """Learning rate of the matrices inside the layers."""
    adam_rate: float = 0.003
    """Learning rate of the embedding and the norms."""
    decay_from: float = 0.5
    """Share of the steps after which both rates fall in a line to zero."""
    longest: tuple[tuple[float, int], ...] = ((0.1, 6), (0.2, 8))
    """Curriculum: until this share of the steps, contexts have at most so many facts."""
    own_from: float = 0.6
    """Share of the steps after which the checks also judge chains that the model itself wrote at that point."""
    own_questions: int = 4000
    value_weight: float = 0.3
    """Weight of the loss at the ends of facts; all others but the verdict's weigh 1."""
    verdict_weight: float = 3.0
    language: Language = field(default_factory=Language.training)
    mix: Mix = field(default_factory=Mix)
    seed: int = 0


def model_config(width: int = 192, layers: int = 4) -> DecoderConfig:
    """The shape of the lab's model: heads of 64, an MLP of 8/3 of the width, embedding and head tied."""
    heads = width // 64
    return DecoderConfig(
        vocab_size=VOCABULARY_SIZE,
        width=width,
        layers=layers,
        heads=heads,
        kv_heads=heads,
        head_size=64,
        mlp_width=width * 8 // 3,
        max_positions=MAX_POSITIONS,
    )


class Muon(torch.optim.Optimizer):
    """Momentum whose every step is made (nearly) orthogonal; for matrices only (Jordan et al. 2024)."""

    def __init__(self, matrices: Sequence[Tensor], rate: float, momentum: float = 0.95) -> None:
        """`rate` is the spectral norm of a step for a square matrix."""
        super().__init__(matrices, {"lr": rate, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: object = None) -> None:
        """One step; matrices of one shape are done together."""
        for group in self.param_groups:
            shapes: dict[torch.Size, list[Tensor]] = {}
            for matrix in group["params"]:
                shapes.setdefault(matrix.shape, []).append(matrix)
            for shape, matrices in shapes.items():
                pushes = torch.stack([self._push(matrix, group["momentum"]) for matrix in matrices])
                scale = group["lr"] * max(1.0, shape[0] / shape[1]) ** 0.5
                for matrix, move in zip(matrices, _orthogonal(pushes), strict=True):
                    matrix.add_(move, alpha=-scale)

    def _push(self, matrix: Tensor, momentum: float) -> Tensor:
        state, gradient = self.state[matrix], matrix.grad
        assert gradient is not None
        moving = state.setdefault("moving", torch.zeros_like(matrix))
        moving.lerp_(gradient, 1 - momentum)
        return gradient.lerp(moving, momentum)


def _orthogonal(matrices: Tensor) -> Tensor:
    """Matrices with all singular values near one, by five Newton-Schulz steps in half precision."""
    tall = matrices.shape[1] > matrices.shape[2]
    moved = (matrices.mT if tall else matrices).bfloat16()
    moved = moved / (moved.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        square = moved @ moved.mT
        moved = 3.4445 * moved + (-4.7750 * square + 2.0315 * square @ square) @ moved
    return (moved.mT if tall else moved).to(matrices.dtype)


def train(
    config: DecoderConfig,
    training: Training,
    out: Path,
    *,
    log_every: int = 25,
    save_every: int = 250,
    compiled: bool = True,
) -> Decoder:
    """Trains a model and writes weights and log (`training-log.csv`) into `out`, weights also on the way.

    `compiled` costs half a minute at the start, and half again as fast a step is the gain.
    """
    torch.manual_seed(training.seed)
    model = Decoder(config)
    inner = [weight for name, weight in model.named_parameters() if name.startswith("layers.") and weight.ndim == 2]
    outer = [
        weight for name, weight in model.named_parameters() if not (name.startswith("layers.") and weight.ndim == 2)
    ]
    optimizers = [
        Muon(inner, training.muon_rate),
        torch.optim.AdamW(outer, lr=training.adam_rate, betas=(0.9, 0.95), weight_decay=0.0),
    ]
    loss_of = torch.compile(_losses) if compiled else _losses
    weights = torch.tensor([_weight(training, kind) for kind in (*KINDS, "none")])
    log = _Log(out / "training-log.csv", training)
    solutions: dict[int, list[Solution]] = {}
    for step, batch in enumerate(_batches(training, solutions)):
        if step == int(training.own_from * training.steps):
            solutions |= _judged_later(model, training, step)
        rate = min(1.0, (step + 1) / 30, (training.steps - step) / (training.steps * (1 - training.decay_from)))
        for optimizer, peak in zip(optimizers, (training.muon_rate, training.adam_rate), strict=True):
            optimizer.param_groups[0]["lr"] = rate * peak
        tensors = [torch.from_numpy(part) for part in (batch.tokens, batch.positions, batch.targets, batch.nodes)]
        losses = loss_of(model, *tensors)
        weighted = losses * weights[torch.from_numpy(batch.kinds).flatten()]
        (weighted.sum() / (tensors[2] >= 0).sum()).backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        log.seen(batch, losses.detach())
        if (step + 1) % log_every == 0 or step + 1 == training.steps:
            log.write(step + 1, quick_accuracies(model, training.language) if (step + 1) % save_every == 0 else {})
        if (step + 1) % save_every == 0 or step + 1 == training.steps:
            save_weights(out, model)
    export_graph(out)
    return model


def _weight(training: Training, kind: str) -> float:
    return {"value": training.value_weight, "verdict": training.verdict_weight, "none": 0.0}.get(kind, 1.0)


def _optimizers(model: Decoder, training: Training) -> list[torch.optim.Optimizer]:
    inner = [weight for weight in model.layers.parameters() if weight.ndim == 2]
    outer = [
        weight for name, weight in model.named_parameters() if not (name.startswith("layers") and weight.ndim == 2)
    ]
    adam = torch.optim.AdamW(outer, lr=training.adam_rate, betas=(0.9, 0.95), weight_decay=0.0)
    return [Muon(inner, training.muon_rate), adam]


def _losses(model: Decoder, tokens: Tensor, positions: Tensor, targets: Tensor, nodes: Tensor) -> Tensor:
    """Cross entropy of each token [rows * tokens], zero where there is no target."""
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(tokens, positions, tree_mask(nodes))
    return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), ignore_index=-1, reduction="none")


def _batches(training: Training, solutions: Mapping[int, Sequence[Solution]]) -> Iterator[Batch]:
    """The batches in order, the next one made while one is in use."""

    def make(step: int) -> Batch:
        share = step / training.steps
        longest = next((facts for until, facts in training.longest if share < until), training.language.max_facts)
        language = replace(training.language, max_facts=longest)
        return make_batch(language, training.mix, step * training.rows, training.rows, training.length, solutions)

    with ThreadPoolExecutor(1) as worker:
        coming: Future[Batch] = worker.submit(make, 0)
        for step in range(training.steps):
            batch = coming.result()
            coming = worker.submit(make, step + 1)
            yield batch


def _judged_later(model: Decoder, training: Training, step: int) -> dict[int, list[Solution]]:
    """The model's own sampled chains, for contexts spread over the steps to come."""
    contexts = np.arange((step + 2) * training.rows, training.steps * training.rows)
    chosen = np.random.default_rng(training.seed).permutation(contexts)[: training.own_questions]
    return own_solutions(model, training.language, sorted(int(index) for index in chosen))


class _Log:
    """Rows of means since the last one, in a CSV file."""

    def __init__(self, path: Path, training: Training) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.started, self.tokens = path, time.perf_counter(), 0
        self.per_step = training.rows * training.length
        self.sums, self.counts = np.zeros(len(KINDS)), np.zeros(len(KINDS))
        self.header: list[str] = []

    def seen(self, batch: Batch, losses: Tensor) -> None:
        """Adds a step."""
        kinds, losses_ = batch.kinds.ravel(), losses.numpy()
        real = kinds >= 0
        self.sums += np.bincount(kinds[real], losses_[real], len(KINDS))
        self.counts += np.bincount(kinds[real], minlength=len(KINDS))
        self.tokens += int((batch.nodes[:, :, 0] >= 0).sum())

    def write(self, step: int, accuracies: Mapping[str, float]) -> None:
        """Writes a row and starts anew."""
        means = self.sums / np.maximum(self.counts, 1)
        row: dict[str, object] = {"step": step, "tokens": self.tokens}
        row["seconds"] = round(time.perf_counter() - self.started, 1)
        row |= {f"loss {kind}": round(float(mean), 4) for kind, mean in zip(KINDS, means, strict=True)}
        row |= {name: accuracies.get(name, "") for name in ACCURACIES}
        with self.path.open("a" if self.header else "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            if not self.header:
                writer.writeheader()
            writer.writerow(row)
        self.header = list(row)
        self.sums[:], self.counts[:] = 0, 0
        _log.info("%s", " ".join(f"{key} {value}" for key, value in row.items() if value != ""))


ACCURACIES = ("direct", "think", "think sampled", "direct noted")
"""What `quick_accuracies` measures on the way, on dev contexts of the training mix."""


def main() -> None:
    """The command line: options are the fields of Training that a run most often changes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for weights.npz, config.json, training-log.csv")
    parser.add_argument("--steps", type=int, default=Training.steps)
    parser.add_argument("--seed", type=int, default=Training.seed)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(given.threads)
    train(model_config(), Training(steps=given.steps, seed=given.seed), given.out)


if __name__ == "__main__":
    main()
