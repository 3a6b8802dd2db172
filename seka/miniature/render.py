"""The words of the model card around measured figures. It measures nothing and types no figure of what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seka.miniature import findings, scales, tables
from seka.miniature.corpus import asking, cases, instructions
from seka.miniature.corpus.documents import LONGEST
from seka.miniature.corpus.openclass import EVERYDAY, SHARE
from seka.miniature.corpus.replies import INSTRUCTIONS, WORKED_OUT
from seka.miniature.corpus.triplets import ASKED
from seka.miniature.corpus.wordings import PAIRS
from seka.miniature.measures import misses
from seka.miniature.measures.evaluate import TEST
from seka.miniature.measures.matching import USUAL
from seka.miniature.strength import HARM, PLATEAU, SCORED, STORIES
from seka.miniature.train import Recipe

FRONT = """---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: text-generation
---
"""
PLANNED = 180
"""Minutes of training on two cores that were meant to be enough."""
Figures = Mapping[str, Any]


def render(figures: Figures, training: Figures, chosen: Figures, recipes: Figures) -> str:
    """The whole card. figures: what figures.json holds; training, chosen, recipes: what training_figures.json,
    experts_figures.json and recipes_figures.json hold."""
    sections = figures["sections"]
    parts = [
        FRONT,
        INTRODUCTION,
        results(sections),
        trained(training, sections["datasheet"]["digest"]),
        compared(recipes, training),
        corpus(sections["datasheet"], training, chosen),
        experts(sections, chosen),
        "## How experts are weighed\n\n" + ROUTING,
        findings.routed(sections["routing"]) + "\n",
        tables.routing(sections),
        "## Both maps of the heads\n\n" + maps(sections["heads"]),
        tables.maps(sections),
        spread(sections),
        "## Side effects\n\n" + HARMS,
        tables.harms(sections),
        limits(sections, training),
        again(figures),
    ]
    return "\n".join(part.strip("\n") + "\n" for part in parts)


INTRODUCTION = """# seka-miniature

A small language model with the architecture of Qwen3, trained from scratch on text that `seka/miniature/corpus`
generates. It exists to show prompt highlighting on a model that is small enough to be in a repository: every key,
subspace and answer is real, and its weights were never trained to obey marks; how strongly the experts act in each
head was then fitted so that it does. The corpus holds no `**`, no `~~` and no steering of any kind; that one of two
things counts it says in words, and only in some documents. This card is written by `python -m seka miniature card`;
every measured figure in it is computed, none is typed.
"""
UNTOLD = sum(wording.endswith("|0.5") for wording in PAIRS.held)
DEFINITIONS = f"""Most tasks are prompts like
"Some say that Ada plays chess. Others say that Ada plays golf. Ada is a player of": two statements contradict
each other, they are *rivals*, one of them is marked, and the answer *follows* the mark if it is that statement's. In
training such a text goes on with either answer, drawn with a chance that depends on its wording; the
statement whose answer was drawn is the one *the corpus goes by*.

Everything is read greedily. Where nothing else is said, an answer is right when its first token is that of the
right answer; rows whose rival answers begin with the same token are left out, so the first token tells them apart.
"Whole answers" are right when the greedy text begins with the whole answer, its full stop included.
Rates are in per cent with Wilson's 95 % intervals. The names and values of test rows are never drawn in training,
where a task draws them from lists or invents them. The same everywhere are days, months, ages and short numbers, what
instructions ask for beside words of the prompt (digits, a greeting, a pronoun, a sign), and the words of the sentences
around a long passage's facts. Wordings are those of training, but "unseen wordings" have only wordings of relations,
statements, questions and what joins them that training never draws; instructions may be built as in training, in other
words; the frames of a whole prompt ("Question: ... Answer:") are the same everywhere. The title of a task says where it
is otherwise. A whole statement is marked, with weight 1. Scales and strengths of the experts were fitted on other rows
with the same unseen words and, in part, the same unseen wordings (see Experts); "untried wordings" fitted nothing.

