"""Open classes of the generated world: verbs, nouns, wrappers and values that can only be copied."""

from __future__ import annotations

import re
from dataclasses import replace
from random import Random

import pytest

from seka.miniature.corpus import (
    coinages,
    documents,
    made,
    made_pairs,
    made_rules,
    openclass,
    openings,
    predicates,
    rules,
    world,
)
from seka.miniature.corpus import sentences as s
from seka.miniature.corpus.asking import TRAINING, apart
from seka.miniature.corpus.frames import ASKS, FRAMES
from seka.miniature.corpus.grammar import HAS, WHICH
from seka.miniature.corpus.passages import gather
from seka.miniature.corpus.wordings import PAIRS, SETTLED

COUNT = 1500
CLASSES = ("any", "coined", "coined_name", "figure", "long", "clock", "date", "code", "nonce_word", "person")


def drawn(held: bool = False, count: int = 600) -> list[world.Relation]:
    return [openings.draw_relation(Random(f"words/{held}/{index}"), held) for index in range(count)]


def is_open(relation: world.Relation) -> bool:
    return relation not in world.relations()


def test_both_sides_have_enough_verbs_and_nouns():
    for file, least in (("verbs.txt", 300), ("nouns.txt", 350)):
        known = {entry[2] for entry in openclass.entries(file, False)}
        kept = {entry[2] for entry in openclass.entries(file, True)}
        assert len(known | kept) >= least
        assert len(kept) / len(known | kept) == pytest.approx(openclass.SHARE, abs=0.05)
        assert not known & kept


@pytest.mark.parametrize("held", [False, True])
def test_kept_verbs_and_nouns_are_drawn_only_when_asked_for(held):
    found = [relation for relation in drawn(held) if is_open(relation)]
    assert len(found) / 600 == pytest.approx(1 - openings.LISTED, abs=0.08)
    for relation in found:
        word = relation.name if relation.noun.train else relation.name.split()[0]
        assert openclass.kept(word) == held, relation.name


def test_a_subject_and_a_noun_can_be_asked_for():
    for index in range(300):
        for subject in ("person", "thing", "placeful"):
            relation = openings.draw_relation(Random(index), subject=subject, named=True)
            assert relation.subject == subject
            assert relation.noun.train


@pytest.mark.parametrize("held", [False, True])
def test_open_relations_say_what_the_grammar_needs(held):
    for relation in filter(is_open, drawn(held)):
        assert relation.say.train
        assert relation.say.held
        assert relation.ask.held
        for wording in relation.say.train + relation.say.held + relation.only.train:
            assert wording.count("{V}") == 1, wording
        for wording in relation.ask.train + relation.ask.held:
            assert "{X}" in wording, wording
        for wordings in (relation.say, relation.ask, relation.only, relation.more):
            slots = set(re.findall(r"\{(\w+)\}", " ".join(wordings.train + wordings.held)))
            assert slots <= {"X", "V", "a"}


@pytest.mark.parametrize("held", [False, True])
def test_a_cue_ends_before_the_value_and_a_question_does_not_tell_it(held):
    for index in range(COUNT):
        random = Random(f"fact/{index}")
        fact = s.draw_fact(random, held, openings.draw_relation(random, held))
        style = s.draw_style(random, fact, held)
        before, after = s.cue(fact, style)
        whole = before + " " + fact.what + after
        assert whole == world.sentence(world.fill(style.words, fact.who, fact.what))
        assert fact.what in s.state(random, fact, style, held)
        question = s.ask(random, fact, held)
        assert not re.search(r"[{}]|  ", before + after + question)
        asked = question.replace(world.sentence(fact.who), "").replace(fact.who, "")
        if is_open(fact.relation) and len(fact.what) > 4:
            assert fact.what not in asked


def test_open_relations_do_not_say_what_listed_ones_keep():
    lines = []
    for index in range(4 * COUNT):
        random = Random(f"kept/{index}")
        fact = s.draw_fact(random, False, openings.draw_relation(random))
        if is_open(fact.relation):
            lines += [s.state(random, fact), s.ask(random, fact)]
    everything = "\n".join(lines)
    for relation in world.relations():
        for wording in relation.say.held + relation.ask.held:
            pattern = re.sub(r"\\{(X|V|a)\\}", "(?!to )[^.?\\\\n]{1,40}", re.escape(wording))
            assert not re.search(pattern, everything), wording


