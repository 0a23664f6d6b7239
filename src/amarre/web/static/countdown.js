/* Counts a code's life down. The server says how many milliseconds are left; from then on only the
 * page's own monotonic clock counts, so a wrong wall clock cannot show a dead code. The count begins
 * when the page was asked for, not when it came: the error is on the safe side. */

const lang = document.documentElement.lang;
const seconds = new Intl.NumberFormat(lang, { maximumFractionDigits: 0 });
const ends = new WeakMap();
let shown = [];

function take(asked) {
  shown = [...document.querySelectorAll("[data-expires-in-ms]")];
  for (const code of shown) ends.set(code, asked + Number(code.dataset.expiresInMs));
  tick();
}

function tick() {
  for (const code of shown) draw(code, Math.max(0, ends.get(code) - performance.now()));
}

function draw(code, left) {
  const frame = code.querySelector(".qr");
  const ring = code.querySelector(".left");
  const spent = left === 0;
  const said = `${seconds.format(Math.ceil(left / 1000))}\u00a0s`;
  const words = code.querySelector(".left-time");
  if (words.textContent !== said) words.textContent = said;
  ring.setAttribute("stroke-dasharray", `${Math.ceil((100 * left) / Number(code.dataset.lifeMs))} 100`);
  ring.classList.toggle("soon", left <= 10_000);
  code.querySelector(".over").hidden = !spent;
  if (spent && !frame.classList.contains("spent")) document.dispatchEvent(new Event("amarre:expired"));
  frame.classList.toggle("spent", spent);
}

const navigation = performance.getEntriesByType("navigation")[0];
take(navigation?.requestStart ?? 0);
setInterval(tick, 250);
document.addEventListener("amarre:part", (event) => take(event.detail.asked));
