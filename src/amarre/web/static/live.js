/* Keeps a page as fresh as the database, and says so.
 *
 * The page names its stream (`data-live` on <main>) and its parts (`data-part`). When the stream says
 * that something changed, the parts are fetched again and morphed in place: focus, selection, open
 * <details> and typed text stay. One fetch is in flight at most; a burst becomes one more.
 * Without this file every page still works: forms are forms, links are links. */
import "./countdown.js";
import { morph } from "./morph.js";

const main = document.querySelector("main[data-live]");
const lamp = document.getElementById("live");
const said = document.getElementById("said");
const STALE_MS = 30_000; // two heartbeats of the server
const REFRESH_MS = 60_000; // words such as "2 min ago" age by themselves

let dataAt = document.querySelector("[data-part]")?.dataset.at ?? "";
let heardAt = performance.now();
let open = false;
let done = false;
let busy = false;
let again = false;

const part = () => document.querySelector("[data-part]");

function show(tone, text, reload = false) {
  if (!lamp) return;
  const words = lamp.querySelector("span");
  lamp.className = `live ${tone}`;
  if (words.dataset.now === text) return;
  words.dataset.now = text;
  words.textContent = text;
  if (reload) {
    const link = Object.assign(document.createElement("a"), { href: "", textContent: lamp.dataset.reload });
    words.append(" ", link);
  }
}

function judge() {
  if (!lamp) return;
  const silent = performance.now() - heardAt;
  if (done) show("off", lamp.dataset.off);
  else if (open) show("ok", lamp.dataset.ok);
  else if (silent < STALE_MS) show("wait", lamp.dataset.wait.replace("{time}", dataAt));
  else {
    const minutes = Math.max(1, Math.round(silent / 60_000)).toLocaleString(document.documentElement.lang);
    show("bad", lamp.dataset.bad.replace("{n}", minutes), true);
  }
}

function announce(text) {
  if (said && text && said.dataset.last !== text) said.textContent = text;
  if (said && text) said.dataset.last = text;
}

async function refresh() {
  if (done) return;
  if (busy) {
    again = true;
    return;
  }
  busy = true;
  try {
    do {
      again = false;
      await swap();
    } while (again && !done);
  } finally {
    busy = false;
  }
}

async function swap() {
  const old = part();
  const page = new URL(main.dataset.page, location.href);
  const asked = performance.now();
  let answer;
  try {
    answer = await fetch(page, { headers: { "X-Part": old.dataset.part }, credentials: "same-origin" });
  } catch {
    return; // the lamp says it; the stream's return brings the next try
  }
  if (answer.redirected && new URL(answer.url).pathname !== page.pathname) {
    location.assign(answer.url);
    return;
  }
  if (answer.status === 404 || answer.status === 410) location.reload();
  if (!answer.ok) return;
  const made = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("[data-part]");
  if (!made) return;
  morph(old, made);
  dataAt = part().dataset.at;
  done = "done" in part().dataset;
  announce(part().dataset.say);
  document.dispatchEvent(new CustomEvent("amarre:part", { detail: { asked } }));
  if (done) stream?.close();
  judge();
}

let stream;
function follow() {
  stream = new EventSource(main.dataset.live);
  const heard = () => {
    heardAt = performance.now();
    open = true;
    judge();
  };
  let first = true;
  stream.addEventListener("hello", () => {
    heard();
    if (!first) refresh(); // what was missed comes too, but a gap may be longer than the replay
    first = false;
  });
  stream.addEventListener("changed", () => {
    heard();
    refresh();
  });
  stream.addEventListener("error", () => {
    if (open) heardAt = performance.now();
    open = false;
    judge();
    if (stream.readyState !== EventSource.CLOSED || done) return;
    // The browser gives up on an answer that is not a stream: 503, or a session that has ended. The
    // page itself tells which: its answer leads to the login.
    refresh();
    setTimeout(follow, 3000 + Math.random() * 4000);
  });
}

if (main) {
  judge();
  follow();
  setInterval(judge, 5000);
  setInterval(() => document.hidden || refresh(), REFRESH_MS);
  document.addEventListener("amarre:expired", refresh);
} else if (lamp) {
  done = true;
  judge();
}

for (const button of document.querySelectorAll("[data-copy]")) button.hidden = !navigator.clipboard;
document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).value);
  button.textContent = button.dataset.copied;
});
