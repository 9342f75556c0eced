// Follows a stage's log: what is there, then what comes, until the reader scrolls up.
// The asking is done in a worker, because an answer may be waited for: live.js says why.
const log = document.getElementById("log");
const more = document.getElementById("more");
if (log && log.dataset.follow === "true") {
  let pinned = true;
  addEventListener("scroll", () => {
    pinned = innerHeight + scrollY >= document.documentElement.scrollHeight - 40;
    if (pinned) more.hidden = true;
  });
  more.addEventListener("click", () => scrollTo(0, document.documentElement.scrollHeight));
  const follower = new Worker("/assets/follow.js");
  follower.onmessage = ({ data: html }) => {
    log.insertAdjacentHTML("beforeend", html);
    if (pinned) scrollTo(0, document.documentElement.scrollHeight);
    else more.hidden = false;
  };
  follower.postMessage({ url: log.dataset.more, at: Number(log.dataset.from) });
}
