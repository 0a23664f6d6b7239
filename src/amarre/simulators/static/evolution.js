// Keeps the page current without taking a field away from whoever is typing in it.
const PERIOD_MS = 1500;

async function refresh() {
  const answer = await fetch("/_sim/");
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const id of ["live", "faults"]) {
    const here = document.getElementById(id);
    const there = fresh.getElementById(id);
    const busy = here.contains(document.activeElement);
    if (!busy && here.innerHTML !== there.innerHTML) here.replaceWith(document.importNode(there, true));
  }
}

setInterval(() => {
  if (!document.hidden) refresh().catch(() => { /* the simulator has stopped: keep what is shown */ });
}, PERIOD_MS);
