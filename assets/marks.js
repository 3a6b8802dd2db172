/* The written form of marks, in the browser: reads and writes `**emphasise**` and `~~ignore~~` exactly as
   seka/prompts.py does (a test compares the two). Knows strings only, no page. Offsets are JavaScript string offsets. */
(() => {
  "use strict";
  const MARKERS = { "**": 1, "~~": -1 };
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

  /* raw -> {text, spans: [{start, end, weight}], unpaired: [offset], pieces}; pieces also carry plain, gone and weights. */
  function parse(raw) {
    const pieces = cut(raw);
    const opened = {};
    const pairs = [];
    pieces.forEach((piece, index) => {
      if (!piece.live) return;
      const start = opened[piece.text];
      if (start === undefined) {
        opened[piece.text] = index;
        return;
      }
      delete opened[piece.text];
      if (pieces.slice(start + 1, index).some((inner) => !inner.live && filled(inner.text))) pairs.push([start, index]);
    });
    const gone = new Set(pairs.flat());
    const unpaired = [];
    let text = "";
    pieces.forEach((piece, index) => {
      piece.plain = text.length;
      piece.gone = gone.has(index);
      piece.weights = pairs.filter(([a, b]) => a < index && index < b).map(([a]) => MARKERS[pieces[a].text]);
      if (piece.gone) return;
      if (piece.live) unpaired.push(text.length);
      text += piece.text;
    });
    const spans = pairs.map(([a, b]) => ({ start: pieces[a].plain, end: pieces[b].plain, weight: MARKERS[pieces[a].text] }));
    spans.sort((a, b) => a.start - b.start || a.end - b.end || a.weight - b.weight);
    return { text, spans, unpaired, pieces };
  }

  /* Raw text with markers that parse() reads back as this text with these spans; null when markers cannot say it. */
  function write(text, spans) {
    const merged = [...union(spans, 1), ...union(spans, -1)];
    const key = (list) => JSON.stringify(list.map(({ start, end, weight }) => [start, end, weight]).sort());
    // `***` in the text: its first two letters are escaped, or its last two.
    for (const late of [false, true]) {
      const out = spell(text, merged, late);
      const back = parse(out);
      if (back.text === text && back.unpaired.length === 0 && key(back.spans) === key(merged)) return out;
    }
    return null;
  }
  function spell(text, spans, late) {
    const edges = new Map();
    for (const { start, end, weight } of spans) {
      const marker = weight > 0 ? "**" : "~~";
      edges.set(start, [...(edges.get(start) ?? []), marker]);
      edges.set(end, [marker, ...(edges.get(end) ?? [])]);
    }
    let out = "";
    const slashes = () => out.length - out.replace(/\\+$/, "").length;
    for (let position = 0; position <= text.length; ) {
      for (const marker of edges.get(position) ?? []) out += "\\".repeat(slashes()) + marker;
      const literal = Object.keys(MARKERS).find((marker) => text.startsWith(marker, position));
      const odd = late && literal && run(text, position) % 2;
      if (literal && !edges.has(position + 1) && !odd) {
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

  /* Spans of one weight, overlapping and touching ones joined. */
  function union(spans, weight) {
    const out = [];
    for (const span of spans.filter((s) => s.weight === weight).sort((a, b) => a.start - b.start)) {
      const last = out[out.length - 1];
      if (last && span.start <= last.end) last.end = Math.max(last.end, span.end);
      else out.push({ start: span.start, end: span.end, weight });
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

  /* The span or word that a caret stands in. */
  function around(text, spans, at, weight) {
    const reaches = (start, end) => start <= at && at <= end;
    const span = union(spans, weight).find((s) => reaches(s.start, s.end));
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

  /* Mark raw[from, to) with a weight, or unmark it when all of it is marked so already. A word has one mark at most.
     {raw, from, to, marked} with the new selection, or {problem} in words. literal: the markers in raw are plain text;
     whole: the sentences of the selection instead. */
  function toggle(raw, from, to, weight, { literal = false, whole = false } = {}) {
    const parsed = literal ? { text: raw, spans: [] } : parse(raw);
    let [start, end] = literal ? [from, to] : [toPlain(parsed, from), toPlain(parsed, to)];
    if (whole) [start, end] = sentence(parsed.text, start, end);
    else if (start === end) [start, end] = around(parsed.text, parsed.spans, start, weight);
    ({ start, end } = trim(parsed.text, { start, end }));
    if (start >= end) return { problem: "Select the words to mark first." };
    const same = union(parsed.spans, weight);
    const other = parsed.spans.filter((span) => span.weight !== weight);
    const marked = same.some((span) => span.start <= start && end <= span.end);
    const spans = marked
      ? [...without(same, parsed.text, start, end), ...other]
      : [...same, { start, end, weight }, ...without(other, parsed.text, start, end)];
    const written = write(parsed.text, spans);
    if (written === null) return { problem: "A mark cannot begin or end beside a literal * or ~. Select a little less." };
    const after = parse(written);
    return { raw: written, from: toRaw(after, start, false), to: toRaw(after, end, true), marked: !marked };
  }

  /* The same text without marks, and the same characters with every marker literal. */
  const clear = (raw) => write(parse(raw).text, []);
  const literalise = (raw) => write(raw, []);

  window.seka = { ...(window.seka ?? {}), parse, write, sentence, toggle, clear, literalise };
})();
