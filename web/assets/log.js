// Follows a stage's log: what is there, then what comes, until the reader scrolls up.
const log = document.getElementById("log");
const more = document.getElementById("more");
if (log && log.dataset.follow === "true") {
  let at = Number(log.dataset.from);
  let pinned = true;
  addEventListener("scroll", () => {
    pinned = innerHeight + scrollY >= document.documentElement.scrollHeight - 40;
    if (pinned) more.hidden = true;
  });
  more.addEventListener("click", () => scrollTo(0, document.documentElement.scrollHeight));
  const step = async () => {
    for (;;) {
      const answer = await fetch(log.dataset.more + "&from=" + at, { headers: { Accept: "text/html" } });
      if (!answer.ok) throw new Error(answer.status);
      const html = await answer.text();
      at = Number(answer.headers.get("X-Log-Next"));
      if (html) {
        log.insertAdjacentHTML("beforeend", html);
        if (pinned) scrollTo(0, document.documentElement.scrollHeight);
        else more.hidden = false;
      }
      if (answer.headers.get("X-Log-End") === "true") return;
    }
  };
  const go = () => step().catch(() => setTimeout(go, 2000));
  go();
}
