/* The row of pens that appears at a selection in the prompt box: with the mouse, by keyboard (Tab goes into it, the arrow
   keys move in it, Escape leaves it) and on a phone. In a mark it has two buttons for the weight as well, and a click or tap
   into the mark is enough. Its buttons are the pens of editor.js; it only shows and places them. */
(() => {
  "use strict";
  const seka = window.seka;
  const $ = (selector) => document.querySelector(selector);
  const area = () => $("#prompt textarea");
  const GAP = 6; // pixels between the selection and the row
  const PENS = [
    ["Highlight", "", "emphasise", () => seka.mark(1)],
    ["Ignore", "", "ignore", () => seka.mark(-1)],
    ["Sentence", "Highlight the whole sentence", "emphasise", () => seka.mark(1, true)],
  ];
  let held = false; // the mouse is still selecting
  let placed = ""; // where the caret was put by mouse or finger: typing and arrow keys bring no row
  let dismissed = ""; // the selection that the row has done with: marked, or Escape was pressed

  /* The row, directly after the box's label, so that Tab goes from the text into it. */
  function row() {
    let made = $("#selection-pens");
    if (made) return made;
    made = document.createElement("div");
    made.id = "selection-pens";
    made.hidden = true;
    made.setAttribute("role", "toolbar");
    made.setAttribute("aria-label", "Mark the selection");
    PENS.forEach(([label, title, kind, act], index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "pen";
      button.dataset.kind = kind;
      button.textContent = label;
      if (title) button.setAttribute("aria-label", (button.title = title));
      button.tabIndex = index ? -1 : 0;
      button.addEventListener("click", act);
      made.append(button);
    });
    made.append(stepper());
    made.addEventListener("keydown", (event) => {
      const buttons = [...made.querySelectorAll(":scope > button, .stepper:not([hidden]) button")];
      const at = buttons.indexOf(document.activeElement);
      const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: -1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      const next = buttons.at(to % buttons.length);
      stopAt(next);
      next.focus();
    });
    // The row takes neither the focus nor the visible selection from the text box when it is pressed.
    made.addEventListener("mousedown", (event) => event.preventDefault());
    $("#prompt").append(made);
    return made;
  }

  /* Tab goes to this one of the row's buttons. */
  function stopAt(button) {
    for (const other of $("#selection-pens").querySelectorAll("button")) other.tabIndex = other === button ? 0 : -1;
  }

  /* Less weight, the weight, more weight. */
  function stepper() {
    const made = document.createElement("span");
    made.className = "stepper";
    made.setAttribute("role", "group");
    made.setAttribute("aria-label", "Weight");
    const value = document.createElement("span");
    value.className = "weight";
    const [less, more] = [["−", "Less weight", -1], ["+", "More weight", 1]].map(([sign, label, way]) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = sign;
      button.setAttribute("aria-label", (button.title = label));
      button.dataset.way = way;
      button.tabIndex = -1;
      button.addEventListener("click", () => weigh(button));
      return button;
    });
    made.append(less, value, more);
    return made;
  }
  /* Nothing at the end of the scale: the button stays, disabled in name alone, so that it keeps the focus. */
  function weigh(button) {
    if (button.getAttribute("aria-disabled") === "true") return;
    const focused = document.activeElement === button;
    seka.weigh(Number(button.dataset.way)); // the text box takes the focus for it
    placed = key(area());
    show();
    if (focused) button.focus();
  }
  function showWeight(bar, { marks, weight }) {
    const part = bar.querySelector(".stepper");
    part.hidden = marks.length === 0;
    if (part.hidden) return part.querySelector("[tabindex='0']") && stopAt(bar.firstElementChild);
    part.querySelector(".weight").textContent = `×${weight}`;
    for (const button of part.querySelectorAll("button")) {
      const ended = marks.every((mark) => seka.nextWeight(mark.weight, Number(button.dataset.way)) === mark.weight);
      button.setAttribute("aria-disabled", String(ended));
    }
  }

  const key = (box) => `${box.selectionStart}:${box.selectionEnd}:${box.value}`;
  function dismiss() {
    dismissed = key(area());
    show();
  }

  /* Show the row where something but blanks is selected or the caret was put into a mark, and hide it elsewhere. */
  function show() {
    const box = area();
    if (!box) return;
    const bar = row();
    const inside = document.activeElement === box || bar.contains(document.activeElement);
    const here = seka.marksHere();
    const caret = box.selectionStart === box.selectionEnd;
    const chosen = caret ? here.marks.length && key(box) === placed : box.value.slice(box.selectionStart, box.selectionEnd).trim();
    const lines = !held && inside && chosen && key(box) !== dismissed ? places(box) : [];
    const frame = box.getBoundingClientRect();
    const seen = lines.filter((line) => line.bottom > frame.top && line.top < frame.bottom);
    bar.hidden = seen.length === 0;
    showWeight(bar, here);
    if (!bar.hidden) place(bar, seen[0], seen.at(-1), frame);
  }

  /* Above the selection with a mouse; below it under a finger, where a phone puts its own menu above. */
  function place(bar, first, last, frame) {
    const origin = $("#prompt").getBoundingClientRect();
    const below = matchMedia("(pointer: coarse)").matches;
    const line = below ? last : first;
    const middle = (line.left + line.right - bar.offsetWidth) / 2;
    const left = Math.max(Math.min(middle, frame.right - bar.offsetWidth), frame.left);
    const top = below ? Math.min(last.bottom, frame.bottom) + GAP : Math.max(first.top, frame.top) - bar.offsetHeight - GAP;
    bar.style.left = `${left - origin.left}px`;
    bar.style.top = `${top - origin.top}px`;
  }

  /* The selection's lines on the screen, from the backdrop, which holds the same text in the same places. */
  function places(box) {
    const back = $("#prompt .backdrop");
    const range = document.createRange();
    const walk = document.createTreeWalker(back, NodeFilter.SHOW_TEXT);
    let passed = 0;
    for (let node; (node = walk.nextNode()); passed += node.data.length) {
      const within = (offset) => offset >= passed && offset <= passed + node.data.length;
      if (within(box.selectionStart)) range.setStart(node, box.selectionStart - passed);
      if (within(box.selectionEnd)) {
        range.setEnd(node, box.selectionEnd - passed);
        break;
      }
    }
    return [...range.getClientRects()].filter((line) => line.width > 0 || range.collapsed);
  }

  document.addEventListener("selectionchange", show);
  document.addEventListener("focusin", show);
  document.addEventListener("focusout", () => setTimeout(show, 0)); // the next element has the focus by then
  document.addEventListener("scroll", (event) => event.target === area() && show(), { capture: true, passive: true });
  document.addEventListener("pointerdown", (event) => {
    held = event.pointerType === "mouse" && event.target === area();
    if (held) show();
  });
  for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, () => ((held = false), setTimeout(show, 0)));
  // By then the caret is where the mouse or the finger has put it.
  document.addEventListener("click", (event) => {
    if (event.target !== area()) return;
    placed = key(area());
    dismissed = "";
    show();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || ($("#selection-pens")?.hidden ?? true)) return;
    area().focus({ preventScroll: true });
    dismiss();
  });
  document.addEventListener("marked", dismiss);
  addEventListener("resize", show);
})();