def test_every_wrapper_keeps_the_whole_statement():
    statement = "the old baker bought a lamp"
    for wording in s.WRAPS.train + s.WRAPS.held:
        assert wording.count("{s}") == 1
    found = {s.wrapped(Random(index), statement) for index in range(COUNT)}
    assert all(statement in text for text in found)
    assert len(found) == len(s.WRAPS.train) + 1
    assert not found & {wording.replace("{s}", statement) for wording in s.WRAPS.held}
    assert s.wrapped(Random(0), "Ann, job: baker", share=1.0) == "Ann, job: baker"


@pytest.mark.parametrize("kind", CLASSES)
def test_values_of_the_two_sides_never_meet(kind):
    sides = [{world.value(Random(f"{kind}/{index}"), kind, held) for index in range(COUNT)} for held in (False, True)]
    assert not sides[0] & sides[1]
    assert all(value == value.strip() and value for value in sides[0] | sides[1])


def test_invented_values_have_many_shapes():
    values = [coinages.coined(Random(index)) for index in range(COUNT)]
    names = [coinages.coined_name(Random(index)) for index in range(COUNT)]
    assert len(set(values)) > 0.95 * COUNT
    assert len(set(names)) > 0.95 * COUNT
    assert any(" " in value for value in values)
    assert any("-" in value for value in values)
    assert {len(name.split()) for name in names} == {1, 2, 3}
    assert all(2 <= len(coinages.phrase(Random(index)).split()) <= 9 for index in range(COUNT))


def test_forms_of_verbs():
    forms = {
        entry: openclass.verb(entry) for entry in ("carry", "stop", "visit", "tie/tied/tied/tying up", "*love", "mix")
    }
    assert forms["carry"].third == "carries"
    assert forms["carry"].past == "carried"
    assert forms["stop"].ing == "stopping"
    assert forms["visit"].past == "visited"
    assert forms["tie/tied/tied/tying up"].ing == "tying up"
    assert forms["*love"].ing == "loving"
    assert forms["*love"].state
    assert forms["mix"].third == "mixes"


def test_relations_that_share_a_word_clash():
    lost = next(r for r in world.relations() if "What did {X} lose?" in r.ask.train)
    loses = openings.verb_relation(Random(0), "person", "thing", "lose/lost/lost")
    waves = openings.verb_relation(Random(0), "person", "person", "wave to")
    assert openings.clash(lost, loses)
    assert openings.clash(loses, lost)
    assert not openings.clash(lost, waves)
    assert not openings.clash(lost, lost)


def test_values_are_often_such_as_can_only_be_copied():
    known = {word.lower() for kind in world.HELD for word in world.words(kind)}
    found = []
    for index in range(COUNT):
        random = Random(index)
        found += s.draw_values(random, openings.draw_relation(random), 1)
    copied = [value for value in found if not set(re.findall(r"[^\W\d_]{2,}", value.lower())) & known]
    assert 0.3 < len(copied) / COUNT < 0.6


def test_the_article_goes_by_the_sound():
    for word in ("apple", "Oslo", "hour", "heirloom", "uncle", "unknown word", "8"):
        assert world.article(word) == "an"
    for word in ("lamp", "hat", "unicycle", "use", "one of them", "ukulele", "Europe"):
        assert world.article(word) == "a"


