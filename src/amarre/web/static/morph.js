/* Makes an element like another one, touching only what differs, so that the reader's place is kept:
 * focus, scroll, selection, open <details>, typed text. Elements with an id are matched by it, others
 * by their place. An element with `data-keep` is left alone. */

export function morph(old, made) {
  if ("keep" in old.dataset) return;
  attributes(old, made);
  children(old, made);
}

// What the reader has set himself is the reader's: a page's data never changes it.
const HIS = { DETAILS: ["open"], INPUT: ["value", "checked"], TEXTAREA: ["value"], OPTION: ["selected"] };

function attributes(old, made) {
  const his = HIS[old.nodeName.toUpperCase()] ?? [];
  for (const { name, value } of [...made.attributes]) {
    if (!his.includes(name) && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    if (!his.includes(name) && !made.hasAttribute(name)) old.removeAttribute(name);
  }
}

function children(old, made) {
  const kept = new Map([...old.children].filter((one) => one.id).map((one) => [one.id, one]));
  let place = old.firstChild;
  for (const wanted of [...made.childNodes]) {
    const found = wanted.id ? kept.get(wanted.id) : alike(place, wanted) ? place : null;
    if (!found || found.nodeName !== wanted.nodeName) {
      old.insertBefore(document.importNode(wanted, true), place);
      continue;
    }
    if (found === place) place = place.nextSibling;
    else old.insertBefore(found, place);
    if (found.nodeType === Node.ELEMENT_NODE) morph(found, wanted);
    else if (found.nodeValue !== wanted.nodeValue) found.nodeValue = wanted.nodeValue;
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

function alike(one, other) {
  return one && one.nodeName === other.nodeName && !one.id && !other.id;
}
