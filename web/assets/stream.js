// Holds the event stream of a page (live.js says why it is not the page that does), and
// tells it: open, event, lost (the browser tries again), closed (it does not).
onmessage = ({ data: { url, types } }) => {
  const source = new EventSource(url);
  const event = () => postMessage("event");
  source.onopen = () => postMessage("open");
  source.onerror = () => {
    postMessage("lost");
    if (source.readyState === EventSource.CLOSED) postMessage("closed");
  };
  for (const type of [...types, "reset"]) source.addEventListener(type, event);
};