def test_made_wordings_have_their_slots_and_never_say_what_is_kept():
    kept = {wording.lower() for wording in FRAMES.held + ASKS.held}
    kept |= {
        wording[1:].replace("{O}", "{V}").replace("{W}", "what").lower() for wording in HAS + WHICH if wording[0] == "!"
    }
    beside = {wording.split("|")[0] for wording in PAIRS.held}
    assert all(abs(float(wording.split("|")[1]) - 0.5) > 0.09 for wording in PAIRS.train)
    for index in range(20 * COUNT):
        random = Random(f"made/{index}")
        said, asked, (both, prior) = made.frame(random), made.question(random), made_pairs.pair(random).split("|")
        assert [said.count(slot) for slot in ("{X}", "{N}", "{V}")] == [1, 1, 1], said
        assert [asked.count(slot) for slot in ("{X}", "{N}", "{V}")] == [1, 1, 0], asked
        assert [both.lower().count(slot) for slot in ("{a}", "{b}", "^")] == [1, 1, "^" in both], both
        assert set(re.findall(r"{(\w)}", both)) <= set("aAbBPQ"), both
        assert 0 < float(prior) < 1
        assert abs(float(prior) - 0.5) > 0.09, both
        assert not {said.lower(), asked.lower()} & kept
        assert both not in beside


def test_made_instructions_have_their_slots():
    for index in range(COUNT):
        random = Random(f"made rules/{index}")
        for kind, listed in rules.RULES.items():
            text = made_rules.rule(random, kind)
            about = {"{X}", "{y}"} & set(re.findall(r"{\w}", listed.train[0]))
            assert text.count("{v}") == 1, text
            assert {"{v}"} | about <= set(re.findall(r"{\w}", text)) <= {"{v}", "{P}"} | about, text
        both, prior = made_rules.join(random).split("|")
        assert [both.count(slot) for slot in ("{0}", "{1}")] == [1, 1], both
        assert set(re.findall(r"{(\w)}", both)) <= set("01PQ"), both
        assert 0 < float(prior) < 1


@pytest.mark.parametrize(
    ("kind", "made"),
    [
        ("order", "kindly {V}."),
        ("pronouns", 'for {X}, choose "{V}".'),
        ("replace", "for {X}, choose {V}."),
        ("yesno", "for {X}, choose {V}."),
        ("pick", "for the koala, choose the last {V}."),
        ("title", "for good, choose {V}."),
    ],
)
def test_an_instruction_that_is_kept_for_any_kind_is_not_made_by_chance(kind, made, monkeypatch):
    tries = iter((made, "{V}, we said of {X}."))
    monkeypatch.setattr(made_rules, "fill", lambda *_: next(tries))
    assert "Kindly {v}." in rules.RULES["order"].held
    assert "For {X}, choose {v}." in rules.RULES["pronouns"].held
    assert made_rules.rule(Random(0), kind).startswith("{v}, we said of ")


def test_a_way_to_stand_together_that_is_kept_is_not_made_by_chance(monkeypatch):
    kept = next(wording for wording in rules.JOINS.held if "asks" in wording)
    tries = iter((kept, "{0} So: {1}|0.35"))
    monkeypatch.setattr(made_rules, "_join", lambda _: next(tries))
    assert made_rules.join(Random(0)) == "{0} So: {1}|0.35"


LOOSE = {"p": 1, "v": 1, "w": 1, "l": 3, "s": 3, "c": 3, "k": 1, "e": 2, "i": 2}
"""Slots of made statements, and how many words of any kind may stand there for the likeness below."""


def alike(template: str) -> re.Pattern[str]:
    """What a made statement looks like, any words in the places of its small ones."""
    parts = re.split(r"\{(\w)\}", template)
    found = ""
    for index, part in enumerate(parts):
        if index % 2 == 0:
            found += re.escape(part)
        elif part in "XNV":
            found += re.escape("{" + part + "}")
        elif part in "dj":
            found += "(" + "|".join(map(re.escape, made.ADVERBS if part == "d" else world.words("adjective"))) + ")"
        else:
            found += r"[^ {},]+( [^ {},]+)" + "{0," + str(LOOSE[part] - 1) + "}"
    return re.compile(found, re.IGNORECASE)


def test_no_made_statement_is_built_like_one_that_is_kept():
    """However its prepositions, links, connectors and past forms are exchanged."""
    kept = list(FRAMES.held)
    for wording in HAS:
        if wording[0] == "!":
            text = wording[1:].replace("{O}", "{V}").replace("{its}", "its")
            kept.append(text if "{X}" in text else "{X} " + text)
    assert len(kept) >= 12
    assert alike("the {N} {v} {p} {X} {l} {V}").fullmatch("the {N} chosen for {X} happens to be {V}")
    like = [(template, wording) for template in made.NAMED for wording in kept if alike(template).fullmatch(wording)]
    assert not like


