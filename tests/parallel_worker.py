"""One of the processes that share a model: what `torchrun` starts for test_parallel.py.

torchrun ... parallel_worker.py FOLDER: reads FOLDER/task.json, computes with each family's model divided among the
processes, and writes FOLDER/FAMILY.RANK.pt. It judges nothing; the test does.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel
from transformers import AutoModelForCausalLM
from transformers.distributed.configuration_utils import DistributedConfig

import seka
from seka import Projection, Router, Steering
from seka.attention import attention_on_highlight
from seka.fingerprint import fingerprint
from seka.loading import load
from seka.sites import sites
from seka.tokens import Tokens

NEW = 5
LETTERS = "abc"

CASES = ("strong", "weak, both channels", "a head of the first process", "heads of the last process")
ROUTERS: dict[str, dict[str, Any]] = {
    "online": {},
    "two_pass": {"way": "two_pass", "score": "signed"},
    "relative": {"score": "relative"},
}


def options(case: str, projection: Projection, gain: float) -> dict[str, Any]:
    """How the projection is applied; `gain` is one that changes tokens."""
    first, *rest = projection.layers
    last = len(projection.part(first).present) - 1
    return {
        "strong": {"positive": gain},
        "weak, both channels": {"positive": 0.7, "negative": 0.4},
        "a head of the first process": {"positive": gain, "heads": {first: [0]}},
        "heads of the last process": {"positive": gain, "heads": {layer: [last] for layer in (first, *rest[:1])}},
    }[case]


def logits(model: Any, tokens: Tokens) -> torch.Tensor:
    positions = (tokens.attention.cumsum(-1) - 1).clamp(min=0)
    with torch.no_grad():
        return model(tokens.ids, attention_mask=tokens.attention, position_ids=positions).logits


def results(family: str, folder: Path, task: dict[str, Any]) -> dict[str, Any]:
    """Everything that must be what one process says."""
    model, tokenizer = load(str(folder / family), tp_plan="auto")
    prompts = [seka.Prompt.marked(text) for text in task["prompts"]]
    tokens, gain = seka.encode(prompts, tokenizer), task["gains"][family]
    experts = {letter: Projection.load(folder / family / f"{letter}.safetensors") for letter in LETTERS}
    router = {name: Steering(model, Router(experts, **how), gain) for name, how in ROUTERS.items()}
    cases = {name: Steering(model, experts["a"], **options(name, experts["a"], gain)) for name in CASES}
    out: dict[str, Any] = {
        "held": [[site.held.start, site.held.stop] for site in sites(model)],
        "weights": fingerprint(model)["weights"],
        "plain": logits(model, tokens),
    }
    for name, steering in {**cases, **router}.items():
        with steering.on(tokens) as session:
            out[name] = logits(model, tokens)
        out[f"{name} routing"] = session.routing.coefficients if session.routing is not None else None
    rows = [cases["strong"], None, router["online"]]
    with seka.steer(model, tokens, rows):
        out["rows"] = logits(model, tokens)
        out["attention"] = attention_on_highlight(model, tokens)
    out["plain again"] = logits(model, tokens)
    compared = seka.compare(model, tokenizer, prompts[0], cases["strong"], max_new_tokens=NEW)
    out["compare"] = [list(compared.plain.ids), list(compared.steered.ids)]
    for name, mode in task["modes"].items():
        torch.manual_seed(3)
        answer = seka.generate(model, tokenizer, prompts[0], cases["strong"], max_new_tokens=NEW, **mode)
        out[name] = list(answer.ids)
    based = seka.with_baselines(model, tokenizer, experts, prompts)
    out["baselines"] = {name: {n: part.baseline for n, part in expert.parts.items()} for name, expert in based.items()}
    triplets = [seka.Triplet(*each) for each in task["triplets"]]
    learnt = seka.learn(model, tokenizer, triplets, min_attention_ratio=0.1)
    learnt.save(folder / f"{family}.learnt.{torch.distributed.get_rank()}.safetensors")
    other = Projection.load(folder / family / "other.safetensors")
    out["mismatch"] = error(lambda: Steering(model, other, 1.0))
    return out


def mixture(folder: Path, task: dict[str, Any]) -> dict[str, Any]:
    """A mixture of experts, each of whose packed weights is divided too."""
    model, tokenizer = load(str(folder / "mixtral"), tp_plan="auto")
    tokens = seka.encode([seka.Prompt.marked(text) for text in task["prompts"]], tokenizer)
    steering = Steering(model, Projection.load(folder / "mixtral" / "a.safetensors"), 8.0)
    with steering.on(tokens):
        steered = logits(model, tokens)
    return {"weights": fingerprint(model)["weights"], "plain": logits(model, tokens), "steered": steered}


def refusals(folder: Path) -> dict[str, str]:
    """What is said about other ways of sharing a model."""
    plain = AutoModelForCausalLM.from_pretrained(folder / "llama", dtype="auto")

    def shared(name: str, **plan: Any) -> Callable[[], Any]:
        return lambda: sites(
            AutoModelForCausalLM.from_pretrained(folder / name, distributed_config=DistributedConfig(**plan))
        )

    return {
        "data": error(lambda: sites(DistributedDataParallel(plain))),
        "pieces": error(shared("llama", fsdp_size=2)),
        "stages": error(shared("llama", pp_size=2)),
        "uneven": error(shared("uneven", tp_plan="auto")),
    }


def error(call: Callable[[], Any]) -> str:
    try:
        call()
    except Exception as refused:
        return f"{type(refused).__name__}: {refused}"
    return ""


def main() -> None:
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    task = json.loads((folder / "task.json").read_text())
    found = {name: results(name, folder, task) for name in task["gains"]}
    found |= {"mixtral": mixture(folder, task), "refusals": refusals(folder)}
    for name, each in found.items():
        torch.save(each, folder / f"{name}.{torch.distributed.get_rank()}.pt")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
