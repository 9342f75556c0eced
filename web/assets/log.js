// Follows a stage's log: what is there, then what comes, until the reader scrolls up.
// The asking is done in a worker, because an answer may be waited for: live.js says why.
const log = document.getElementById("log");
const more = document.getElementById("more");
// A line whose address the page was opened at, and which comes later.
let wanted = document.getElementById(location.hash.slice(1)) ? "" : location.hash.slice(1);
// Parts of the log that come into sight are laid out and move what is below them: the
// line is brought into sight until it stays.
function settle(frames = 20) {
  const at = document.querySelector(".ln:target");
  const group = at?.closest("details.group");
  if (group && !at.closest("summary")) group.open = true;
  at?.scrollIntoView({ block: "center" });
  if (frames) requestAnimationFrame(() => settle(frames - 1));
}
if (location.hash) settle();
addEventListener("hashchange", () => settle());
log?.addEventListener("click", (e) => {
  if (e.target.className !== "ln") return;
  e.preventDefault(); // the number of a group's first line does not fold it
  location.hash = e.target.id;
});
const fold = document.getElementById("fold");
const groups = () => log.querySelectorAll("details.group");
fold?.addEventListener("click", ({ target }) => {
  if (target.dataset.fold) for (const g of groups()) g.open = target.dataset.fold === "open";
});
// Times are in the zone that the settings choose.
function arrange() {
  fold.hidden = groups().length === 0;
  if (localStorage.getItem("times") !== "local") return;
  for (const t of log.querySelectorAll(".ts[data-at]:not([title])")) {
    t.title = t.dataset.at;
    t.textContent = new Date(t.dataset.at).toLocaleTimeString(undefined, { hour12: false, fractionalSecondDigits: 3 });
  }
}
arrange();
// A group that was open at the end of what is there goes on in it.
function append(html) {
  const part = document.createElement("template");
  part.innerHTML = html;
  const [first] = part.content.children;
  const last = log.lastElementChild;
  if (first?.matches("details[data-continues]") && last?.matches("details")) {
    first.querySelector("summary").remove();
    last.append(...first.childNodes);
    first.remove();
  }
  log.append(part.content);
  arrange();
}
if (log && log.dataset.follow === "true") {
  let pinned = !location.hash;
  addEventListener("scroll", () => {
    pinned = innerHeight + scrollY >= document.documentElement.scrollHeight - 40;
    if (pinned) more.hidden = true;
  });
  more.addEventListener("click", () => scrollTo(0, document.documentElement.scrollHeight));
  const follower = new Worker("/assets/follow.js");
  follower.onmessage = ({ data: html }) => {
    append(html);
    if (wanted && document.getElementById(wanted)) {
      location.replace("#" + wanted);
      settle();
      wanted = "";
    } else if (pinned) scrollTo(0, document.documentElement.scrollHeight);
    else more.hidden = false;
  };
  follower.postMessage({ url: log.dataset.more, at: Number(log.dataset.from), line: Number(log.dataset.line), group: log.dataset.group });
}
