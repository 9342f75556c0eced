// Checks the text of the editor while somebody types, and leads from a finding to its
// place. Without it the button Check does the same.
const form = document.querySelector("form.editor");
const text = document.getElementById("text");
const checked = document.getElementById("checked");
let due = 0;
let asking = null;

async function check() {
  asking?.abort();
  asking = new AbortController();
  try {
    const answer = await fetch(form.dataset.check, { method: "POST", body: new URLSearchParams(new FormData(form)), signal: asking.signal });
    if (!answer.ok) throw new Error(answer.status);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    checked.replaceChildren(...page.getElementById("checked").childNodes);
  } catch (e) {
    if (e.name !== "AbortError") checked.querySelector("[role=status]").textContent = "▲ The text could not be checked; the button Check tries again.";
  }
}

text.addEventListener("input", () => {
  clearTimeout(due);
  due = setTimeout(check, 400);
});

// Where the cursor is, as findings say it: lines and columns begin at 1, and columns count characters.
document.addEventListener("selectionchange", () => {
  if (document.activeElement !== text) return;
  const lines = text.value.slice(0, text.selectionStart).split("\n");
  document.getElementById("place").textContent = `line ${lines.length}, column ${[...lines.at(-1)].length + 1}`;
});

checked.addEventListener("click", (e) => {
  const place = e.target.closest("[data-line]");
  if (!place) return;
  e.preventDefault();
  const { line, column, length } = place.dataset;
  const lines = text.value.split("\n");
  const characters = [...(lines[line - 1] ?? "")];
  const from = lines.slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0) + characters.slice(0, column - 1).join("").length;
  text.focus();
  text.setSelectionRange(from, from + characters.slice(column - 1, column - 1 + Number(length)).join("").length);
  text.scrollTop = Math.max(0, (line - 5) * parseFloat(getComputedStyle(text).lineHeight));
});