@pytest.mark.parametrize(
    ("listed", "slots"), [(SETTLED, "ab"), (rules.SETTLED, "01")], ids=["statements", "instructions"]
)
def test_words_that_settle_it_name_each_side_as_often(listed, slots):
    """Which side counts cannot be told from its place, and no other list says the same."""
    both = [wording.split("|")[0] for wording in listed]
    for wording in both:
        assert [wording.lower().count("{" + slot + "}") for slot in slots] == [1, 1]
    counts = [wording.split("|")[1] for wording in listed]
    assert counts.count("0") == counts.count("1") == len(listed) / 2
    assert len(set(both)) == len(both)
    beside = {wording.split("|")[0] for some in (PAIRS, rules.JOINS) for wording in some.train + some.held}
    assert not beside & set(both)


def test_made_wordings_are_seldom_the_same():
    assert len({made.frame(Random(index)) for index in range(COUNT)}) > 0.9 * COUNT
    assert len({made.saying(Random(index)) for index in range(COUNT)}) > 0.9 * COUNT
    assert len({made_rules.rule(Random(index), "choice") for index in range(COUNT)}) > 0.9 * COUNT


def test_a_strange_relation_is_asked_for_in_other_words():
    """By intention its subject alone is in a statement and in a question, and nothing else may be said of the subject."""
    shared = 0
    small = set(
        re.findall(r"\w+", " ".join((*made.HELPERS, *made.BEING, *made.PREPOSITIONS, *made.OWN, *made.SOMEBODY)))
    )
    for index in range(COUNT):
        random = Random(f"strange/{index}")
        relation = openings.strange_relation(random, "person")
        assert len(set(relation.say.train)) > 1
        assert all(say.count("{X}") == say.count("{V}") == 1 for say in relation.say.train)
        assert all(ask.count("{X}") == 1 and "{V}" not in ask for ask in relation.ask.train)
        assert not [ask for ask in relation.ask.train if set(re.findall(r"{(.)}", ask)) - {"X"}]
        said = set(re.findall(r"\w{3,}", " ".join(relation.say.train).lower()))
        asked = set(re.findall(r"\w{3,}", " ".join(relation.ask.train).lower()))
        shared += len(said & asked - small)
        other = openings.noun_relation(random, "person", "thing", "gubble")
        about, beside = s.draw_fact(random, False, relation, "Ada"), s.draw_fact(random, False, other, "Ada")
        assert not apart(about, beside)
        assert not apart(beside, about)
        assert apart(about, replace(beside, who="Ben"))
    assert shared < COUNT / 5  # words of the lists may be drawn twice


def test_what_is_kept_of_a_listed_relation_is_not_made_by_chance(monkeypatch):
    job = next(relation for relation in world.relations() if relation.name == "job")
    assert "ended up as {a} {V}" in job.say.held
    tries = iter(("ended up as", "ended up near", "went to", "ran to"))
    monkeypatch.setattr(openings, "ORDERED", 0)
    monkeypatch.setattr(openings, "said", lambda random: next(tries))
    monkeypatch.setattr(openings, "other_question", lambda *_: "Which thing did {X} wonk?")
    monkeypatch.setattr(openings, "OBJECTS", {"thing": ((("object",),), ("{a} ",), "what")})
    relation = openings.strange_relation(Random(0), "person")
    assert relation.say.train == ("{X} ended up near {a} {V}", "{X} went to {a} {V}", "{X} ran to {a} {V}")


KEPT = (
    "{X} ended up as the {V}",  # of a listed relation, with another article
    "indeed, {X} ended up as {a} {V} by chance",
    "{X} took long to settle on its {N}, which was {V}",
    "As regards the {N}, {X} sticks to {V}.",
    "help me out with the {N} of {X}",
    "{X} had long wandered {V}",  # of any verb
    "so, do you know what {X} wanders?",
)


