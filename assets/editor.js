/* The prompt box in the browser: its pens, their keys, undo, pasted marks and the coloured layer behind the text.
   The grammar is in marks.js; nothing here talks to the server, and text is written with textContent only. */
(() => {
  "use strict";
  const seka = window.seka;
  const $ = (selector) => document.querySelector(selector);
  const area = () => $("#prompt textarea");
  const literalBox = () => $("#literal input[type=checkbox]");
  const isLiteral = () => literalBox()?.checked ?? false;

  /* ---- the prompt's text: every change goes through here, so that Ctrl+Z and Gradio both notice ---- */
  function put(text, from, to) {
    const box = area();
    const top = box.scrollTop;
    const old = box.value;
    let head = 0;
    while (head < Math.min(old.length, text.length) && old[head] === text[head]) head += 1;
    let tail = 0;
    while (tail < Math.min(old.length, text.length) - head && old[old.length - 1 - tail] === text[text.length - 1 - tail]) tail += 1;
    box.focus({ preventScroll: true });
    box.setSelectionRange(head, old.length - tail);
    const fresh = text.slice(head, text.length - tail);
    // insertText keeps the browser's own undo working; setting the value is for browsers without it.
    const done = old === text || document.execCommand(fresh ? "insertText" : "delete", false, fresh);
    if (!done || box.value !== text) {
      box.value = text;
      box.dispatchEvent(new InputEvent("input", { bubbles: true }));
    }
    box.setSelectionRange(from ?? text.length, to ?? from ?? text.length);
    box.scrollTop = top;
    paint();
  }

  /* ---- undo: snapshots before each change; typing in one go counts as one change ---- */
  const history = { past: [], shown: null, typed: 0 };
  function note() {
    const text = area().value;
    if (text === history.shown) return;
    const now = Date.now();
    if (history.shown !== null && (now - history.typed > 900 || Math.abs(text.length - history.shown.length) > 2)) {
      history.past.push(history.shown);
      if (history.past.length > 200) history.past.shift();
    }
    history.typed = now;
    history.shown = text;
  }
  function step(text, from, to) {
    note();
    history.typed = 0; // a step of its own
    put(text, from, to);
    note();
    history.typed = 0;
  }
  function undo() {
    note();
    const before = history.past.pop();
    if (before === undefined) return say("Nothing to undo.");
    history.shown = before;
    history.typed = 0;
    put(before);
    return say("Undone.");
  }

  /* ---- pens ---- */
  function say(sentence, ...actions) {
    const line = $("#pen-note");
    line.replaceChildren(document.createTextNode(sentence));
    for (const { label, run } of actions) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = label;
      button.addEventListener("click", run);
      line.append(" ", button);
    }
  }
  /* What was said of an earlier text goes when the text changes; a question waits for its answer. */
  function hush() {
    if (!$("#pen-note button")) say("");
  }
  const excerpt = (text) => (text.length > 40 ? `“${text.slice(0, 38)}…”` : `“${text}”`);
  /* whole: the sentences that the selection touches, instead of the selection itself. */
  function mark(weight, whole = false) {
    const box = area();
    const literal = isLiteral();
    const result = seka.toggle(box.value, box.selectionStart, box.selectionEnd, weight, { literal, whole });
    if (result.problem) return say(result.problem);
    if (literal) literalBox().click();
    step(result.raw, result.from, result.to);
    document.dispatchEvent(new Event("marked"));
    const verb = weight > 0 ? "Highlighted" : "Ignored";
    return say(`${result.marked ? verb : "Unmarked"}: ${excerpt(box.value.slice(result.from, result.to))}`);
  }
  /* The marks that the selection touches or the caret stands in, and their weight as text: "2", or "0.5–2" of several. */
  function marksHere() {
    const box = area();
    const marks = isLiteral() ? [] : seka.touched(box.value, box.selectionStart, box.selectionEnd);
    const sizes = marks.map((mark) => Math.abs(mark.weight));
    const [least, most] = [Math.min(...sizes), Math.max(...sizes)];
    return { marks, weight: least === most ? `${most}` : `${least}–${most}` };
  }
  /* Give the marks here the next weight, up (1) or down (-1). */
  function weigh(way) {
    const box = area();
    const result = seka.nextWeights(box.value, box.selectionStart, box.selectionEnd, way);
    if (result.problem) return say(result.problem);
    step(result.raw, result.from, result.to);
    const { marks, weight } = marksHere();
    const words = marks.map((mark) => seka.parse(box.value).text.slice(mark.start, mark.end)).join(" … ");
    return say(`Weight ${weight}: ${excerpt(words)}`);
  }
  function clearMarks() {
    const text = area().value;
    if (isLiteral() || seka.parse(text).spans.length === 0) return say("There are no marks to clear.");
    step(seka.clear(text));
    return say("All marks cleared.");
  }

  /* ---- pasted marks: Markdown has them too, so the page asks what they are ---- */
  function pasting(box) {
    const start = box.selectionStart;
    const rest = box.value.slice(box.selectionEnd);
    const before = seka.parse(box.value.slice(0, start) + rest).spans.length;
    setTimeout(() => {
      const count = seka.parse(box.value).spans.length - before;
      if (count < 1 || isLiteral()) return;
      const part = box.value.slice(start, box.value.length - rest.length);
      const keep = () => (area().focus(), say(count === 1 ? "It stays a mark." : "They stay marks."));
      say(
        `The pasted text brought ${count === 1 ? "1 mark" : `${count} marks`}, as Markdown does.`,
        { label: "Keep", run: keep },
        { label: "Treat as plain text", run: () => plainly(part, start) },
      );
    }, 0);
  }
  /* The pasted part with every marker literal; marks made elsewhere stay. */
  function plainly(part, start) {
    const text = area().value;
    const at = text.startsWith(part, start) ? start : text.indexOf(part);
    if (at < 0) return say("The pasted text has changed since; use Undo or Clear marks.");
    const literal = seka.literalise(part);
    step(text.slice(0, at) + literal + text.slice(at + part.length), at + literal.length);
    return say("The pasted markers are plain text now.");
  }

  /* ---- the coloured backdrop behind the text box ---- */
  let painted = false; // whether it shows the markers as text
  function paint() {
    const box = area();
    if (!box) return;
    let back = $("#prompt .backdrop");
    if (!back || back.nextElementSibling !== box) {
      back = document.createElement("div");
      back.className = "backdrop";
      back.setAttribute("aria-hidden", "true");
      box.before(back);
    }
    const style = getComputedStyle(box);
    for (const name of ["font", "letterSpacing", "lineHeight", "padding", "borderWidth", "textIndent", "tabSize", "textAlign"]) {
      back.style[name] = style[name];
    }
    back.style.width = `${box.clientWidth + parseFloat(style.borderLeftWidth) + parseFloat(style.borderRightWidth)}px`;
    back.style.height = `${box.offsetHeight}px`;
    back.style.top = `${box.offsetTop}px`;
    back.style.left = `${box.offsetLeft}px`;
    painted = isLiteral();
    const pieces = painted ? [{ from: 0, to: box.value.length, weights: [] }] : seka.parse(box.value).pieces;
    back.replaceChildren(
      ...pieces.map((piece) => {
        const part = document.createElement("span");
        part.textContent = box.value.slice(piece.from, piece.to);
        if (piece.gone) part.className = "marker";
        else if (piece.live) part.className = "stray";
        if (piece.weights.some((weight) => weight > 0)) part.classList.add("emphasise");
        if (piece.weights.some((weight) => weight < 0)) part.classList.add("ignore");
        const most = Math.max(...piece.weights.map(Math.abs));
        if (piece.weights.length && most !== 1) part.classList.add(most > 1 ? "heavy" : "light");
        return part;
      }),
      document.createTextNode("\n"),
    );
    back.scrollTop = box.scrollTop;
  }

  /* ---- the box that is there, and what others (an example, a link) put into it; page.js calls this when the page changes ---- */
  let known = null;
  function follow() {
    const box = area();
    if (box && box !== known) attach((known = box));
    else if (box && box.value !== history.shown) (note(), say(""), paint()); // a question about the old text as well
    else if (box && painted !== isLiteral()) paint();
  }
  function attach(box) {
    history.past.length = 0;
    history.shown = box.value;
    box.addEventListener("input", () => (note(), hush(), paint()));
    box.addEventListener("scroll", () => ($("#prompt .backdrop").scrollTop = box.scrollTop), { passive: true });
    box.addEventListener("paste", () => pasting(box));
    new ResizeObserver(paint).observe(box);
    paint();
  }

  document.addEventListener("keydown", (event) => {
    if (event.target !== area() || !(event.ctrlKey || event.metaKey) || event.altKey) return;
    const key = event.key.toLowerCase();
    const act =
      key === "b" && !event.shiftKey ? () => mark(1)
      : key === "x" && event.shiftKey ? () => mark(-1)
      : key === "enter" ? () => $("#compare").click()
      : null;
    if (!act) return;
    event.preventDefault();
    act();
  });
  document.addEventListener("change", (event) => event.target === literalBox() && paint());
  // A pen must not take the focus (and with it the visible selection) from the text box.
  document.addEventListener("mousedown", (event) => event.target.closest?.("#pens button") && event.preventDefault());

  Object.assign(seka, { mark, marksHere, weigh, clearMarks, undo, follow });
})();
