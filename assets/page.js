/* The page's own behaviour in the browser: pens of the prompt box, its coloured backdrop, undo, copying, colours of plots.
   The grammar is in marks.js. Nothing here talks to the server; text is written with textContent only. */
(() => {
  "use strict";
  const seka = window.seka;
  const $ = (selector) => document.querySelector(selector);
  const area = () => $("#prompt textarea");
  const literalBox = () => $("#literal input[type=checkbox]");

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
    // insertText keeps the browser's own undo working; setRangeText is for browsers without it.
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
  function say(sentence, action) {
    const line = $("#pen-note");
    line.replaceChildren(document.createTextNode(sentence));
    if (!action) return;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = action.label;
    button.addEventListener("click", action.run);
    line.append(" ", button);
  }
  function mark(weight) {
    const box = area();
    const literal = literalBox()?.checked ?? false;
    const result = seka.toggle(box.value, box.selectionStart, box.selectionEnd, weight, literal);
    if (result.problem) return say(result.problem);
    if (literal) literalBox().click();
    step(result.raw, result.from, result.to);
    const verb = weight > 0 ? "Highlighted" : "Ignored";
    return say(`${result.marked ? verb : "Unmarked"}: ${excerpt(box.value.slice(result.from, result.to))}`);
  }
  const excerpt = (text) => (text.length > 40 ? `“${text.slice(0, 38)}…”` : `“${text}”`);
  function clearMarks() {
    const text = seka.clear(area().value);
    if (seka.parse(area().value).spans.length === 0) return say("There are no marks to clear.");
    step(text);
    return say("All marks cleared.");
  }
  function pasted(before) {
    const count = seka.parse(area().value).spans.length - before;
    if (count < 1 || literalBox()?.checked) return;
    const what = count === 1 ? "1 mark" : `${count} marks`;
    const run = () => {
      step(seka.literalise(area().value));
      say("The markers are plain text now.");
    };
    say(`The pasted text brought ${what}, as Markdown does.`, { label: "Treat as plain text", run });
  }

  /* ---- the coloured backdrop behind the text box ---- */
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
    const literal = literalBox()?.checked;
    const pieces = literal ? [{ from: 0, to: box.value.length, weights: [] }] : seka.parse(box.value).pieces;
    back.replaceChildren(
      ...pieces.map((piece) => {
        const part = document.createElement("span");
        part.textContent = box.value.slice(piece.from, piece.to);
        if (piece.gone) part.className = "marker";
        else if (piece.live) part.className = "stray";
        if (piece.weights.includes(1)) part.classList.add("emphasise");
        if (piece.weights.includes(-1)) part.classList.add("ignore");
        return part;
      }),
      document.createTextNode("\n"),
    );
    back.scrollTop = box.scrollTop;
  }
  function attach(box) {
    history.past.length = 0;
    history.shown = box.value;
    box.addEventListener("input", () => (note(), paint()));
    box.addEventListener("scroll", () => ($("#prompt .backdrop").scrollTop = box.scrollTop), { passive: true });
    box.addEventListener("paste", () => {
      const before = seka.parse(box.value).spans.length;
      setTimeout(() => pasted(before), 0);
    });
    new ResizeObserver(paint).observe(box);
    paint();
  }

  /* ---- plots follow the theme; the slider shows the recommended strength ---- */
  function recolour() {
    const ink = getComputedStyle(document.body).getPropertyValue("--body-text-color-subdued").trim();
    for (const plot of document.querySelectorAll(".js-plotly-plot")) {
      if (!plot.layout || plot.layout.font?.color === ink || !window.Plotly) continue;
      const change = { "font.color": ink };
      (plot.layout.annotations ?? []).forEach((_, index) => (change[`annotations[${index}].font.color`] = ink));
      window.Plotly.relayout(plot, change);
    }
  }
  const sized = new ResizeObserver(tick);
  function tick() {
    const gain = Number($("#about [data-gain]")?.dataset.gain);
    const range = $("#strength input[type=range]");
    if (!range || Number.isNaN(gain)) return;
    sized.observe(range);
    const thumb = 16;
    const at = range.offsetLeft + thumb / 2 + ((gain - range.min) / (range.max - range.min)) * (range.offsetWidth - thumb) - 1;
    $("#strength").style.setProperty("--recommended", `${at}px`);
  }
  const differences = (on) => $("#answers").classList.toggle("plainly", !on);

  /* ---- once for the document ---- */
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
  // A pen must not take the focus (and with it the visible selection) from the text box.
  document.addEventListener("mousedown", (event) => event.target.closest?.("#pens button") && event.preventDefault());
  document.addEventListener("click", async (event) => {
    if (event.target.closest?.("#compare") && innerWidth < 700) $("#answers").scrollIntoView({ block: "center" });
    const button = event.target.closest?.("button.copy");
    if (!button) return;
    const text = $(`#${button.dataset.copy} .written`)?.textContent ?? "";
    const done = await navigator.clipboard?.writeText(text).then(() => true, () => false);
    button.textContent = done ? "Copied" : "Select and copy by hand";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
  let known = null;
  let waiting = false;
  function look() {
    waiting = false;
    const box = area();
    if (box && box !== known) attach((known = box));
    else if (box && box.value !== history.shown) (note(), paint()); // an example was loaded
    for (const [part, how] of [["#remarks", "polite"], ["#plain", "off"], ["#steered", "off"]]) $(part)?.setAttribute("aria-live", how);
    recolour();
    tick();
  }
  new MutationObserver(() => {
    if (!waiting) requestAnimationFrame(look);
    waiting = true;
  }).observe(document.documentElement, { childList: true, subtree: true, attributes: true, attributeFilter: ["class", "checked"] });

  Object.assign(seka, { mark, clearMarks, undo, differences, paint, recolour });
})();