- *the less likely*: of rival statements, the one that the corpus goes by least often in this wording. An unseen way to put two
  statements together has no such chance; there it is the one that the model itself, unsteered, follows less often, as
  `python -m seka miniature chances` measures on validation rows. So its unsteered rate cannot be much above one half,
  whatever the model does. (A guess stood here until test rows 11; it was replaced after the unsteered rate had missed its
  bounds on test rows. In other unseen wordings it is a guess still, and may not be what the model does.) Of several equally
  likely ones one is drawn; so is one where validation rows cannot tell which is less likely ({UNTOLD} of {len(PAIRS.held)} unseen
  wordings), and in untried wordings.
  *less likely one marked*: it is marked, and the answer is its answer. *both ways*: each of the two is marked in
  turn on the same prompt, and both times the answer follows. *first one marked*: the first rival is marked; in a biography
  that is the real line of work.
- *right sentence marked*, *another sentence marked*: in a passage, the sentence that answers the question, or
  another one, is marked, and the answer is right. *right ones kept*: of the rows that are right without steering,
  those that still are when the right sentence is marked.
- *ignored one loses*, *another statement wins*: the statement that the plain answer follows is marked `~~so~~`, and
  the answer is another one; or is another statement's.
- Without steering: how often the answer is that of *the first* statement, of *the less likely* one, *the corpus's*:
  of the one that the corpus goes by (in a passage: the right one; of rivals one drawn by their chances; of a visitor's prompts
  and untried wordings, which it does not have: the first), or *any of them*.
- Ways: `adaptive` mixes the experts by the prompt's own query (AdaSEKA), `pooled` is one expert of all kinds of
  triplets (SEKA), both at the strength that their files recommend. Controls are compared further below: `random
  subspace`, of the ranks of `pooled` in directions drawn once; `key scaling`, k' = (1 + g s) k, s being the head's
  scale. They act in the heads of `pooled` and at its scales, which were found for its learnt subspace and not for theirs.
"""
ROUTING = f"""Each kind of prompt is like what one expert was learnt from (of instructions, {len(ASKED)} of the
{len(INSTRUCTIONS)} kinds are asked about, and in all of them words say which one counts). An expert's share is its part
in all coefficients of a prompt, over layers and heads, before its scales; test rows, the less likely statement marked.
A score is the energy of the prompt's query in the expert's vectors over the mean of that energy on {USUAL} validation rows
of each of these kinds (some of which choose gains as well; of them the prompts are read and no answer): how near an expert is
to every prompt does not count, only how much nearer to this one than usual.
"""
HARMS = """Two things are told of harm: above, what a mark that misses does to an answer; here, the perplexity of a story of
the corpus's own kind that follows a marked statement of another matter, as a multiple of the unsteered one; test rows in
words of training, the interval by the spread over stories. Controls act at the strength of `pooled`.
"""


def results(sections: Figures) -> str:
    """Targets, then every task."""
    return f"""## Results

{DEFINITIONS}
**Targets.** {findings.reached(sections)} A target is met when the rate itself is; its interval tells how sure that
is. "rows" are test rows, drawn for this card, which chose nothing in it. They are set
number {TEST.removeprefix("test ")}: earlier sets, of the same unseen words and wordings, were read for earlier states of
the model, and when they had missed targets, the corpus was changed, the model trained further, or experts fitted anew.
The verdict is on `adaptive`, with which the page begins.

{tables.targets(sections)}
**Untried wordings.** {findings.untried_wordings(sections["tasks"])}

**Unseen wordings.** {findings.worded(sections["tasks"])}

**To the end.** {findings.spelt(sections["tasks"])}

**Position.** {findings.places(sections["tasks"])} {findings.long(sections["datasheet"])}

{tables.positions(sections)}
### Every task

{tables.tasks(sections)}
{findings.ignoring(sections["tasks"])}
"""


def trained(training: Figures, digest: str) -> str:
    """How it was trained: architecture, stages, command. digest: of the corpus as it is."""
    recipe = training["recipe"]
    shape = recipe["shape"]
    stages = [*training.get("before", []), training]
    minutes = sum(stage["minutes"] for stage in stages)
    over = (
        f", where {PLANNED} were planned: what is shipped was found by trying, and is no recipe"
        if minutes > PLANNED
        else ""
    )
    speed = recipe["muon"] / Recipe.muon
    command = f"python -m seka miniature train --minutes {recipe['minutes']:g} --seed {recipe['seed']}"
    command += f" --rate {speed:g}" if speed != 1 else ""
    tokens = recipe.get("tokens", Recipe.tokens)
    command += f" --tokens {tokens}" if tokens != Recipe.tokens else ""
    command += " --start THE_STAGE_IT_BEGINS_WITH" if recipe.get("start") else ""
    taken = training.get("mean of")
    made = f"`{command} --ship` was the last stage."
    if taken:
        made = f"""`{command}` was the last stage. The shipped weights are {findings.mean(taken, stages)}, made by
