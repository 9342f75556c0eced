// Asks for what comes of a log, part after part, and hands the page each as HTML.
onmessage = ({ data: { url, at } }) => {
  const step = async () => {
    for (;;) {
      const answer = await fetch(url + "&from=" + at, { headers: { Accept: "text/html" } });
      if (!answer.ok) throw new Error(answer.status);
      const html = await answer.text();
      at = Number(answer.headers.get("X-Log-Next"));
      if (html) postMessage(html);
      if (answer.headers.get("X-Log-End") === "true") return;
    }
  };
  const go = () => step().catch(() => setTimeout(go, 2000));
  go();
};
