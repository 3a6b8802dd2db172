/* The written form of marks, in the browser: reads and writes `**emphasise**` and `~~ignore~~` exactly as
   seka/prompts.py does (a test compares the two). Knows strings only, no page. Offsets are JavaScript string offsets. */
(() => {
  "use strict";
  const MARKERS = { "**": 1, "~~": -1 };
  // Backslashes, then a weight in braces; directly after a closing marker it is the mark's own.
  const OWN = /(\\*)(\{(?=[0-9.]*[1-9])([0-9]{1,2}(?:\.[0-9]{1,2})?)\})/y;
  // The weights that the page offers.
  const STEPS = [0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4];
  // What Python's str.strip() takes for a blank; String.trim() differs in a few characters.
  const BLANKS = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
  const FILLED = new RegExp(`[^${BLANKS}]`);
  const BLANK = new RegExp(`[${BLANKS}]`);
  const filled = (text) => FILLED.test(text);

  /* Cut raw text into pieces {text, live, from, to}: from and to are offsets in raw, backslashes before markers resolved. */
  function cut(raw) {
    const found = [];
    let position = 0;
    for (const match of raw.matchAll(/(\\*)(\*\*|~~)/g)) {
      const slashes = match[1].length;
      const at = match.index + slashes;
      found.push({ text: raw.slice(position, match.index) + "\\".repeat(slashes >> 1), live: false, from: position, to: at });
      found.push({ text: match[2], live: slashes % 2 === 0, from: at, to: at + 2 });
      position = at + 2;
    }
    found.push({ text: raw.slice(position), live: false, from: position, to: raw.length });
    return found;
  }

  /* raw -> {text, spans: [{start, end, weight, from, to}], unpaired: [offset], pieces}; a span's from and to are offsets in
     raw, markers and weight included; pieces also carry plain, gone and weights. */
  function parse(raw) {
    const pieces = [];
    const opened = {};
    const pairs = []; // {open, close: places in pieces, weight}
    for (const piece of cut(raw)) {
      const last = pairs.at(-1);
      const [own, ...rest] = last?.close === pieces.length - 1 ? ownWeight(piece) : [piece];
      if (own.number) last.weight *= own.number;
      pieces.push(own, ...rest);
      if (!piece.live) continue;
      const close = pieces.length - 1;
      const open = opened[piece.text];
      if (open === undefined) {
        opened[piece.text] = close;
        continue;
      }
      delete opened[piece.text];
      const words = pieces.slice(open + 1, close).filter((inner) => !inner.live && !inner.number);
      if (words.some((inner) => filled(inner.text))) pairs.push({ open, close, weight: MARKERS[piece.text] });
    }
    // One walk over the pieces: a prompt may have thousands of marks.
    const begins = new Map(pairs.map((pair) => [pair.open, pair]));
    const ends = new Map(pairs.map((pair) => [pair.close, pair]));
    const over = new Set();
    const unpaired = [];
    let text = "";
    pieces.forEach((piece, index) => {
      over.delete(ends.get(index));
      piece.plain = text.length;
      piece.gone = begins.has(index) || ends.has(index) || piece.number !== undefined;
      piece.weights = [...over].map(({ weight }) => weight);
      if (begins.has(index)) over.add(begins.get(index));
      if (piece.gone) return;
      if (piece.live) unpaired.push(text.length);
      text += piece.text;
    });
    const spans = pairs.map(({ open, close, weight }) => {
      const end = pieces[close + 1].number ? close + 1 : close;
      return { start: pieces[open].plain, end: pieces[close].plain, weight, from: pieces[open].from, to: pieces[end].to };
    });
    spans.sort((a, b) => a.start - b.start || a.end - b.end || a.weight - b.weight);
    return { text, spans, unpaired, pieces };
  }
  /* The text after a closing marker, with the weight cut off that it begins with, or the backslashes that keep one text. */
  function ownWeight(piece) {
    const [, slashes, braces, number] = matchAt(piece.text, 0) ?? [];
    if (number === undefined) return [piece];
    const size = (slashes || braces).length;
    const head = slashes ? { text: "\\".repeat(size >> 1) } : { text: braces, number: Number(number) };
    return [{ ...piece, ...head, to: piece.from + size }, { ...piece, text: piece.text.slice(size), from: piece.from + size }];
  }
  function matchAt(text, position) {
    OWN.lastIndex = position;
    return OWN.exec(text);
  }

  /* Raw text with markers that parse() reads back as this text with these spans; null when markers cannot say it, as for
     overlapping spans of one sign. */
  function write(text, spans) {
    const key = (list) => JSON.stringify(list.map(({ start, end, weight }) => [start, end, weight]).sort());
    // `***` in the text: its first two letters are escaped, or its last two.
    for (const late of [false, true]) {
      const out = spell(text, spans, late);
      const back = parse(out);
      if (back.text === text && back.unpaired.length === 0 && key(back.spans) === key(spans)) return out;
    }
    return null;
  }
  function spell(text, spans, late) {
    const opening = new Map();
    const closing = new Map();
    for (const { start, end, weight } of spans) {
      const marker = weight > 0 ? "**" : "~~";
      const number = String(Math.round(Math.abs(weight) * 100) / 100);
      opening.set(start, [...(opening.get(start) ?? []), marker]);
      closing.set(end, [number === "1" ? marker : `${marker}{${number}}`, ...(closing.get(end) ?? [])]);
    }
    const edgeWithin = (start, end) => [...opening.keys(), ...closing.keys()].some((edge) => start < edge && edge < end);
    let out = "";
    const slashes = () => out.length - out.replace(/\\+$/, "").length;
    for (let position = 0; position <= text.length; ) {
      const ends = closing.get(position) ?? [];
      const starts = opening.get(position) ?? [];
      for (const marker of [...ends, ...starts]) out += "\\".repeat(slashes()) + marker;
      const own = !starts.length && ends.at(-1) in MARKERS ? matchAt(text, position) : null;
      if (own && !edgeWithin(position, position + own[0].length)) out += "\\".repeat(own[1].length + 1);
      const literal = Object.keys(MARKERS).find((marker) => text.startsWith(marker, position));
      const odd = late && literal && run(text, position) % 2;
      if (literal && !edgeWithin(position, position + 2) && !odd) {
        out += "\\".repeat(slashes() + 1) + literal;
        position += 2;
      } else {
        out += text.slice(position, position + 1);
        position += 1;
      }
    }
    return out;
  }
  /* How often the letter at `position` stands there in a row. */
  function run(text, position) {
    let end = position;
    while (text[end] === text[position]) end += 1;
    return end - position;
  }

  /* Overlapping and touching spans joined, those of the same weight. */
  function joined(spans) {
    const weights = new Set(spans.map((span) => span.weight));
    return [...weights].flatMap((weight) => union(spans.filter((span) => span.weight === weight)));
  }
  /* Overlapping and touching spans joined; each has the weight of its first one. */
  function union(spans) {
    const out = [];
    for (const { start, end, weight } of [...spans].sort((a, b) => a.start - b.start)) {
      const last = out.at(-1);
      if (last && start <= last.end) last.end = Math.max(last.end, end);
      else out.push({ start, end, weight });
    }
    return out;
  }

  /* Spans without what lies in [start, end); blanks at the new edges go. */
  function without(spans, text, start, end) {
    return spans
      .flatMap((span) => [
        { ...span, end: Math.min(span.end, start) },
        { ...span, start: Math.max(span.start, end) },
      ])
      .map((span) => trim(text, span))
      .filter((span) => span.start < span.end);
  }

  function trim(text, span) {
    let { start, end } = span;
    while (start < end && BLANK.test(text[start])) start += 1;
    while (start < end && BLANK.test(text[end - 1])) end -= 1;
    return { ...span, start, end };
  }

  /* A raw offset as an offset of the plain text. */
  function toPlain(parsed, raw) {
    const piece = parsed.pieces.find((p) => raw <= p.to && p.from <= raw && (!p.gone || raw < p.to)) ?? parsed.pieces.at(-1);
    return piece.plain + (piece.gone ? 0 : Math.min(raw - piece.from, piece.text.length));
  }

  /* A plain offset as a raw offset, inside the marks that begin or end there. */
  function toRaw(parsed, plain, isEnd) {
    const fits = (p) => !p.gone && p.text.length > 0 && plain >= p.plain && plain <= p.plain + p.text.length;
    const found = parsed.pieces.filter(fits);
    const piece = isEnd ? found[0] : found.at(-1);
    return piece ? Math.min(piece.from + plain - piece.plain, piece.to) : 0;
  }

  /* The one of these spans, or else the word, that a caret stands in. */
  function around(text, spans, at) {
    const reaches = (start, end) => start <= at && at <= end;
    const span = spans.find((s) => reaches(s.start, s.end));
    if (span) return [span.start, span.end];
    const word = [...text.matchAll(/[\p{L}\p{N}\p{M}'’-]+/gu)].find((found) => reaches(found.index, found.index + found[0].length));
    return word ? [word.index, word.index + word[0].length] : [at, at];
  }

  /* What a sentence does not end with: titles, abbreviations, single initials (but "I"). Those that often end one ("etc.",
     "p.m.", "U.S.") are left to the browser. */
  const SHORT = "Mrs?|Ms|Drs?|Profs?|St|Mt|Rev|Gen|Col|Capt|Lt|Sgt|Sen|Gov|[Vv]s|[Cc]f|[Ee]\\.g|[Ii]\\.e|[Ff]igs?|[Ee]qs?";
  const GOES_ON = new RegExp(`(?:^|[\\s(\\[“"‘'])(?:${SHORT}|(?!I)\\p{Lu})\\.[ \\t\\xa0]*$`, "u");

  /* The sentences that text[start, end) touches, as [start, end]; for a caret the one it stands in. A line is a sentence
     at least. By the browser's own rules (Unicode annex 29), which know no abbreviations, and what goes on joined. */
  function sentence(text, start, end) {
    const parts = [];
    let from = 0;
    for (const { index, segment } of new Intl.Segmenter(undefined, { granularity: "sentence" }).segment(text)) {
      if (GOES_ON.test(segment)) continue;
      parts.push(trim(text, { start: from, end: index + segment.length }));
      from = index + segment.length;
    }
    parts.push(trim(text, { start: from, end: text.length }));
    const touches = (part) => (start === end ? part.start <= start && start <= part.end : part.start < end && start < part.end);
    const touched = parts.filter((part) => part.start < part.end && touches(part));
    return touched.length ? [touched[0].start, touched.at(-1).end] : [start, end];
  }

  /* Mark raw[from, to) with a weight of 1 or -1, or unmark it when all of it is marked with that sign already. A word has
     one mark at most: a new one replaces what it overlaps, and joins its neighbours of the same weight.
     {raw, from, to, marked} with the new selection, or {problem} in words. literal: the markers in raw are plain text;
     whole: the sentences of the selection instead. */
  function toggle(raw, from, to, weight, { literal = false, whole = false } = {}) {
    const parsed = literal ? { text: raw, spans: [] } : parse(raw);
    const same = joined(parsed.spans.filter((span) => span.weight * weight > 0));
    const other = parsed.spans.filter((span) => span.weight * weight < 0);
    let [start, end] = literal ? [from, to] : [toPlain(parsed, from), toPlain(parsed, to)];
    if (whole) [start, end] = sentence(parsed.text, start, end);
    else if (start === end) [start, end] = around(parsed.text, same, start);
    ({ start, end } = trim(parsed.text, { start, end }));
    if (start >= end) return { problem: "Select the words to mark first." };
    const marked = union(same).some((span) => span.start <= start && end <= span.end);
    const kept = marked ? [] : same.filter((span) => span.weight === weight);
    const cut = same.filter((span) => !kept.includes(span));
    const spans = marked
      ? [...without(cut, parsed.text, start, end), ...other]
      : [...kept, { start, end, weight }, ...without([...cut, ...other], parsed.text, start, end)];
    const done = rewritten(parsed.text, joined(spans), start, end);
    return done.problem ? done : { ...done, marked: !marked };
  }
  function rewritten(text, spans, start, end) {
    const raw = write(text, spans);
    if (raw === null) return { problem: "A mark cannot begin or end beside a literal * or ~. Select a little less." };
    const after = parse(raw);
    return { raw, from: toRaw(after, start, false), to: toRaw(after, end, true) };
  }

  /* The marks that raw[from, to) touches, or that a caret stands in; markers and weights belong to them. */
  const touches = (from, to) => (span) => span.from < to && from < span.to;
  const touched = (raw, from, to) => parse(raw).spans.filter(touches(from, to));

  /* The next weight on the page's scale, up (step 1) or down (-1), of the same sign; the same one at its end. */
  function nextWeight(weight, step) {
    const size = Math.abs(weight);
    const next = step > 0 ? STEPS.find((s) => s > size) : STEPS.findLast((s) => s < size);
    return Math.sign(weight) * (next ?? size);
  }

  /* Give every mark that raw[from, to) touches its next weight. {raw, from, to} with the same words selected, a caret in its
     mark, or {problem} in words. */
  function nextWeights(raw, from, to, step) {
    const parsed = parse(raw);
    const chosen = touches(from, to);
    if (!parsed.spans.some(chosen)) return { problem: "There is no mark to weigh here." };
    const spans = parsed.spans.map((span) => (chosen(span) ? { ...span, weight: nextWeight(span.weight, step) } : span));
    const [start, end] = [toPlain(parsed, from), toPlain(parsed, to)];
    const done = rewritten(parsed.text, spans, start, end);
    if (done.problem || start < end) return done;
    const at = parsed.spans.some((span) => chosen(span) && span.start === start) ? done.from : done.to;
    return { ...done, from: at, to: at };
  }

  /* The same text without marks, and the same characters with every marker literal. */
  const clear = (raw) => write(parse(raw).text, []);
  const literalise = (raw) => write(raw, []);

  window.seka = { ...(window.seka ?? {}), parse, write, sentence, toggle, touched, nextWeight, nextWeights, clear, literalise };
})();