`python -m seka miniature average RUN ... --ship`. A mean of runs with one beginning, or of a run and its own beginning,
often reads better than any of them (Wortsman et al. 2022, "Model soups"; "Robust fine-tuning of zero-shot models")."""
    return f"""## Training

{training["parameters"] / 1e6:.2f} M parameters: {shape["layers"]} layers, width {shape["width"]}, {shape["heads"]}
query and {shape["kv_heads"]} key heads of {shape["head_width"]}, SwiGLU {shape["inner"]}, vocabulary
{shape["vocabulary"]:,}, context {shape["context"]:,}, embedding and output shared.

{tables.stages(training, digest)}
{made} Together {minutes:.0f} minutes of training time{over}. A stage that begins with
another's weights takes a fresh optimiser; with another tokenizer, a token's embedding begins as the mean of those
of the same text there. "Skipping" documents leave out positions from a random place on, so that short ones teach to
look far back (PoSE). Losses are nats per token, the training loss with answers weighed as the table says, and
cannot be compared between stages with different vocabularies or corpora. A budget in minutes gives another number
of tokens on another machine, so these weights cannot be trained again bit by bit; a budget in steps can, under one
seed, thread count and version of torch. A stage that was ended before its budget has the minutes it took in brackets.
Muon on the matrices inside layers, AdamW on the rest, constant rate, then linearly to 0.
"""


def compared(recipes: Figures, training: Figures) -> str:
    """Recipes and seeds side by side."""
    strength, runs = recipes["strength"], recipes["runs"].values()
    kinds = {
        "the weights of an earlier stage" if run["recipe"].get("start") else "random initialisation" for run in runs
    }
    became = any(tables.stage_of(run, training) for run in runs)
    score = strength.get("score", "energy")  # before there was a choice
    went_on = (
        " Runs with a stage's number became that stage, some of them with a longer budget; means of later stages contain them. "
        "Later stages, the corpus of each and their means were chosen on validation rows, too; figures "
        "of what was tried for them and left are not kept."
        if became
        else ""
    )
    return f"""### Recipes and seeds

`python -m seka miniature compare RUN ... --keep` compared short runs, which began with {findings.listed(sorted(kinds))}, on
{recipes["rows"]} validation rows of each task. Experts were learnt on each run's model and mixed, all by
`score="{score}"` at sharpness {strength["sharpness"]:g} and gain {strength["gain"]:g} in `{strength["layers"]}`, the shipped
router's at that time; side effects are therefore not equal (a story's perplexity, as under "Side effects", on validation rows),
and triplets are those of the corpus at that time.
*read*: the unsteered answer is one of the rivals'. *followed*: the answer follows the mark, of two rivals in both
directions, of more the less likely one; instructions by whole answers, the rest by first tokens. Both are means
over the tasks of the second table. Intervals are bootstraps over rows, paired for the difference to the best run;
another seed moves the figures as well, and the best of several looks better than it is.{went_on}

{tables.recipes(recipes, training)}"""


def corpus(sheet: Figures, training: Figures, chosen: Figures) -> str:
    """The datasheet, and whether weights and experts are of the corpus as it is."""
    texts = (("documents", "digest"),)
    earlier = [
        what
        for what, told, read in (
            ("earlier stages of training", training.get("before", []), texts),
            ("the last stage of training", [training], texts),
            ("the experts", [chosen], (*texts, ("triplets", "triplets"))),
        )
        if any(made.get(key) != sheet[of] for made in told for key, of in read)
    ]
    changed = (
        f"\nThis is the corpus as it is now; {findings.listed(earlier)} had an earlier state of it, which may have held out "
        "other words.\n"
        if earlier
        else ""
    )
    shares = ", ".join(f"{kind} {100 * share:.1f} %" for kind, share in sheet["shares"].items())
    kept, held = (sum(counts[side] for counts in sheet["words"].values()) for side in (0, 1))
    leaks = sheet["leaks"]
    found = f": {', '.join(leaks['found'])}" if leaks["found"] else ""
    met = f" Fixed wordings of training nevertheless contain: {', '.join(sheet['met'])}." if sheet["met"] else ""
    words = ", ".join(f"{kind} {a} + {b}" for kind, (a, b) in sheet["words"].items())
    return f"""## Corpus

