"""On a Hugging Face Space: the front matter, and runs in a forked process that forgets, as ZeroGPU's are."""

from __future__ import annotations

import functools
import inspect
import multiprocessing
import pickle
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
import yaml
from studios import TEXT, tiny_studio

from app import page, space
from app.settings import Settings
from app.wiring import NAMES, as_is

ROOT = Path(__file__).resolve().parents[1]


class Forks:
    """Stands for `spaces`: what GPU decorates runs in a fork, with pickled arguments and answers; durations are kept."""

    def __init__(self) -> None:
        self.durations: list[int] = []

    def GPU(self, duration: Callable[..., int]) -> Callable[..., Any]:
        def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
            def answers(*args: Any, **kwargs: Any) -> Iterator[Any]:
                self.durations.append(duration(*args, **kwargs))
                given = pickle.dumps((args, kwargs))
                fork = multiprocessing.get_context("fork")
                ours, theirs = fork.Pipe()

                def work() -> None:
                    args, kwargs = pickle.loads(given)
                    found = function(*args, **kwargs)
                    for each in found if inspect.isgeneratorfunction(function) else [found]:
                        theirs.send_bytes(pickle.dumps(each))
                    theirs.send_bytes(b"")

                process = fork.Process(target=work, daemon=True)
                process.start()
                while ours.poll(60) and (told := ours.recv_bytes()):
                    yield pickle.loads(told)
                process.join(10)

            if inspect.isgeneratorfunction(function):
                return functools.wraps(function)(answers)
            return functools.wraps(function)(lambda *args, **kwargs: next(answers(*args, **kwargs)))

        return decorate


def built(forks: Forks) -> dict[str, Any]:
    demo = page.build(tiny_studio(), space.wrapper(forks, 60))
    return {fn.api_name: fn for fn in demo.fns.values() if fn.fn is not None}


def test_a_run_on_the_page_streams_out_of_a_forked_process() -> None:
    forks = Forks()
    run = built(forks)["run"]
    values = {name: getattr(Settings(), name) for name in NAMES} | {"strength": 2.0, "max_new_tokens": 3}
    request = gr.Request(session_hash="a")
    shown = list(run.fn(request, TEXT, *values.values()))
    assert "Done" in str(shown[-1])
    assert "<ins>" in str(shown[-1]) or "identical" in str(shown[-1])
    assert forks.durations == [space.seconds(3, 60)]


def test_a_sweep_has_fewer_rows_and_says_so() -> None:
    values = {name: getattr(Settings(), name) for name in NAMES} | {"strength": 2.0, "max_new_tokens": 2}
    for gpu, rows in ((space.wrapper(Forks(), 60), 4), (as_is, 6)):  # the strength that is set is one of them
        demo = page.build(tiny_studio(), gpu)
        found = {fn.api_name: fn for fn in demo.fns.values() if fn.fn is not None}
        *_, shown = found["strengths"].fn(gr.Request(session_hash="a"), TEXT, *values.values())
        assert "Done" in shown[0]
        assert shown[2].count('<th scope="row">') == rows
        assert len(found["sweep"].fn(TEXT, mode="facts", max_new_tokens=2)["strengths"]) == rows - 1
        said = " ".join(str(getattr(block, "value", "")) for block in demo.blocks.values())
        assert ("fewer than elsewhere" in said) is (rows == 4)


def test_an_endpoint_answers_out_of_a_forked_process() -> None:
    forks = Forks()
    answer = built(forks)["compare"].fn(TEXT, mode="facts", strength=2.0, max_new_tokens=4)
    assert answer["plain"]["tokens"] == 4
    assert forks.durations == [space.seconds(4, 60)]


def test_a_sweep_of_many_strengths_declares_more_seconds() -> None:
    forks = Forks()
    sweep = built(forks)["sweep"].fn
    for strengths in (None, [0.0, 1.0, 2.0, 3.0], [float(n) for n in range(16)]):
        sweep(TEXT, strengths, mode="facts", max_new_tokens=4)
    sweep(TEXT, strengths=[float(n) for n in range(8)], mode="facts", max_new_tokens=4)
    assert forks.durations == [9, 9, 12, 10]  # 8 seconds, and a quarter for every token of up to four rows
    assert space.seconds(256, 60, 10**9) == 60


