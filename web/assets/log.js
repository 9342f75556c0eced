// Follows a stage's log: what is there, then what comes, until the reader scrolls up.
// The asking is done in a worker, because an answer may be waited for: live.js says why.
const log = document.getElementById("log");
const more = document.getElementById("more");
// A line whose address the page was opened at, and which comes later.
let wanted = document.getElementById(location.hash.slice(1)) ? "" : location.hash.slice(1);
// Parts of the log that come into sight are laid out and move what is below them: the
// line is brought into sight until it stays.
function settle(frames = 20) {
  document.querySelector(".ln:target")?.scrollIntoView({ block: "center" });
  if (frames) requestAnimationFrame(() => settle(frames - 1));
}
if (location.hash) settle();
addEventListener("hashchange", () => settle());
log?.addEventListener("click", ({ target }) => {
  if (target.className === "ln") location.hash = target.id;
});
if (log && log.dataset.follow === "true") {
  let pinned = !location.hash;
  addEventListener("scroll", () => {
    pinned = innerHeight + scrollY >= document.documentElement.scrollHeight - 40;
    if (pinned) more.hidden = true;
  });
  more.addEventListener("click", () => scrollTo(0, document.documentElement.scrollHeight));
  const follower = new Worker("/assets/follow.js");
  follower.onmessage = ({ data: html }) => {
    log.insertAdjacentHTML("beforeend", html);
    if (wanted && document.getElementById(wanted)) {
      location.replace("#" + wanted);
      settle();
      wanted = "";
    } else if (pinned) scrollTo(0, document.documentElement.scrollHeight);
    else more.hidden = false;
  };
  follower.postMessage({ url: log.dataset.more, at: Number(log.dataset.from), line: Number(log.dataset.line) });
}