Generated, seeded, endless: document number i of a split depends on seed, split and i alone, so training, validation
and test are different draws. Figures from the first {sheet["documents"]:,} training documents, {sheet["tokens"]:,}
tokens of the shipped tokenizer, the longest of {sheet["longest"]:,} (documents end at {LONGEST:,} characters).
Shares of tokens: {shares}.
{changed}
Where statements of a document disagree, the answer it goes on with is drawn with a chance that depends on the
wording, so an honest model is undecided, but for those in which words settle it. {sheet["relations"]} relations are
listed; others are made from verbs and nouns, and invented words of many shapes stand among the values, which can only
be copied. In training, general wordings, questions, whole relations, instructions and ways to put two statements or
instructions together are also made from known and invented words, some at random and some in the order of a sentence,
so that reading does not hang on lists; of some of these relations, a question and the statements that answer it have
only the subject and the kind of value in common, but for words drawn twice by chance. Evaluation has none of these: its
verbs and nouns are listed ones or invented. After statements or a passage a cue to be finished is tried in
{100 * asking.CUED_IN_TRAINING:.0f} % of training documents and in {100 * asking.CUED:.0f} % of evaluation's; where none is
tried, or it does not serve every rival, a question is asked. In
{100 * cases.SETTLED_SHARE:.0f} % of the training conflicts and {100 * instructions.SETTLED_SHARE:.0f} % of the pairs of
instructions, words settle which one holds ("Only the last of these is right", "Follow rule 2"), so that choosing is
learnt, too; no row of evaluation has them.

Held out by hash: {100 * sheet["held share"]:.0f} % of words and names ({kept:,} in training, {held:,} held out;
invented ones by the same rule, without a list) and {100 * SHARE:.0f} % of the verbs and nouns of open relations, but for
{len(EVERYDAY)} that other sentences of the corpus hold as well; by hand, the wordings below. The corpus as it is never draws these
wordings, nor one of these words as a whole name, value, verb or noun.{met}

{tables.wordings(sheet)}
Words by class, in training + held out: {words}.

At least {len(leaks["found"])} of the {leaks["held"]:,} distinct held-out words (one on several lists counts once) occur in
training nevertheless, in fixed wordings or inside longer values, as counted in the documents above alone; all that training
reads holds more{found}.

A visitor's prompts take {sheet["visitors"]["names"]:,} names and {sheet["visitors"]["words"]:,} words from an
English word list, without all that occur in this corpus's lists. No text from the web is in the corpus.
"""


def experts(sections: Figures, chosen: Figures) -> str:
    """Experts, their scales and gains, and how they were chosen."""
    return f"""## Experts

`python -m seka miniature learn` learns one expert for each kind of contrastive triplets, words and wordings of
training alone, and `pooled` from all kinds. Heads, scales and strengths were chosen on validation rows.

Scales: factors of the gain, of each expert and head; 1 for the strongest one of the mixture, and of `pooled`. They were
found by {scales.STEPS} steps of gradient ascent through the steered model, and are the mean over the second half of the
steps: for the experts as they are mixed with `score="{scales.SCORE}"` and at sharpness {scales.SHARPNESS:g}, the exponent of the
router's coefficients, with which they are shipped, and for `pooled` as it acts alone. Each step takes
{sum(n for _, _, n, _, _ in scales.KINDS)} rows of its own and raises the weighted mean, over kinds, of the share of rows, made
smooth, whose answers follow the mark in both directions (of instructions whole answers, else first tokens, as in the
targets), less {scales.PRICE:g} for each nat that a token of {scales.TALES} stories loses. Words are unseen;
`instructions` are those that name what to write, {findings.listed([f"`{kind}`" for kind in WORKED_OUT])} those that are
worked out. Rows, and in brackets what a kind weighs: {findings.climbed()}.
These weights, the score, the sharpness and the least scale below were set by hand on validation rows, before the test rows
of this card were drawn. No row asks about a passage: the scales of `passages` are what it adds to the others elsewhere, and
were found for no prompt of its own kind. Every head takes part; one whose scale ends below {scales.LEAST:g} in every expert
of the mixture is left alone. That leaves
`{sections["strength"]["layers"]}` (written `layer:head,head;layer:head`); of `pooled` scales were then found for these
heads alone. {scales.FAINT:g} is written for less, of `pooled` for all below {scales.LEAST:g}, and
heads that are left alone have the expert's smallest scale
from {scales.LEAST:g} on, for whoever steers them all the same. An expert that acts alone has the scales that it has in
the mixture, and a gain of its own.

