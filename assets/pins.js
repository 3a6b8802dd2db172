/* Pinned runs: copies of the card of the last finished run (#card, made and escaped by the server), kept in this tab alone. */
(() => {
  "use strict";
  const $ = (selector) => document.querySelector(selector);
  const say = (sentence) => ($("#pin-said").textContent = sentence);

  function pin() {
    const card = $("#card article.card");
    if (!card) return say("There is nothing to pin yet: a run has to end first.");
    const list = $("#pins ol");
    if ([...list.children].some((item) => item.firstElementChild.innerHTML === card.innerHTML)) return say("This run is pinned already.");
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "unpin";
    button.textContent = "Unpin";
    button.setAttribute("aria-label", `Unpin ${card.querySelector(".how").textContent}`);
    button.addEventListener("click", () => unpin(item));
    item.append(card.cloneNode(true), button);
    list.prepend(item);
    return say(`Pinned: ${count(list)} on this page until it is closed.`);
  }
  function unpin(item) {
    const list = item.parentElement;
    const next = item.nextElementSibling ?? item.previousElementSibling;
    item.remove();
    (next?.querySelector(".unpin") ?? $("#pin")).focus();
    say(`Unpinned: ${count(list)} left.`);
  }
  const count = (list) => (list.children.length === 1 ? "1 run" : `${list.children.length} runs`);

  Object.assign(window.seka, { pin });
})();
