/* The maps of heads: a click on one goes to the page as {layer, head}, and each map has a name for screen readers. */
(() => {
  "use strict";
  const MAPS = { heads: "Map of each head's sensitivity, layers by KV heads", effect: "Map of each head's effect on this prompt, layers by KV heads" };
  let send = null;

  function clicked(event) {
    const point = event.points[0];
    send?.({ layer: Number(point.y), head: Number(point.x) });
  }
  function attach() {
    waiting = false;
    for (const [id, name] of Object.entries(MAPS)) {
      const plot = document.querySelector(`#${id} .js-plotly-plot`);
      if (!plot?.removeAllListeners) continue;
      plot.removeAllListeners("plotly_click"); // once, however often the plot is drawn anew
      plot.on("plotly_click", clicked);
      plot.setAttribute("role", "img");
      plot.setAttribute("aria-label", name);
    }
  }
  let waiting = false;
  new MutationObserver(() => {
    if (!waiting) requestAnimationFrame(attach);
    waiting = true;
  }).observe(document.documentElement, { childList: true, subtree: true });

  window.seka = window.seka ?? {};
  window.seka.headClicks = (report) => (send = report);
})();