{tables.scales(chosen)}
Gains: by {chosen["rows"]} rows of each task that no scale was found on, words unseen, half of them in unseen wordings.
Score: the mean over {findings.listed(list(SCORED))} (instructions are of every kind here, and those that are worked out
count once more) of how often the answers follow the mark in both directions, of
instructions whole ones, else first tokens. Of the gains that do no harm, which leave a story's perplexity at most at
{HARM:g} times the unsteered one ({STORIES} validation stories, the upper end of the 95 % interval), the one that scores
best was taken, of equals the smallest; where every gain does harm, the smallest. Scores are asked for from the largest
harmless gain down, until one is more than {100 * PLATEAU:g} point below the best.
`learn --rows {chosen["rows"]}` makes these tables anew.

{tables.experts(chosen)}"""


def maps(heads: Figures) -> str:
    """What the maps are, and where they disagree."""
    return f"""Sensitivity is the relative shift of `pooled`: how far a key moves with relevance, over the mean norm of a key.
Effect is causal: this head alone is steered, at gain {heads["gain"]:g} and scale 1, with the less likely of two statements
marked, and the log-probability of its answer's first token rises by so many nats, mean of {heads["n"]} test rows.
In the first layer a key depends on its own token alone, so relevance cannot move it.

{findings.agreement(heads)}
"""


def spread(sections: Figures) -> str:
    """The ways at the same side effect."""
    found = sections["spread"]
    return f"""## The ways at the same side effect

Every strength is set so that a mark that misses does the same harm: a sentence that does not answer is marked, and
the answer's first token moves by {found["target"]:g} nats of KL from the unsteered one, in the mean of
{len(misses.KINDS)} kinds of misses: {"; ".join(misses.KINDS.values())}. Strengths are set on
{found["matched on"]} validation rows of each kind; the side effect told is that of {found["told on"]} test rows of each.
`logit bias` adds its strength to the attention logits of marked columns in all heads, and `key scaling, every head`
scales keys in all heads alike, so nothing in either was fitted to marks; `marked prompt` writes `**so**` into the
prompt; it and `none` have no strength to match. Rates are those of "both ways", against three of the marked one;
intervals are bootstraps of {found["draws"]:,} draws of rows, paired for differences.

{tables.spread(sections)}
In the order found: {", ".join(findings.order(found))}; neighbours whose intervals overlap are not told apart, and the intervals
are over rows of these weights: trained anew, they may order the ways otherwise. {findings.against_scaling(found)}
{findings.off_target(found)}

{findings.at_full_strength(found)}
"""


def limits(sections: Figures, training: Figures) -> str:
    """What it cannot do: true whatever the figures are, or computed."""
    context = training["recipe"]["shape"]["context"]
    return f"""## What it cannot do

- It has seen one small world of generated sentences and nothing else. It knows no facts beyond what its lists hold,
  and cannot count, reason or chat.
- {findings.known(sections["tasks"])}
- {findings.misled(sections["tasks"])}
- {findings.missing(sections["spread"])}
- After an answer it goes on with a sentence of its corpus's kind, which need not fit and may misspell an unusual
  name. Letters beyond ASCII are read byte by byte, and are copied less surely than others.
- Its context ends at {context:,} tokens.
- Perplexity is measured on the model's own kind of text, in a story on the line after the statements.
- What works here shows that the method is implemented well, not how well it works on large models.
"""


def again(figures: Figures) -> str:
    """How to recompute it all."""
    minutes = sum(figures["seconds"].values()) / 60
    return f"""## Measured again

`python -m seka miniature check` measures every figure of test rows above anew, on the same rows and from the shipped
files, and fails when a rate is off by more than half a point, a perplexity's multiple by a tenth of that, a matched strength
by 2 %, or the rank correlation by 0.02; `--short` does so for the first rows of two tasks. The figures under Training
and Experts were told by `train`, `compare` and `learn` and are kept
as they were: `check` sees that gains, scales and heads are those of the files, and measures no more of them. `learn` would
make its own anew from the shipped weights; stages had other corpora and weights, which are not in the files.
Measuring took {minutes:.0f} minutes on {figures["threads"]} threads. `figures.json` holds the figures and the
sha256 of the files that they were measured from; the check fails as well when a file is another one.
"""