@pytest.mark.parametrize("made_now", KEPT)
@pytest.mark.parametrize("make", ["said", "frame", "question"])
def test_what_is_kept_is_not_made_in_good_order_either(make, made_now, monkeypatch):
    tries = iter((made_now, "{X} took {V}"))
    monkeypatch.setattr(predicates, "fill", lambda *_: next(tries))
    given = {"said": ("{V}",), "frame": (), "question": ("what",)}[make]
    assert getattr(predicates, make)(Random(0), *given) == "{X} took {V}"


def test_a_made_relation_says_nothing_that_is_kept(monkeypatch):
    tries = iter(("ended up as", "ended up near"))
    monkeypatch.setattr(openings, "ORDERED", 1)
    monkeypatch.setattr(predicates, "predicate", lambda _: next(tries))
    assert "ended up near" in openings.made_relation(Random(0), "person").say.train[0]


def test_good_order_uses_no_word_that_is_kept():
    stock = {*predicates.ABSTRACT, *predicates.PARTICLES, *predicates._nouns(), *world.words("adjective")}
    forms = {form for v in predicates._verbs() for form in (v.base, v.third, v.past, v.participle, v.ing)}
    assert not (stock | forms) & (world.held_words() | kept_openly())


def test_training_reads_no_verb_and_no_noun_that_is_kept():
    texts = (documents.draw(0, "training", index).text for index in range(3000))
    assert not kept_openly() & set(re.findall("[a-z]+", " ".join(texts).lower()))


def test_what_everyday_lets_off_would_be_kept():
    for word in openclass.EVERYDAY:
        assert not openclass.kept(word)
        assert openclass.held_out(word, openclass.SHARE), word


def kept_openly() -> set[str]:
    """The forms of every verb that is kept, without its preposition, and the nouns of one word that are."""
    verbs = [openclass.verb(entry) for _, _, entry in openclass.entries("verbs.txt", True)]
    forms = {form.split()[0] for v in verbs for form in (v.base, v.third, v.past, v.participle, v.ing)}
    return forms | {noun for _, _, noun in openclass.entries("nouns.txt", True) if " " not in noun}


def test_wordings_in_good_order_have_their_slots_and_are_seldom_the_same():
    for index in range(20 * COUNT):
        random = Random(f"predicates/{index}")
        said, asked, framed = (
            predicates.said(random, "{a} {V}"),
            predicates.question(random, "which thing"),
            predicates.frame(random),
        )
        assert sorted(re.findall(r"{\w+}", said)) == ["{V}", "{X}", "{a}"], said
        assert re.findall(r"{\w+}", asked) == ["{X}"], asked
        assert asked.count("which thing") == 1
        assert sorted(re.findall(r"{\w+}", framed)) == ["{N}", "{V}", "{X}"], framed
    for make in (predicates.predicate, predicates.frame, lambda random: predicates.question(random, "what")):
        assert len({make(Random(index)) for index in range(COUNT)}) > 0.9 * COUNT


def test_nobody_of_whom_something_strange_is_said_has_anything_else_said_of_them():
    seen = 0
    for index in range(3 * COUNT):
        facts = gather(Random(f"gather/{index}"), TRAINING, 4)
        for fact in facts:
            if fact.relation.strange:
                seen += 1
                assert [other.who for other in facts].count(fact.who) == 1
    assert seen > 20


def test_a_made_relation_is_asked_for_in_its_own_words():
    for index in range(COUNT):
        random = Random(f"relation/{index}")
        relation = openings.made_relation(random, "person")
        (say,) = relation.say.train
        assert say.startswith(relation.name + " ")
        assert say.count("{V}") == say.count("{X}") == 1
        assert all("{X}" in ask and "{V}" not in ask for ask in relation.ask.train)
        between = relation.name.rpartition("{X} ")[2]
        assert all(between in ask for ask in relation.ask.train)
        fact = s.draw_fact(random, False, relation)
        before, after = s.cue(fact, s.draw_style(random, fact))
        assert before.casefold().startswith(
            relation.name.replace("{X}", fact.who).casefold()
        )  # "ß" is "SS" at the start
        assert not after
