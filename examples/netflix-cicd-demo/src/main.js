// Says which region answered.
const answer = await fetch(location.pathname, { method: "HEAD", cache: "no-store" });
const region = answer.headers.get("x-showrunner-region");
if (region) document.getElementById("region").textContent = region;
