// Holds the one event stream of all tabs of a browser: over plain HTTP a browser has six
// connections to a host, and a stream in each tab would take all of them. A tab joins with
// what it shows while it is visible, and is told: open, event, lost (it is tried again).
// Where there are no shared workers each tab has this program of its own.
const tabs = new Map(); // port → { types, execution }
let source = null;
let asked = ""; // what the stream was asked for
let at = 0; // position of the last event
let failures = 0;
let again = 0;

function tell(what, execution) {
  for (const [port, tab] of tabs) if (!execution || !tab.execution || tab.execution === execution) port.postMessage(what);
}

// What the visible tabs show together.
function query() {
  const types = new Set(["reset"]);
  const executions = new Set();
  for (const tab of tabs.values()) {
    for (const type of tab.types) types.add(type);
    executions.add(tab.execution);
  }
  const q = new URLSearchParams();
  for (const type of [...types].sort()) q.append("type", type);
  if (executions.size === 1 && !executions.has("")) q.set("execution", [...executions][0]);
  return q;
}

function close() {
  clearTimeout(again);
  source?.close();
  source = null;
  asked = "";
}

// Opens the stream anew when it does not have what the tabs show.
function connect() {
  if (!tabs.size) return close();
  const q = query();
  if (source && asked === q.toString()) return;
  close();
  asked = q.toString();
  const types = q.getAll("type");
  q.set("from", at);
  source = new EventSource("/api/v1/events/stream?" + q);
  source.onopen = () => {
    failures = 0;
    tell("open");
  };
  source.onerror = () => {
    failures++;
    tell("lost");
    if (source.readyState !== EventSource.CLOSED) return; // the browser tries again
    close();
    again = setTimeout(connect, 1000 * Math.min(failures, 5));
  };
  for (const type of types) {
    source.addEventListener(type, (e) => {
      at = Number(e.lastEventId) || at;
      tell("event", type === "reset" ? "" : JSON.parse(e.data).execution);
    });
  }
}

function serve(port) {
  port.onmessage = ({ data: { join, leave } }) => {
    if (leave) tabs.delete(port);
    if (join) {
      if (!tabs.size) at = join.position;
      tabs.set(port, join);
      if (source?.readyState === EventSource.OPEN) port.postMessage("open");
    }
    connect();
  };
}

if ("onconnect" in self) self.onconnect = ({ ports: [port] }) => serve(port);
else serve(self);
