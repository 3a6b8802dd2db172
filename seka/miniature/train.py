"""Training from scratch: the loop, its schedule, its log and its checkpoints. It prints nothing; a callback reports.

The learning rates follow the share of the budget that is used up, and the budget is minutes or steps. Everything that
the next step depends on is in the checkpoint, so a run with a budget in steps that was stopped goes on as if nothing had
happened; what minutes come to depends on the machine. On Linux, huge pages and memory that is kept made a step on two cores
1.2 (windows of 192) to 1.6 times (of 512) as fast: GLIBC_TUNABLES=glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=8589934592:
glibc.malloc.trim_threshold=17179869184:glibc.malloc.top_pad=268435456 (one line) before the command.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from seka.miniature import path
from seka.miniature.batches import Stream
from seka.miniature.corpus import documents
from seka.miniature.corpus.asking import LISTED
from seka.miniature.model import Network, Shape, adopt, document_mask, export, low_precision, precision
from seka.miniature.optimiser import optimisers
from seka.miniature.probe import accuracies, validation_loss
from seka.miniature.tokenizer import train_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

FREE = ("minutes", "steps", "device", "compiled")
"""What of a recipe may change when a run goes on."""
PROBED = (
    "conflict", "several", "biography", "passage", "override", "records", "opening", "pronouns", "choice", "signature",
    "dialogue",
)  # fmt: skip
"""Kinds of cases that training looks at."""
Report = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Recipe:
    """All that decides a run, together with the code: budget in minutes or, when `steps` is set, in steps.

    start: folder of an exported model whose weights the run begins with; "" draws new ones.
    answer_weight: how much more the tokens of an answer weigh in the loss than others.
    skips: share of documents that skip positions, so that short ones teach to look far back.
    """

    minutes: float = 60.0
    steps: int = 0
    seed: int = 0
    shape: Shape = field(default_factory=Shape)
    tokens: int = 6144
    widths: tuple[int, ...] = (192, 512, 1024)
    muon: float = 0.02
    adam: float = 3e-3
    warm_up: int = 60
    decay: float = 0.4
    answer_weight: float = 5.0
    skips: float = 0.3
    device: str = "cpu"
    compiled: bool = True
    start: str = ""


def rate(used: float, step: int, recipe: Recipe) -> float:
    """Share of the peak learning rate: warm-up by steps, then 1, then linearly to 0 over the last part of the budget."""
    return min(1.0, (step + 1) / recipe.warm_up, max(0.0, (1 - used) / recipe.decay))


class Run:
    """One training run in a folder: tokenizer, checkpoint.pt and log.jsonl live there."""

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        self.recipe, self.folder = recipe, folder
        folder.mkdir(parents=True, exist_ok=True)
        self.tokenizer = self._tokenizer()
        self.network = Network(recipe.shape)
        self.network.initialise(torch.Generator().manual_seed(recipe.seed))
        if recipe.start:
            adopt(self.network, Path(recipe.start), self.tokenizer)
        checkpoint = folder / "checkpoint.pt"
        if not checkpoint.exists():
            self._remember(Path(recipe.start) / "training_figures.json" if recipe.start else None)
        self.network.to(recipe.device)
        self.optimisers = optimisers(self.network, recipe.muon, recipe.adam)
        self.stream = Stream(
            self.tokenizer, recipe.seed, "training", recipe.tokens, recipe.answer_weight, recipe.widths, recipe.skips
        )
        self.step, self.seconds, self.seen = 0, 0.0, 0
        if checkpoint.exists():
            self._restore(checkpoint)
        self.loss = torch.compile(self.network.loss, dynamic=False) if recipe.compiled else self.network.loss

    def _tokenizer(self) -> PreTrainedTokenizerFast:
        from transformers import PreTrainedTokenizerFast

        place = self.folder / "tokenizer"
        context = self.recipe.shape.context
        if not place.exists():
            start, size = self.recipe.start, self.recipe.shape.vocabulary
            tokenizer = PreTrainedTokenizerFast.from_pretrained(start, model_max_length=context) if start else None
            if tokenizer is None or len(tokenizer) != size:
                tokenizer = train_tokenizer(documents.documents(self.recipe.seed, "training", 0), size, context)
            tokenizer.save_pretrained(place)
        loaded: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(place)
        return loaded

    def _remember(self, earlier: Path | None) -> None:
        """Keep what is known of the run that this one begins with, and that alone: shipping may overwrite it."""
        kept = self.folder / "before.json"
        kept.unlink(missing_ok=True)
        if earlier is not None and earlier.exists():
            kept.write_text(earlier.read_text(encoding="utf-8"), encoding="utf-8")

    def _restore(self, path: Path) -> None:
        saved = torch.load(path, map_location=self.recipe.device, weights_only=True)
        here, there = ({k: v for k, v in r.items() if k not in FREE} for r in (asdict(self.recipe), saved["recipe"]))
        if other := [k for k in here if here[k] != there.get(k)]:
            raise ValueError(
                f"{path} belongs to a run with another {', '.join(other)}; choose another folder or delete it"
            )
        self.network.load_state_dict(saved["network"])
        for optimiser, state in zip(self.optimisers, saved["optimisers"], strict=True):
            optimiser.load_state_dict(state)
        self.stream.restore(saved["stream"])
        self.step, self.seconds, self.seen = saved["step"], saved["seconds"], saved["seen"]

    def save(self) -> None:
        """Write the checkpoint; a run that is stopped while writing keeps the old one."""
        state = {
            "recipe": asdict(self.recipe),
            "network": self.network.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "stream": self.stream.state(),
            "step": self.step,
            "seconds": self.seconds,
            "seen": self.seen,
        }
        torch.save(state, self.folder / "checkpoint.new")
        (self.folder / "checkpoint.new").rename(self.folder / "checkpoint.pt")

    def prepare(self) -> None:
        """Compile the step for every window length now, so that the clock of the budget counts training alone."""
        for width in self.recipe.widths:
            rows = max(1, self.recipe.tokens // width)
            ids = torch.zeros(rows, width, dtype=torch.long, device=self.recipe.device)
            with precision(self.recipe.device):
                weights = torch.ones(rows, width, device=ids.device)  # one tensor twice would be another graph
                self.loss(ids, ids.clone(), self._mask(ids), ids.clone(), weights).backward()
        self.network.zero_grad(set_to_none=True)

    def _mask(self, documents: torch.Tensor) -> torch.Tensor:
        kind = torch.bfloat16 if low_precision(self.recipe.device) else torch.float32
        return document_mask(documents, kind)

    @property
    def used(self) -> float:
        """Share of the budget that is used up."""
        if self.recipe.steps:
            return self.step / self.recipe.steps
        return self.seconds / (60 * self.recipe.minutes)

    def advance(self) -> float:
        """One step; returns its loss in nats per token."""
        started = time.perf_counter()
        share = rate(self.used, self.step, self.recipe)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = group["peak"] * share
        batch = self.stream.next().to(self.recipe.device)
        with precision(self.recipe.device):
            mask = self._mask(batch.documents)
            loss = self.loss(batch.ids, batch.positions, mask, batch.targets, batch.weights)
        loss.backward()
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        value = float(loss.detach())
        self.step += 1
        self.seen += batch.ids.numel()
        self.seconds += time.perf_counter() - started
        return value

    def figures(self) -> dict[str, float]:
        """Validation loss, and how often the first token of a greedy answer is right, by kind."""
        self.network.eval()
        found = {"validation loss": validation_loss(self.network, self.tokenizer, self.recipe)}
        for kind in PROBED:
            rows = documents.cases(kind, 64, "validation", self.recipe.seed, LISTED)
            found |= {f"{kind} {name}": value for name, value in accuracies(self.network, self.tokenizer, rows).items()}
        self.network.train()
        return found


def train(
    recipe: Recipe, folder: Path, report: Report | None = None, save_every: float = 180.0, probe_every: int = 200
) -> Run:
    """Run or resume until the budget is used up; `report` gets one flat dict per log line, which log.jsonl gets too.

    Figures on validation rows are in every line that passes `probe_every` steps; 0 leaves them out.
    """
    run = Run(recipe, folder)
    if recipe.compiled:
        run.prepare()
    saved, losses, began, tokens = time.monotonic(), [], time.monotonic(), run.seen
    while run.used < 1:
        losses.append(run.advance())
        if len(losses) == 20 or run.used >= 1:
            line: dict[str, Any] = {
                "step": run.step,
                "minutes": round(run.seconds / 60, 2),
                "tokens": run.seen,
                "tokens per second": round((run.seen - tokens) / (time.monotonic() - began)),
                "loss": round(sum(losses) / len(losses), 4),
            }
            losses, began, tokens = [], time.monotonic(), run.seen
            if probe_every and (run.step % probe_every < 20 or run.used >= 1):
                line |= run.figures()
                began = time.monotonic()
            with (folder / "log.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
            if report:
                report(line)
        if time.monotonic() - saved > save_every:
            run.save()
            saved = time.monotonic()
    run.save()
    return run


def ship(run: Run, folder: Path) -> None:
    """Write the model (bfloat16) and the tokenizer as transformers reads them, and what there is to say of the run."""
    end = run.tokenizer.eos_token_id
    assert isinstance(end, int)
    export(run.network, end).bfloat16().save_pretrained(folder)
    run.tokenizer.save_pretrained(folder)
    lines = [json.loads(line) for line in (run.folder / "log.jsonl").read_text().splitlines()]
    kept = run.folder / "before.json"
    before = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    figures = {
        "before": [*before.pop("before", []), before] if before else [],
        "recipe": asdict(run.recipe),
        "parameters": sum(p.numel() for p in run.network.parameters()),
        "steps": run.step,
        "tokens": run.seen,
        "minutes": round(run.seconds / 60, 1),
        "device": run.recipe.device,
        "threads": torch.get_num_threads(),
        "last": lines[-1] | run.figures(),
        "shares": shares(run),
        "documents": documents.digest(),
    }
    (folder / "training_figures.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def shares(run: Run, count: int = 4000) -> dict[str, float]:
    """Share of every kind of document in the corpus's tokens, counted on the first documents."""
    totals: dict[str, int] = defaultdict(int)
    for index in range(count):
        document = documents.draw(run.recipe.seed, "training", index)
        totals[document.kind] += len(run.tokenizer(document.text)["input_ids"]) + 1
    return {kind: round(total / sum(totals.values()), 4) for kind, total in sorted(totals.items(), key=lambda t: -t[1])}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m seka miniature train`."""
    parser.add_argument("--minutes", type=float, default=60.0, help="budget of training time (default 60)")
    parser.add_argument("--steps", type=int, default=0, help="budget in steps instead; repeatable on one thread count")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", default="", help="folder of a model to train on from, with a fresh optimiser")
    parser.add_argument("--rate", type=float, default=1.0, help="learning rates as a multiple of the usual ones")
    parser.add_argument("--tokens", type=int, default=Recipe.tokens, help=f"tokens of a step (default {Recipe.tokens})")
    parser.add_argument("--out", type=Path, default=Path("runs/miniature"), help="folder of log and checkpoint")
    parser.add_argument("--ship", action="store_true", help="write the result to assets/miniature, not to OUT/model")


def run(args: argparse.Namespace, report: Callable[[str], None] | None = None) -> None:
    """Train, or go on with, the run in `args.out`; `report` gets one line for each line of its log."""

    def tell(line: dict[str, Any]) -> None:
        if report:
            report(", ".join(f"{name} {value}" for name, value in line.items()))

    recipe = Recipe(
        args.minutes, args.steps, args.seed, device=args.device, start=args.start,
        tokens=args.tokens, muon=Recipe.muon * args.rate, adam=Recipe.adam * args.rate,
    )  # fmt: skip
    done = train(recipe, args.out, tell)
    ship(done, path() if args.ship else args.out / "model")
