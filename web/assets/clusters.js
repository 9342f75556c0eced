// Keeps the squares of the page of clusters in step: every second it asks what has changed
// since the page was made, as JSON, and changes those squares alone. Where server groups
// came or went the whole page is asked for anew.
const period = 1000;

function squareOf(id) {
  if (id === "many") {
    const e = document.createElement("span");
    e.setAttribute("role", "img");
    return e;
  }
  const e = document.createElement("a");
  e.href = "/instances/" + encodeURIComponent(id);
  return e;
}

function set(box, [id, kind, shape, label, times]) {
  let e = box.querySelector(`[data-id="${CSS.escape(id)}"]`);
  if (!e) {
    e = squareOf(id);
    e.dataset.id = id;
    box.append(e);
    if (times) box.append(Object.assign(document.createElement("span"), { className: "times" }));
  }
  e.className = "square s-" + kind;
  e.textContent = shape;
  e.title = label;
  e.setAttribute("aria-label", times ? label : shape + " " + label);
  if (times) e.nextElementSibling.textContent = "×" + times;
}

// Puts squares into an order, and takes those out that are not in it. One that is in its
// place is not touched, so that it keeps the focus.
function arrange(box, order) {
  const here = new Map([...box.querySelectorAll("[data-id]")].map((e) => [e.dataset.id, e]));
  const wanted = order.flatMap((id) => (id === "many" ? [here.get(id), here.get(id).nextElementSibling] : [here.get(id)]));
  const keep = new Set(wanted);
  for (const e of [...box.children]) if (!keep.has(e)) e.remove();
  wanted.forEach((e, i) => box.children[i] === e || box.insertBefore(e, box.children[i] ?? null));
}

function change(cell, { serving, desired, share, set: changed, order }) {
  const box = cell.querySelector(".squares");
  for (const square of changed ?? []) set(box, square);
  if (order) arrange(box, order);
  const counts = cell.querySelector("[data-of=counts]");
  counts.textContent = serving + "/" + desired;
  if (!counts.classList.contains("dim")) counts.className = serving < desired ? "s-wait" : "s-ok";
  const traffic = cell.querySelector("[data-of=share]");
  if (traffic) traffic.textContent = share;
}

customElements.define(
  "cluster-live",
  class extends HTMLElement {
    connectedCallback() {
      this.timer = setInterval(() => this.ask(), period);
    }
    disconnectedCallback() {
      clearInterval(this.timer);
    }
    async ask() {
      const { since, query, application } = this.dataset;
      if (document.hidden || this.asking || !since) return;
      this.asking = true;
      try {
        const answer = await fetch("/clusters/changes?" + new URLSearchParams({ since, q: query, application }));
        // Another answer, of the whole page, may have come in between: it is newer.
        if (answer.ok && this.dataset.since === since) this.take(await answer.json());
      } catch {
        // live.js says that the page is not live; the next question comes in a second
      } finally {
        this.asking = false;
      }
    }
    take({ at, reset, groups, standing }) {
      if (reset) {
        this.dataset.since = "";
        window.htmx.trigger(document.getElementById("main"), "live");
        return;
      }
      performance.mark("clusters");
      const cells = new Map([...document.querySelectorAll("[data-group]")].map((e) => [e.dataset.group, e]));
      for (const [key, changed] of Object.entries(groups ?? {})) {
        const cell = cells.get(key);
        if (cell) change(cell, changed);
      }
      // What has the focus is left alone; the next change brings it up to date.
      if (standing && !this.contains(document.activeElement)) this.innerHTML = standing;
      this.dataset.since = at;
      performance.measure("clusters", "clusters");
    }
  },
);
