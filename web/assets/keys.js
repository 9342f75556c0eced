// Keys: ? lists them. None of them changes anything: they move about. They can be switched
// off, and never act while somebody types.
const help = document.getElementById("keys");
const on = () => localStorage.getItem("keys") !== "off";
const visible = (e) => e.checkVisibility() && !e.closest("[hidden]");
const focusables = (selector) => [...document.querySelectorAll(selector)].filter(visible);
let going = 0; // g was pressed at this time

// Moves the focus among elements, from where it is.
function move(list, step) {
  if (!list.length) return;
  const here = list.findIndex((e) => e.contains(document.activeElement) || e === document.activeElement);
  const to = here < 0 ? (step > 0 ? 0 : list.length - 1) : Math.min(list.length - 1, Math.max(0, here + step));
  const target = list[to].matches("a, button, input, summary") ? list[to] : list[to].querySelector("a, button, input, summary");
  target?.focus();
  target?.scrollIntoView({ block: "nearest" });
}

const rows = () => focusables("main tbody tr, main section.card").filter((e) => e.querySelector("a, button, summary") && !e.querySelector(":scope tbody tr a"));
const problems = () => focusables("main .failure, main .ask, main .attention tr, main tr:has(.badge.s-fail)").filter((e) => e.querySelector("a, button, input"));

const acts = {
  "?": () => (help.open ? help.close() : help.showModal()),
  "/": () => focusables('main form[role="search"] input:not([type="hidden"])')[0]?.focus(),
  j: () => move(rows(), 1),
  k: () => move(rows(), -1),
  n: () => move(problems(), 1),
  N: () => move(problems(), -1),
  "[": () => document.querySelector('main a[rel="prev"]')?.click(),
  "]": () => document.querySelector('main a[rel="next"]')?.click(),
  f: () => scrollTo(0, document.documentElement.scrollHeight),
  g: () => (going = Date.now()),
};

addEventListener("keydown", (e) => {
  const typing = e.target.matches?.("input:not([type=checkbox]), textarea, select, [contenteditable]");
  if (e.key === "Escape" && typing) e.target.blur();
  if (typing || e.ctrlKey || e.metaKey || e.altKey || (!on() && e.key !== "?")) return;
  const place = Date.now() - going < 1500 && document.querySelector(`nav a[data-key="${CSS.escape(e.key)}"]`);
  going = 0;
  if (place) place.click();
  else if (acts[e.key]) acts[e.key]();
  else return;
  e.preventDefault();
});

document.documentElement.classList.add("scripts");
document.getElementById("keys-close").addEventListener("click", () => help.close());
const choice = document.getElementById("keys-on");
choice.checked = on();
choice.addEventListener("change", () => localStorage.setItem("keys", choice.checked ? "on" : "off"));

// The command that shows the same can be copied.
document.addEventListener("click", async ({ target }) => {
  if (!target.matches(".copy")) return;
  await navigator.clipboard.writeText(target.previousElementSibling.textContent);
  target.textContent = "copied";
});
