"""A model divided among two processes says what one process says: computed by hand here, and by `torchrun` beside.

In float64, where only the order of sums differs. Most families give each process half of the KV heads; OLMo 2 and Phi-3
gather them before the keys are final, so that each process has all. GPT-NeoX and Phi-3 make them in a fused projection.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from byhand import Plan, run
from conftest import PROMPTS, TRIPLETS, build_model, build_tokenizer
from decoding import greedy
from families import FAMILIES
from parallel_worker import CASES, LETTERS, NEW, ROUTERS, options
from setting import close, forward, invent, last, rows_of, steerable
from transformers import AutoModelForCausalLM

import seka
from seka import Projection, Router, Steering
from seka.attention import attention_on_highlight
from seka.fingerprint import fingerprint

ROOT = Path(__file__).resolve().parents[1]
GATHERED = ("olmo2", "phi3")
DIVIDED = ("qwen3", "llama", "gemma3_text", "gpt_neox")
GAINS = {family: FAMILIES[family].gain for family in (*DIVIDED, *GATHERED)}
RANKS = (0, 1)
SECONDS = 300  # it takes 40 to 50 on two busy cores
MODES: dict[str, dict[str, Any]] = {
    "greedy": {"do_sample": False},
    "no cache": {"do_sample": False, "use_cache": False},
    "beams": {"do_sample": False, "num_beams": 3},
    "sampling": {"do_sample": True},
}


@dataclass(frozen=True)
class Case:
    """One family: the model on one device, its projections, and what each process found."""

    family: str
    model: Any
    experts: list[Projection]
    found: list[dict[str, Any]]
    folder: Path

    @property
    def gain(self) -> float:
        return GAINS[self.family]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that two processes have filled."""
    if not (torch.distributed.is_available() and torch.distributed.is_gloo_available()):
        pytest.skip("this build of torch has no gloo, which processes on a CPU talk by")
    folder = tmp_path_factory.mktemp("shared")
    for family in GAINS:
        _save(steerable(family), folder / family)
        model = _load(folder / family)
        for seed, letter in enumerate(LETTERS):
            invent(model, seed).save(folder / family / f"{letter}.safetensors")
        invent(steerable(family, seed=1)).save(folder / family / "other.safetensors")
    _save(build_model("mixtral", torch.float32), folder / "mixtral")  # on a CPU experts are not divided in float64
    invent(_load(folder / "mixtral")).save(folder / "mixtral" / "a.safetensors")
    uneven = {"hidden_size": 96, "num_attention_heads": 6, "num_key_value_heads": 3}
    _save(build_model("llama", **uneven), folder / "uneven")
    texts = [(t.context, t.question, t.answer, t.other_question) for t in TRIPLETS]
    task = {"gains": GAINS, "prompts": PROMPTS, "modes": MODES, "triplets": texts}
    (folder / "task.json").write_text(json.dumps(task))
    _torchrun(folder)
    return folder


def _save(model: Any, folder: Path) -> None:
    model.save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)


def _load(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype="auto").eval()


