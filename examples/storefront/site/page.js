// Says which region answered, and which deployment it serves: the edge puts
// both into the answer's header.
const answer = await fetch(location.pathname, { method: "HEAD", cache: "no-store" });
for (const [id, field] of [["region", "x-showrunner-region"], ["deployment", "x-showrunner-deployment"]]) {
  const value = answer.headers.get(field);
  if (value) document.getElementById(id).textContent = value;
}

// The service is a neighbour of this site, under whatever port the edge has.
const service = new URL(document.getElementById("service").href);
service.port = location.port;
document.getElementById("service").href = service.href;
