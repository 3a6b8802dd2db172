/* Pinned runs: copies of the card of the last finished run (#card, made and escaped by the server). This browser keeps them,
   and nobody else gets them; what was kept is read back as the elements and the text of a card, never as HTML. An embedded
   page keeps nothing. */
(() => {
  "use strict";
  const $ = (selector) => document.querySelector(selector);
  const say = (sentence) => ($("#pin-said").textContent = sentence);
  const KEY = "seka-pins";
  const MOST = 20; // runs; the oldest give way
  const LARGEST = 500_000; // characters of all of them
  const TAGS = ["article", "p", "div", "h4", "mark", "s", "ins", "del", "span"];
  const ATTRIBUTES = ["class", "title", "data-weight"];
  const embedded = () => document.documentElement.classList.contains("embed");
  let pins = []; // packed cards, the newest first

  /* An element as [tag, {attribute: value}, ...children] and text as itself; made() reads it back. */
  function packed(node) {
    if (node.nodeType === Node.TEXT_NODE) return node.data;
    const given = ATTRIBUTES.filter((name) => node.hasAttribute(name)).map((name) => [name, node.getAttribute(name)]);
    return [node.localName, Object.fromEntries(given), ...[...node.childNodes].map(packed)];
  }
  function made(kept) {
    if (!Array.isArray(kept)) return document.createTextNode(String(kept));
    const [tag, attributes, ...children] = kept;
    const element = document.createElement(TAGS.includes(tag) ? tag : "span");
    for (const name of ATTRIBUTES) if (attributes?.[name]) element.setAttribute(name, attributes[name]);
    element.append(...children.map(made));
    return element;
  }

  /* ---- what this browser keeps; false where it does not ---- */
  function restore() {
    if (embedded()) return;
    try {
      pins = [...JSON.parse(localStorage.getItem(KEY) ?? "[]")].slice(0, MOST);
      draw();
    } catch {
      pins = []; // blocked, or written by something else
      draw();
    }
  }
  function keep() {
    if (embedded()) return false;
    try {
      localStorage.setItem(KEY, JSON.stringify(pins));
      return true;
    } catch {
      return false;
    }
  }

  /* ---- the list ---- */
  function draw() {
    $("#pins ol").replaceChildren(...pins.map(item));
  }
  function item(card) {
    const shown = made(card);
    const button = document.createElement("button");
    button.type = "button";
    button.className = "unpin";
    button.textContent = "Unpin";
    button.setAttribute("aria-label", `Unpin ${shown.querySelector?.(".how")?.textContent ?? ""}`);
    button.addEventListener("click", () => unpin(card));
    const line = document.createElement("li");
    line.append(shown, button);
    return line;
  }
  const count = () => (pins.length === 1 ? "1 run" : `${pins.length} runs`);

  function pin() {
    const card = $("#card article.card");
    if (!card) return say("There is nothing to pin yet: a run has to end first.");
    const text = JSON.stringify(packed(card));
    if (pins.some((other) => JSON.stringify(other) === text)) return say("This run is pinned already.");
    const before = pins.length;
    pins = [JSON.parse(text), ...pins].slice(0, MOST);
    while (pins.length > 1 && JSON.stringify(pins).length > LARGEST) pins.pop();
    draw();
    const where = keep() ? "in this browser" : "until this page is closed";
    return say(`Pinned: ${count()}, kept ${where}.${pins.length > before ? "" : " The oldest gave way."}`);
  }
  function unpin(card) {
    const at = pins.indexOf(card);
    pins.splice(at, 1);
    keep();
    draw();
    ([...document.querySelectorAll("#pins .unpin")].slice(0, at + 1).at(-1) ?? $("#pin")).focus();
    say(`Unpinned: ${count()} left.`);
  }
  function unpinAll() {
    pins = [];
    keep();
    draw();
    $("#pin").focus();
    say("All runs are unpinned.");
  }

  document.addEventListener("click", (event) => event.target.closest?.("#unpin-all") && unpinAll());
  addEventListener("storage", (event) => event.key === KEY && restore()); // pinned in another tab
  new MutationObserver((_, observer) => {
    if (!$("#pins ol")) return;
    observer.disconnect();
    restore();
  }).observe(document.documentElement, { childList: true, subtree: true });

  Object.assign(window.seka, { pin });
})();
