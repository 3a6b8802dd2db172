"""The command line. Reads arguments, calls the library, prints; exit status 2 and one line on stderr for a user's error."""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

#: Steps of making the embedded model; each module has add_arguments(parser) and run(args, report).
MINIATURE = ("train", "compare", "average", "chances", "learn", "card", "check")
ATTENTION = "attention: eager, sdpa, flex_attention, flash_attention_2, ... (default auto: the fastest that can be had)"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (try {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0, or 2 for a user's error."""
    args = _parser(list(sys.argv[1:] if argv is None else argv)).parse_args(argv)
    from transformers.utils import logging

    logging.disable_progress_bar()  # stderr is for what went wrong
    try:
        args.run(args)
    except (ValueError, TypeError, OSError) as error:
        message = " ".join(str(error).split())
        print(f"seka: {message}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _parser(argv: list[str]) -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m seka", description="Prompt highlighting that a language model really follows.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)

    run = commands.add_parser("generate", help="plain and steered answer to a **marked** prompt")
    run.add_argument("text", help="the prompt; **emphasise** and ~~ignore~~ mark words, **more**{2} with a weight")
    run.add_argument("--model", help="model id or folder (default: the embedded model)")
    run.add_argument("--attn", default="auto", metavar="NAME", help=ATTENTION)
    source = run.add_mutually_exclusive_group()
    source.add_argument("--expert", metavar="NAME", help="one of the embedded model's experts")
    source.add_argument("--adaptive", action="store_true", help="mix the embedded model's experts (the default)")
    source.add_argument("--projection", metavar="FILE", help="a projection learnt on the model")
    source.add_argument("--router", metavar="JSON", help='a file {"expert": "path", ...}, mixed')
    run.add_argument("--strength", type=float, metavar="G", help="gain (default: the one the projection recommends)")
    run.add_argument(
        "--negative", type=float, default=0.0, metavar="G", help="gain of the negative channel (default 0)"
    )
    run.add_argument(
        "--layers",
        help="all, lastN, firstN, 3,5, or heads of layers, '0:1,3;4:0' (default: what the projection recommends)",
    )
    run.add_argument(
        "--min-shift", type=float, default=0.0, help="steer heads of at least this relative shift (default 0)"
    )
    run.add_argument("--max-new-tokens", type=int, default=40, metavar="N")
    run.add_argument("--temperature", type=float, default=0.0, metavar="T", help="0 is greedy (the default)")
    run.add_argument("--seed", type=int, default=0)
    run.add_argument("--chat", action="store_true", help="put the prompt in the model's chat template")
    run.add_argument("--literal", action="store_true", help="take ** and ~~ as they are; nothing is marked")
    run.add_argument("--json", action="store_true", help="print one JSON object")
    run.set_defaults(run=_generate)

    learn = commands.add_parser("learn", help="learn a projection for a model from contrastive triplets")
    learn.add_argument("--model", help="model id or folder (default: the embedded model)")
    learn.add_argument("--attn", default="auto", metavar="NAME", help=ATTENTION)
    learn.add_argument("--out", required=True, metavar="FILE", help="safetensors file to write")
    learn.add_argument("--triplets", metavar="FILE", help="JSONL (default: the bundled triplets)")
    learn.add_argument("--layers", default="all")
    learn.add_argument("--energy", type=float, default=0.9)
    learn.add_argument("--batch-size", type=int, default=16)
    learn.add_argument(
        "--min-attention-ratio", type=float, help="keep triplets whose question raises attention this much"
    )
    learn.add_argument("--chat", action="store_true", help="learn through the model's chat template")
    learn.add_argument("--recommended-gain", type=float, help="gain to store as recommended")
    learn.add_argument(
        "--recommended-layers",
        metavar="LAYERS",
        help="where to steer, stored as recommended: lastN, firstN, 3,5, or '0:1,3;4:0'",
    )
    learn.add_argument("--name", default="")
    learn.add_argument("--description", default="")
    learn.set_defaults(run=_learn)

    inspect = commands.add_parser("inspect", help="say what a projection holds")
    inspect.add_argument("file")
    inspect.add_argument("--json", action="store_true")
    inspect.set_defaults(run=_inspect)

    convert = commands.add_parser("convert", help="turn a published .pt bank into a projection")
    convert.add_argument("source", metavar="IN.pt")
    convert.add_argument("out", metavar="OUT.safetensors")
    convert.add_argument("--model", required=True, help="the model the bank was built on")
    convert.add_argument("--negative", metavar="NEG.pt", help="the bank's negative twin")
    convert.add_argument(
        "--energy", type=float, default=0.9, help="rank rule for a bank of singular vectors (default 0.9)"
    )
    convert.add_argument("--layers", help="layer ids of a bank that names none, as 3,5,7")
    convert.set_defaults(run=_convert)

    miniature = commands.add_parser(
        "miniature", help="make the embedded model: train it, learn its experts, write its card"
    )
    steps = miniature.add_subparsers(dest="step", required=True, metavar="STEP", parser_class=_Parser)
    for step in MINIATURE if argv[:1] == ["miniature"] else ():
        module = importlib.import_module(f"seka.miniature.{step}")
        inner = steps.add_parser(step, help=(module.__doc__ or "").splitlines()[0])
        module.add_arguments(inner)
        inner.set_defaults(run=functools.partial(module.run, report=functools.partial(print, flush=True)))

    app = commands.add_parser("app", help="serve the page on http://127.0.0.1:7860")
    app.set_defaults(run=_app)
    return parser


def _generate(args: argparse.Namespace) -> None:
    import seka
    from seka.loading import load

    model, tokenizer = load(args.model, attn=args.attn)
    prompt = seka.Prompt.marked(args.text, markers=None if args.literal else seka.MARKERS)
    if prompt.unpaired:
        print(f"seka: {len(prompt.unpaired)} marker(s) without a partner taken as text", file=sys.stderr)
    if args.chat:
        prompt = seka.chat(prompt, tokenizer)
    steering = seka.Steering(
        model,
        _source(args),
        positive=args.strength,
        negative=args.negative,
        layers=args.layers,
        min_shift=args.min_shift,
    )
    if args.temperature < 0:
        raise ValueError(f"temperature is {args.temperature}; wanted 0 (greedy) or more")
    sampling = {"do_sample": True, "temperature": args.temperature, "seed": args.seed} if args.temperature else {}
    pair = seka.compare(model, tokenizer, prompt, steering, max_new_tokens=args.max_new_tokens, **sampling)
    if not args.json:
        print(f"plain:   {pair.plain.text}\nsteered: {pair.steered.text}")
        if not prompt.spans:
            print("seka: nothing is marked, so both answers are equal", file=sys.stderr)
        return
    record: dict[str, Any] = {
        "prompt": prompt.text,
        "spans": [list(span) for span in prompt.spans],
        "weights": list(prompt.weights or ()),
        "plain": pair.plain.text,
        "steered": pair.steered.text,
        "finish": {"plain": pair.plain.finish, "steered": pair.steered.finish},
        "strength": steering.positive,
        "experts": pair.steered.routing.totals() if pair.steered.routing else None,
        "prompt_tokens": pair.prompt_tokens,
        "seconds": round(pair.seconds, 3),
        "seka": seka.__version__,
    }
    print(json.dumps(record, ensure_ascii=False))


def _source(args: argparse.Namespace) -> Any:
    import seka
    from seka.loading import EMBEDDED

    if args.projection:
        projection = seka.Projection.load(args.projection)
        if args.strength is None and projection.recommended_gain is None:
            raise ValueError(f"{args.projection} recommends no strength; give one, for example --strength 0.2")
        return projection
    if args.router:
        return seka.Router.load(args.router)
    if args.model not in (None, EMBEDDED):
        raise ValueError(
            "another model needs --projection FILE or --router JSON; learn one: python -m seka learn --model M --out F"
        )
    if not args.expert:
        return seka.miniature.router()
    experts = seka.miniature.experts() | seka.miniature.alone()
    if args.expert not in experts:
        raise ValueError(f"no expert {args.expert!r}; wanted one of {', '.join(experts)}")
    return seka.Projection.load(experts[args.expert])


def _learn(args: argparse.Namespace) -> None:
    import seka
    from seka.loading import load

    triplets = seka.triplets.read(args.triplets) if args.triplets else seka.triplets.bundled()
    model, tokenizer = load(args.model, attn=args.attn)
    _check_recommended(args, model)

    def progress(done: int, total: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{done} of {total} triplets", end="" if done < total else "\n", file=sys.stderr)
        elif done * 10 // total > (done - args.batch_size) * 10 // total:  # in a log, a line for every tenth
            print(f"{done} of {total} triplets", file=sys.stderr)

    projection = seka.learn(
        model,
        tokenizer,
        triplets,
        layers=args.layers,
        energy=args.energy,
        batch_size=args.batch_size,
        chat_template=args.chat,
        min_attention_ratio=args.min_attention_ratio,
        name=args.name or Path(args.out).stem,
        description=args.description,
        progress=progress,
    )
    recommended = {"recommended_gain": args.recommended_gain, "recommended_layers": args.recommended_layers}
    projection.with_header(**recommended).save(args.out)
    counts = projection.header["triplets"]
    left = counts["given"] - counts["used"]
    print(
        f"{args.out}: {len(projection.layers)} layers from {counts['used']} triplets ({counts['tokens']} tokens, {left} left out)"
    )


def _check_recommended(args: argparse.Namespace, model: Any) -> None:
    """ValueError for a gain that is none and for what will not be learnt, before the learning takes its time."""
    from seka.layers import choose
    from seka.sites import sites

    gain = args.recommended_gain
    if gain is not None and not 0 < gain < float("inf"):
        raise ValueError(f"--recommended-gain is {gain}; wanted a finite number above 0")
    if args.recommended_layers is None or args.recommended_layers.strip().lower() == "all":
        return
    wanted, learnt = ([s.layer for s in choose(a, sites(model))] for a in (args.recommended_layers, args.layers))
    if missing := sorted({*wanted} - {*learnt}):
        raise ValueError(
            f"--recommended-layers {args.recommended_layers} names layers {missing}, and --layers {args.layers} leaves "
            f"them out; wanted layers out of {learnt}"
        )


def _inspect(args: argparse.Namespace) -> None:
    import seka

    projection = seka.Projection.load(args.file)
    rows: list[dict[str, Any]] = [
        {
            "layer": layer,
            "rank": projection.part(layer).positive.rank.tolist(),
            "relative_shift": [None if x != x else round(x, 4) for x in projection.relative_shift[layer].tolist()],
            "present": projection.part(layer).present.tolist(),
            "scale": [round(x, 4) for x in projection.part(layer).scale.tolist()],
        }
        for layer in projection.layers
    ]
    if args.json:
        print(json.dumps({**projection.header, "heads": rows}, ensure_ascii=False))
        return
    header = projection.header
    print(f"{projection.name or args.file}: {projection.description}")
    print(f"model {header['model']!r}, recipe {header.get('recipe')}")
    print(f"recommended gain {projection.recommended_gain}, recommended layers {projection.recommended_layers}")
    print("layer  rank, relative shift and scale of each KV head (- absent, ? unknown)")
    columns = ("rank", "relative_shift", "present", "scale")
    for row in rows:
        cells = [
            f"{'-':^17}" if not here else f"{rank:4d} {'   ?  ' if shift is None else f'{shift:6.3f}'} {scale:5.3g}"
            for rank, shift, here, scale in zip(*(row[name] for name in columns), strict=True)
        ]
        print(f"{row['layer']:5d}  " + " ".join(cells))


def _convert(args: argparse.Namespace) -> None:
    from seka.loading import load
    from seka.published import convert

    model, _ = load(args.model)
    layers = [int(layer) for layer in args.layers.split(",")] if args.layers else None
    projection = convert(args.source, model, args.negative, args.energy, layers)
    projection.save(args.out)
    print(f"{args.out}: {len(projection.layers)} layers; shifts unknown, so min_shift stays 0")


def _app(_args: argparse.Namespace) -> None:
    try:
        page = importlib.import_module("app.main")
    except ModuleNotFoundError as error:
        raise ValueError(
            f"the page could not be loaded ({error}); run this from the repository root, or: make app"
        ) from None
    page.main()


if __name__ == "__main__":
    sys.exit(main())
