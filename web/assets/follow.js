// Asks for what comes of a log, part after part, and hands the page each as HTML.
onmessage = ({ data: { url, at, line, group } }) => {
  const step = async () => {
    for (;;) {
      const answer = await fetch(`${url}&from=${at}&line=${line}&group=${encodeURIComponent(group)}`, { headers: { Accept: "text/html" } });
      if (!answer.ok) throw new Error(answer.status);
      const html = await answer.text();
      at = Number(answer.headers.get("X-Log-Next"));
      line = Number(answer.headers.get("X-Log-Line"));
      group = decodeURIComponent((answer.headers.get("X-Log-Group") ?? "").replaceAll("+", " "));
      if (html) postMessage(html);
      if (answer.headers.get("X-Log-End") === "true") return;
      if (!html) await new Promise((go) => setTimeout(go, 500)); // others may use the connection
    }
  };
  const go = () => step().catch(() => setTimeout(go, 2000));
  go();
};