def test_everything_that_runs_the_model_gets_a_gpu() -> None:
    wrapped = []

    def mark(function: Callable[..., Any]) -> Callable[..., Any]:
        wrapped.append(function)
        return function

    demo = page.build(tiny_studio(), mark)
    using = [fn for fn in demo.fns.values() if fn.concurrency_id == "model 0"]
    assert {fn.api_name for fn in using} >= {"run", "compare"}
    assert [fn.api_name for fn in using if fn.fn not in wrapped] == []


def test_longer_runs_declare_more_seconds_and_none_more_than_allowed() -> None:
    declared = [space.seconds(new, 60) for new in (1, 32, 64, 128)]
    assert declared == sorted(set(declared))
    assert space.seconds(256, 60) <= 60
    assert space.seconds(256, 30) == 30
    names = ["request", "text", "values"]
    settings = [128 if name == "max_new_tokens" else None for name in NAMES]
    assert space._new_tokens(names, (None, TEXT, *settings), {}) == 128
    assert space._new_tokens(["prompt", "max_new_tokens"], (TEXT, 7), {}) == 7
    assert space._new_tokens(["prompt", "max_new_tokens"], (TEXT,), {}) == 256
    assert space._new_tokens(["prompt", "strength", "literal"], (TEXT, 2.0, False), {}) == 1


@pytest.mark.parametrize(
    ("title", "message", "says"),
    [
        ("ZeroGPU quota exceeded", "You have exceeded your GPU quota (60s requested vs. 3s left)", "sign in"),
        ("ZeroGPU illegal duration", "requested 120s", "fewer new tokens"),
        ("ZeroGPU queue timeout", "No GPU was available after 60s", "All GPUs are taken"),
        ("ZeroGPU worker error", "GPU task aborted", "longer than it had asked for"),
        ("ZeroGPU worker error", "RuntimeError", "ended with an error"),
    ],
)
def test_without_a_gpu_a_visitor_reads_what_to_do(title: str, message: str, says: str) -> None:
    class Full:
        def GPU(self, duration: Any) -> Callable[..., Any]:
            def refuse(*_: Any, **__: Any) -> Any:
                raise gr.Error(message, title=title)

            return lambda _: refuse

    def stream(text: str) -> Iterator[str]:
        yield text

    def call(text: str) -> str:
        return text

    for function in (stream, call):
        wrapped = space.wrapper(Full(), 60)(function)
        assert inspect.isgeneratorfunction(wrapped) is inspect.isgeneratorfunction(function)
        with pytest.raises(gr.Error, match=says):
            list(wrapped(TEXT))


def test_other_errors_stay_as_they_are() -> None:
    error = gr.Error("There is no expert 'nobody'.")
    assert space.kinder(error) is error
    endpoint = page.build(tiny_studio()).fns
    (compare,) = (fn.fn for fn in endpoint.values() if fn.api_name == "compare")
    with pytest.raises(gr.Error, match="no expert 'quota'") as refused:
        compare(TEXT, "quota")
    back = pickle.loads(pickle.dumps(refused.value))  # out of the run's process
    assert space.kinder(back) is back


def test_the_front_matter_is_a_space_s() -> None:
    _, front, body = (ROOT / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    found = yaml.safe_load(front)
    assert found["sdk"] == "gradio"
    assert (ROOT / found["app_file"]).is_file()
    assert found["suggested_hardware"] == "cpu-basic"
    requirements = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    assert re.search(rf"^gradio=={re.escape(found['sdk_version'])}$", requirements, re.MULTILINE)
    assert not re.search(r"^(spaces|huggingface[-_]hub)", requirements, re.MULTILINE)
    assert "spaces" in body.lower() or "space" in body.lower()