def _torchrun(folder: Path) -> None:
    """Two processes on this machine; a free port is found for them, and all of them end with the test."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    if sys.platform == "linux":
        environment["GLOO_SOCKET_IFNAME"] = "lo"
    running = subprocess.Popen(
        [*command, str(ROOT / "tests" / "parallel_worker.py"), str(folder)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = running.communicate(timeout=SECONDS)
    except BaseException:  # too late, or interrupted: none of them stays behind
        os.killpg(running.pid, signal.SIGKILL)
        raise
    assert running.returncode == 0, said[-4000:]


@pytest.fixture(scope="module", params=GAINS)
def case(request: pytest.FixtureRequest, shared: Path) -> Case:
    family = str(request.param)
    found = [torch.load(shared / f"{family}.{rank}.pt", weights_only=True) for rank in RANKS]
    experts = [Projection.load(shared / family / f"{letter}.safetensors") for letter in LETTERS]
    return Case(family, _load(shared / family), experts, found, shared)


def tokens() -> Any:
    return seka.encode([seka.Prompt.marked(text) for text in PROMPTS], build_tokenizer())


def check_logits(case: Case, name: str, plans: list[Plan | None]) -> None:
    """Each row by hand, on every process."""
    for row, (ids, marks) in enumerate(rows_of(tokens())):
        expected, _ = run(case.model, case.family, ids, marks, plans[row])
        for found in case.found:
            torch.testing.assert_close(last(found[name], row, len(ids)), expected, rtol=0, atol=close(case.family))


def test_each_process_holds_its_heads(case: Case) -> None:
    """Or the rest would prove nothing about slices."""
    layers = len(case.experts[0].layers)
    heads = len(case.experts[0].part(case.experts[0].layers[0]).present)
    held = [[0, heads]] * 2 if case.family in GATHERED else [[0, heads // 2], [heads // 2, heads]]
    assert [found["held"] for found in case.found] == [[each] * layers for each in held]


def test_the_fingerprint_is_that_of_the_whole_model(case: Case) -> None:
    for found in case.found:
        assert found["weights"] == fingerprint(case.model)["weights"]
        assert found["mismatch"].startswith("ProjectionMismatch")
        assert "same shape but other weights" in found["mismatch"]


def test_plain_logits_are_those_of_one_process(case: Case) -> None:
    check_logits(case, "plain", [None] * 3)
    assert all(torch.equal(found["plain"], found["plain again"]) for found in case.found)


@pytest.mark.parametrize("name", CASES)
def test_steered_logits_are_those_by_hand(case: Case, name: str) -> None:
    plan = Plan(case.experts[:1], **options(name, case.experts[0], case.gain))
    check_logits(case, name, [plan] * 3)
    assert all((found[name] - found["plain"]).abs().max() > 1e-3 for found in case.found)


@pytest.mark.parametrize("name", ROUTERS)
def test_routing_is_that_by_hand_and_whole_on_every_process(case: Case, name: str) -> None:
    plan = Plan(case.experts, case.gain, **{"score": "energy", **ROUTERS[name]})
    check_logits(case, name, [plan] * 3)
    for row, (ids, marks) in enumerate(rows_of(tokens())):
        _, alphas = run(case.model, case.family, ids, marks, plan)
        for found in case.found:
            for layer, alpha in alphas.items():
                torch.testing.assert_close(found[f"{name} routing"][layer][row], alpha, rtol=0, atol=1e-6)
    assert all((found[name] - found["plain"]).abs().max() > 1e-3 for found in case.found)


def test_baselines_are_those_of_one_process(case: Case) -> None:
    experts = dict(zip(LETTERS, case.experts, strict=True))
    prompts = [seka.Prompt.marked(text) for text in PROMPTS]
    for name, expert in seka.with_baselines(case.model, build_tokenizer(), experts, prompts).items():
        for layer, part in expert.parts.items():
            for found in case.found:
                torch.testing.assert_close(found["baselines"][name][layer], part.baseline, rtol=0, atol=1e-6)


def test_rows_are_steered_each_their_own_way(case: Case) -> None:
    strong, router = Plan(case.experts[:1], case.gain), Plan(case.experts, case.gain, score="energy")
    check_logits(case, "rows", [strong, None, router])


def test_attention_is_that_of_all_heads(case: Case) -> None:
    steering = Steering(case.model, case.experts[0], case.gain)
    router = Steering(case.model, Router(dict(zip(LETTERS, case.experts, strict=True))), case.gain)
    with seka.steer(case.model, tokens(), [steering, None, router]):
        forward(case.model, tokens())
        wanted = attention_on_highlight(case.model, tokens())
    for found in case.found:
        for layer, share in wanted.items():
            assert share.shape == (3, 4)
            torch.testing.assert_close(found["attention"][layer], share, rtol=0, atol=1e-6)


def test_answers_are_those_by_hand(case: Case) -> None:
    ids, marks = rows_of(tokens())[0]
    plain = greedy(case.model, case.family, ids, marks, None, NEW)
    steered = greedy(case.model, case.family, ids, marks, Plan(case.experts[:1], case.gain), NEW)
    assert steered != plain
    for found in case.found:
        assert found["compare"] == [plain, steered]
        assert found["greedy"] == found["no cache"] == steered


@pytest.mark.parametrize("name", ["beams", "sampling"])
def test_other_modes_say_what_one_process_says(case: Case, name: str) -> None:
    prompt, steering = seka.Prompt.marked(PROMPTS[0]), Steering(case.model, case.experts[0], case.gain)
    torch.manual_seed(3)
    alone = seka.generate(case.model, build_tokenizer(), prompt, steering, max_new_tokens=NEW, **MODES[name])
    assert all(found[name] == list(alone.ids) for found in case.found)


def test_what_processes_learn_together_is_what_one_learns(case: Case) -> None:
    """Whole, on every process; and one process takes it."""
    alone = seka.learn(case.model, build_tokenizer(), TRIPLETS, min_attention_ratio=0.1)
    for rank in RANKS:
        learnt = Projection.load(case.folder / f"{case.family}.learnt.{rank}.safetensors")
        assert learnt.header["triplets"] == alone.header["triplets"]
        for layer in alone.layers:
            one, other = alone.part(layer), learnt.part(layer)
            torch.testing.assert_close(other.relative_shift, one.relative_shift, rtol=1e-6, atol=0)
            for a, b in ((one.positive, other.positive), (one.negative, other.negative)):
                torch.testing.assert_close(b.values, a.values, rtol=1e-6, atol=1e-6)
                torch.testing.assert_close(b.projector(), a.projector(), rtol=0, atol=1e-5)
        Steering(case.model, learnt, 1.0)


def test_a_mixture_of_experts(shared: Path) -> None:
    """Whose experts' weights lie interleaved in each process; float32."""
    model, rows = _load(shared / "mixtral"), rows_of(tokens())
    projection = Projection.load(shared / "mixtral" / "a.safetensors")
    for rank in RANKS:
        found = torch.load(shared / f"mixtral.{rank}.pt", weights_only=True)
        assert found["weights"] == fingerprint(model)["weights"]
        assert (found["steered"] - found["plain"]).abs().max() > 1e-1
        for row, (ids, marks) in enumerate(rows):
            expected, _ = run(model, "mixtral", ids, marks, Plan([projection], 8.0))
            torch.testing.assert_close(last(found["steered"], row, len(ids)), expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        ("data", r"UnsupportedModel: DistributedDataParallel cannot be steered.*DistributedDataParallel\.module"),
        ("pieces", r"UnsupportedModel: FSDPLlamaForCausalLM cannot be steered.*\(FSDP\)"),
        ("stages", r"UnsupportedModel: LlamaForCausalLM cannot be steered.*\(pipeline parallel\)"),
        ("uneven", "UnsupportedModel: this 'llama' model with 3 key heads does not run on 2 processes"),
    ],
)
def test_other_ways_of_sharing_are_refused(shared: Path, way: str, reason: str) -> None:
    for rank in RANKS:
        assert re.match(reason, torch.load(shared / f"refusals.{rank}.pt", weights_only=True)[way])
