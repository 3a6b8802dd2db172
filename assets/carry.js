/* Take along, in the browser: links, the run as a file, figures as files, and what this browser remembers.
   app/link.py reads the links, app/runs.py the files. Nothing here talks to the server; text is written with textContent only. */
(() => {
  "use strict";
  const seka = window.seka;
  const $ = (selector) => document.querySelector(selector);
  const address = new URL(location.href);
  const embedded = address.searchParams.get("embed") === "1";
  if (embedded) document.documentElement.classList.add("embed");
  // A link is opened once: a reload shows what was written since, which this browser keeps. An embedded page keeps nothing.
  if (!embedded && address.searchParams.has("s") && performance.getEntriesByType("navigation")[0]?.type === "reload") {
    address.searchParams.delete("s");
    history.replaceState(history.state, "", address);
  }

  function say(sentence, text) {
    const note = $("#carry-note");
    note.replaceChildren(document.createTextNode(sentence));
    if (!text) return [];
    const field = document.createElement("input");
    field.readOnly = true;
    field.value = text;
    field.setAttribute("aria-label", "Text to copy");
    note.append(field);
    field.select();
    return [];
  }
  async function copy(text, done) {
    const copied = await navigator.clipboard?.writeText(text).then(() => true, () => false);
    return copied ? say(done) : say("Copy it by hand:", text);
  }

  /* ---- links ---- */
  function base64url(bytes) {
    let text = "";
    for (const byte of bytes) text += String.fromCharCode(byte);
    return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  }
  async function encode(asked) {
    const json = new TextEncoder().encode(JSON.stringify(asked));
    const plain = `j${base64url(json)}`;
    if (!window.CompressionStream) return plain;
    const packed = new Blob([json]).stream().pipeThrough(new CompressionStream("deflate-raw"));
    const short = `z${base64url(new Uint8Array(await new Response(packed).arrayBuffer()))}`;
    return short.length < plain.length ? short : plain;
  }
  // An emptied number is left out, so that it has its default.
  function asked(names, [prompt, ...values]) {
    const given = names.map((name, index) => [name, values[index]]).filter(([, value]) => value !== null && value !== undefined);
    return { prompt, settings: Object.fromEntries(given) };
  }
  async function code(page, values) {
    const text = await encode(asked(page.names, values));
    if (text.length <= page.longest) return text;
    const [has, most] = [text.length, page.longest].map((count) => count.toLocaleString("en"));
    say(`Too long for a link: ${has} characters of at most ${most}. Press Compare, then Export run, and send the file.`);
    return null;
  }
  async function copyLink(page, values) {
    const text = await code(page, values);
    if (text === null) return [];
    return copy(`${page.base || location.origin + location.pathname}?s=${text}`, "Link copied. It holds the prompt and the settings.");
  }
  async function copyEmbed(page, values) {
    const text = await code(page, values);
    if (text === null) return [];
    const source = `${location.origin}${location.pathname}?embed=1&amp;s=${text}`;
    const frame = `<iframe src="${source}" width="100%" height="640" title="seka"></iframe>`;
    return copy(frame, "Embed code copied: an iframe with this prompt and these settings.");
  }

  /* ---- files ---- */
  function save(name, blob) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }
  function exportRun(run) {
    if (!run) return say("There is no run to export yet: press Compare first.");
    save("seka-run.json", new Blob([JSON.stringify(JSON.parse(run), null, 1)], { type: "application/json" }));
    return say("Run exported: prompt, settings, both answers and what was measured.");
  }
  // The chosen file's text; empty where none was chosen or it is too large to be a run.
  function pickRun() {
    return new Promise((resolve) => {
      const input = document.createElement("input");
      input.type = "file";
      input.accept = ".json,application/json";
      input.addEventListener("cancel", () => resolve(""));
      input.addEventListener("change", async () => {
        const [file] = input.files;
        const fits = file && file.size <= 1_000_000;
        say(fits ? "" : "This file is too large to be a run.");
        resolve(fits ? await file.text() : "");
      });
      input.click();
    });
  }

  /* ---- figures of the open tab ---- */
  function pictures() {
    const seen = [...document.querySelectorAll(".js-plotly-plot")].filter((plot) => plot.layout && plot.getClientRects().length);
    return seen.map((plot) => {
      const box = plot.getBoundingClientRect();
      const paper = getComputedStyle(document.body).backgroundColor;
      const layout = { ...plot.layout, paper_bgcolor: paper, width: box.width, height: box.height, autosize: false };
      const name = plot.closest(".block[id]")?.id || "figure";
      return { name: `seka-${name}`, figure: { data: plot.data, layout }, size: { width: box.width, height: box.height } };
    });
  }
  // A picture as <img> never runs anything, whatever its labels say.
  function standalone({ name, size }, picture) {
    const page = document.implementation.createHTMLDocument(name);
    const charset = page.createElement("meta");
    charset.setAttribute("charset", "utf-8");
    page.head.prepend(charset);
    const image = page.createElement("img");
    image.src = picture;
    image.alt = name;
    image.width = size.width;
    page.body.append(image);
    return new Blob([`<!doctype html>\n${page.documentElement.outerHTML}\n`], { type: "text/html" });
  }
  async function saveFigures(kind) {
    const found = window.Plotly ? pictures() : [];
    if (!found.length) return say("The open tab shows no figure: choose another one, or press Compare first.");
    for (const picture of found) {
      const format = kind === "png" ? "png" : "svg";
      const made = await window.Plotly.toImage(picture.figure, { format, ...picture.size, scale: kind === "png" ? 2 : 1 });
      const blob = kind === "png" ? await (await fetch(made)).blob() : standalone(picture, made);
      save(`${picture.name}.${kind}`, blob);
    }
    const files = found.map((picture) => `${picture.name}.${kind}`).join(", ");
    return say(`Saved: ${files}.`);
  }

  /* ---- what this browser remembers: nothing before the page has opened, nothing of an embedded page ---- */
  let early = false; // something changed before the page had opened: what it then shows is kept as soon as it has
  function keep(names, opened, kept, values) {
    const given = asked(names, values);
    seka.asks(given);
    early ||= opened !== "yes";
    return opened === "yes" && !embedded ? given : kept;
  }
  function keepEarly(names, opened, kept, values) {
    return early ? keep(names, opened, kept, values) : undefined; // Gradio leaves alone what it is given nothing for
  }
  const RUN = "seka-run"; // the file of the run that is shown
  function keepRun(opened, run) {
    if (opened !== "yes" || embedded) return;
    try {
      localStorage.removeItem(RUN); // also where there is no room for the new one
      if (run) localStorage.setItem(RUN, run);
    } catch {
      // blocked, or too long: then a reload shows no run
    }
  }
  function lastRun() {
    try {
      return (!embedded && localStorage.getItem(RUN)) || "";
    } catch {
      return "";
    }
  }

  // The way out of an embedded page; Gradio may write its HTML anew.
  const full = new URL(location.href);
  full.searchParams.delete("embed");
  function lead() {
    const whole = $("#whole-page");
    if (!whole || whole.href) return;
    whole.href = full;
    whole.style.setProperty("display", "inline", "important");
  }
  if (embedded) new MutationObserver(lead).observe(document.documentElement, { childList: true, subtree: true });

  Object.assign(seka, { copyLink, copyEmbed, exportRun, pickRun, saveFigures, keep, keepEarly, keepRun, lastRun });
})();
