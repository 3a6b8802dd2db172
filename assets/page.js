/* The page's own behaviour in the browser: colours of plots, the slider's tick, copying, and what follows the page's changes.
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

  /* ---- once for the document ---- */
  document.addEventListener("click", async (event) => {
    if (event.target.closest?.("#compare") && innerWidth < 700) $("#answers").scrollIntoView({ block: "center" });
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
    for (const [part, how] of [["#remarks", "polite"], ["#plain", "off"], ["#steered", "off"]]) $(part)?.setAttribute("aria-live", how);
    recolour();
    name();
    tick();
  }
  new MutationObserver(() => {
    if (!waiting) requestAnimationFrame(look);
    waiting = true;
  }).observe(document.documentElement, { childList: true, subtree: true, attributes: true, attributeFilter: ["class", "checked"] });

  Object.assign(seka, { differences });
})();
