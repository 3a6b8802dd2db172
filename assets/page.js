/* The page's own behaviour in the browser: colours of plots, sliders, copying, which runs can be stopped, where a growing answer
   is scrolled to, whether answers are still those of what is asked, and what follows the page's changes.
   Nothing here talks to the server; text is written with textContent only. */
(() => {
  "use strict";
  const seka = window.seka;
  const $ = (selector) => document.querySelector(selector);

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
  /* ---- names for screen readers: a figure is one picture, and its caption or table says what is in it ---- */
  const FIGURES = {
    router: "Maps of each expert's weight, layers by KV heads",
    attention: "Maps of the attention on marked words, layers by query heads",
    "next-token": "Bars of the likeliest next tokens, plain and steered",
    confidence: "Map of how sure the model was of each token it wrote",
    "sweep-figure": "Curves of the likeliest first tokens over the strength",
  };
  function name() {
    for (const [id, label] of Object.entries(FIGURES)) {
      const plot = $(`#${id} .js-plotly-plot`);
      plot?.setAttribute("role", "img");
      plot?.setAttribute("aria-label", label);
      const box = $(`#${id}`);
      if (!plot || box.scrollWidth <= box.clientWidth) continue;
      box.tabIndex = 0; // wider than the page: it scrolls, with the keyboard, too
      box.setAttribute("role", "region");
      box.setAttribute("aria-label", label);
    }
    // A program's long lines scroll, with the keyboard, too.
    for (const box of document.querySelectorAll("#details .cm-scroller")) {
      box.tabIndex = 0;
      box.setAttribute("role", "region");
      box.setAttribute("aria-label", box.closest("[id^=code-]").id.replace("code-", "Program: "));
    }
  }
  const differences = (on) => $("#answers").classList.toggle("plainly", !on);

  /* ---- buttons that stop a run, each with the sign of one; disabled in name alone, so that they keep the focus ---- */
  const waitsAt = (place) => `${place} [data-testid="status-tracker"]:not(.hide)`;
  const STOPS = {
    "#stop": waitsAt("#status"),
    "#stop-measuring": waitsAt("#effect-said"),
    "#sweep-stop": waitsAt("#sweep-status"),
    "#learning-stop": "#learning-status progress",
  };
  function stops() {
    for (const [button, sign] of Object.entries(STOPS)) $(button)?.setAttribute("aria-disabled", String(!$(sign)));
  }

  /* ---- what is wider than its place fades at the right until it is scrolled to its end ---- */
  const WIDE = "#router, #attention, #details :is(.numbers, .cm-scroller)";
  const fade = (box) => box.toggleAttribute("data-more", box.scrollLeft + box.clientWidth < box.scrollWidth - 2);
  const fades = () => document.querySelectorAll(WIDE).forEach(fade);

  /* ---- an answer stays at its end while it is written, unless its reader has gone up in it; the window never moves ---- */
  const PANELS = "#plain, #steered";
  const depth = new WeakMap(); // how far down each panel was scrolled
  const above = new WeakSet(); // panels whose reader has gone up
  function grow() {
    if (!$(STOPS["#stop"])) return;
    for (const panel of document.querySelectorAll(PANELS)) if (!above.has(panel)) panel.scrollTop = panel.scrollHeight;
  }
  function scrolled({ target: panel }) {
    if (panel.matches?.(WIDE)) fade(panel);
    if (!panel.matches?.(PANELS)) return;
    if (panel.scrollTop + panel.clientHeight >= panel.scrollHeight - 4) above.delete(panel);
    else if (panel.scrollTop < depth.get(panel)) above.add(panel);
    depth.set(panel, panel.scrollTop);
  }

  /* ---- answers, and a refusal, of an earlier prompt or of other settings; a card and a refusal hold what was asked ---- */
  const OLD = "These answers are for an earlier prompt or settings.";
  let now = null; // {prompt, settings}, once one of them has changed
  const same = (was, is) => (typeof was === "number" ? Math.abs(was - is) < 1e-6 : was === is);
  function old() {
    const line = $("#old p");
    const card = $("#card [data-asked]");
    const then = now && card && JSON.parse(card.dataset.asked);
    const changed = (name) => now.settings[name] !== undefined && !same(then.settings[name], now.settings[name]);
    const said = then && (then.prompt !== now.prompt || Object.keys(then.settings).some(changed)) ? OLD : "";
    if (line && line.textContent !== said) line.textContent = said;
    const refusal = $("#refused p");
    if (refusal && now) refusal.classList.toggle("past", other(JSON.parse(refusal.dataset.asked)));
  }
  function other({ prompt, settings }) {
    const names = Object.keys({ ...settings, ...now.settings });
    return prompt !== now.prompt || names.some((name) => !same(settings[name], now.settings[name]));
  }
  function asks(given) {
    now = given;
    old();
  }

  /* ---- a number beyond a slider's ends, before Gradio takes the end in its place ---- */
  function leave({ target: field }) {
    if (!field.matches?.("#strength input[type=number], #max-new input[type=number]")) return;
    const { min, max } = field.closest(".block").querySelector("input[type=range]");
    const [given, end] = [Number(field.value), Math.min(Math.max(field.value, min), max)];
    const name = field.closest("#strength") ? "Strength" : "Max new tokens";
    $("#beyond [role=status]").textContent = given === end ? "" : `${name} goes from ${min} to ${max}: ${given} is ${end} now.`;
  }

  /* ---- a refusal is gone to where it is out of sight; a narrow page goes to its answers when a run begins ---- */
  const told = () => $("#status .html-container")?.textContent;
  let pressed = null; // {said}: the status line when Compare was pressed, which a run changes first
  function go() {
    const fresh = $("#refused p:not(.past, .seen)");
    if (fresh) {
      fresh.classList.add("seen");
      const { top, bottom } = fresh.getBoundingClientRect();
      if (top < 0 || bottom > innerHeight) fresh.scrollIntoView({ block: "center" });
      pressed = null;
    }
    if (!pressed || pressed.said === told()) return;
    $("#answers").scrollIntoView({ block: "center" });
    pressed = null;
  }

  /* ---- once for the document ---- */
  document.addEventListener("scroll", scrolled, { capture: true, passive: true });
  addEventListener("resize", fades);
  document.addEventListener("blur", leave, { capture: true });
  document.addEventListener("click", async (event) => {
    if (event.target.closest?.("#compare") && innerWidth < 700) pressed = { said: told() };
    const button = event.target.closest?.("button.copy");
    if (!button) return;
    const text = $(`#${button.dataset.copy} .written`)?.textContent ?? "";
    const done = await navigator.clipboard?.writeText(text).then(() => true, () => false);
    button.textContent = done ? "Copied" : "Select and copy by hand";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
  let waiting = false;
  function look() {
    waiting = false;
    seka.follow();
    stops();
    go();
    grow();
    old();
    for (const [part, how] of [["#remarks", "polite"], ["#plain", "off"], ["#steered", "off"]]) $(part)?.setAttribute("aria-live", how);
    recolour();
    name();
    fades();
    tick();
  }
  new MutationObserver(() => {
    if (!waiting) requestAnimationFrame(look);
    waiting = true;
  }).observe(document.documentElement, { childList: true, characterData: true, subtree: true, attributes: true, attributeFilter: ["class", "checked"] });

  Object.assign(seka, { differences, asks });
})();
