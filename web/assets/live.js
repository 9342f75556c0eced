// Keeps a page in step with the event log: one stream a browser, which a tab leaves while
// it is hidden, resumed where it broke off. What an event changes is asked of
// the server again as HTML, at most four times a second. When the stream cannot
// be had the page asks every five seconds, and says so.
//
// The page is complete before the stream begins. The stream begins a second after
// everything has been loaded, in a worker: programs that take pictures of pages wait
// until the network has been quiet, and some stop the clock while a request of the
// page itself is open, which a stream always is.

const chip = document.getElementById("stream");
const main = () => document.querySelector("[data-live]");
let failures = 0;
let poll = 0;
let due = 0;
let last = 0;

function show(state, text) {
  if (!chip) return;
  chip.dataset.state = state;
  chip.textContent = text;
}

// What a person has opened (data-open: what is open from the start) is left alone: it would close under their hands.
const busy = () => main()?.querySelector("details[open]:not([data-open])");
document.addEventListener("toggle", () => busy() || refresh(), true);

function refresh() {
  if (due || !main() || busy()) return;
  const pace = Number(main().dataset.pace || 0) * 1000 || 250;
  const wait = Math.max(0, pace - (Date.now() - last));
  due = setTimeout(() => {
    due = 0;
    last = Date.now();
    const at = main();
    if (at) window.htmx.trigger(at, "live");
  }, wait);
}

// The stream, which the tabs of a browser share where the browser can.
let port = null;
function stream() {
  if (port) return port;
  if (window.SharedWorker) port = new SharedWorker("/assets/stream.js").port;
  else port = new Worker("/assets/stream.js");
  port.onmessage = ({ data }) => joined && said[data]();
  return port;
}

let joined = false;
function join() {
  const at = main();
  if (joined || document.hidden || !at) return;
  joined = true;
  stream().postMessage({ join: { types: at.dataset.live.split(" "), execution: at.dataset.execution || "", position: Number(at.dataset.position) || 0 } });
}

function leave() {
  if (joined) port.postMessage({ leave: true });
  joined = false;
}

// What the stream says.
const said = {
  open() {
    failures = 0;
    clearInterval(poll);
    poll = 0;
    show("live", "● Live");
    refresh();
  },
  event: refresh,
  lost() {
    failures++;
    if (failures < 3) show("lost", "◌ Reconnecting");
    else if (!poll) {
      show("stale", "▲ Stale since " + new Date().toLocaleTimeString() + ", asking every 5 s");
      poll = setInterval(refresh, 5000);
    }
  },
};

document.addEventListener("htmx:response:error", ({ detail: { ctx } }) => {
  if (ctx.response.status !== 401) return;
  leave();
  clearInterval(poll);
  show("lost", "■ Signed out");
});

document.addEventListener("visibilitychange", () => (document.hidden ? leave() : join()));
addEventListener("pagehide", leave);
addEventListener("pageshow", ({ persisted }) => persisted && join());
// Clusters change without an event of ours: instances come and go.
const every = Number(main()?.dataset.every || 0);
if (every) setInterval(() => document.hidden || refresh(), every * 1000);

const quiet = () => setTimeout(join, 1000);
if (document.readyState === "complete") quiet();
else addEventListener("load", quiet);

// Times are shown relative, and kept so; the absolute one beside them is in UTC, or in
// the zone of the browser where the settings say so.
const zone = () => localStorage.getItem("times") ?? "utc";
const absolute = (t) => (zone() === "local" ? new Date(t.dateTime).toLocaleString(undefined, { timeZoneName: "short", hour12: false }) : t.dateTime);
function choice() {
  const form = document.getElementById("zone");
  if (!form) return;
  form.hidden = false;
  for (const radio of form.querySelectorAll("input")) radio.checked = radio.value === zone();
}
document.addEventListener("change", ({ target }) => {
  if (!target.closest?.("#zone")) return;
  localStorage.setItem("times", target.value);
  times();
});
function times() {
  choice();
  for (const t of document.querySelectorAll("time[datetime]")) {
    const away = (Date.now() - Date.parse(t.dateTime)) / 1000;
    const s = Math.abs(away);
    t.title = absolute(t);
    const span = s < 60 ? Math.floor(s) + "s" : s < 3600 ? Math.floor(s / 60) + "m" : s < 86400 ? Math.floor(s / 3600) + "h" : Math.floor(s / 86400) + "d";
    // What is to come says so; any other time is past, whatever this machine's clock thinks.
    if ("due" in t.dataset) t.textContent = away < 0 ? "in " + span : "now";
    else t.textContent = (away < 0 ? "0s" : span) + " ago";
  }
}
times();
setInterval(times, 10000);
document.addEventListener("htmx:after:swap", times);
