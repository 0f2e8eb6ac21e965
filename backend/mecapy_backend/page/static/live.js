// Keeps an open page fresh: asks for its parts marked `data-live` again, and shows times in the
// reader's own zone. Without it every page works, and is as it was when it was opened.
"use strict";

const EVERY_MS = 2000;
const MOST_MS = 30000;
const away = document.getElementById("away");
let wait = EVERY_MS;

function localTimes(part) {
  for (const at of part.querySelectorAll("time")) {
    at.textContent = new Date(at.dateTime).toLocaleString();
    at.title = at.dateTime;
  }
}

function inUse(part) {
  const selected = getSelection();
  return part.querySelector("details[open]") || (!selected.isCollapsed && part.contains(selected.anchorNode));
}

function put(part, html) {
  const focused = part.contains(document.activeElement) && document.activeElement.id;
  part.innerHTML = html; // of this gateway, which has escaped it
  localTimes(part);
  if (focused) document.getElementById(focused)?.focus();
}

async function ask(url, mark) {
  const answer = await fetch(url, { headers: { "X-Live": mark || "first" }, redirect: "error" });
  if (answer.status === 401) location.reload();
  if (!answer.ok && answer.status !== 304) throw new Error(answer.statusText);
  return answer;
}

async function freshen(part) {
  if (document.hidden || inUse(part)) return;
  const answer = await ask(location.href, part.dataset.mark);
  if (answer.status === 200) {
    part.dataset.mark = answer.headers.get("X-Mark");
    put(part, await answer.text());
  }
  const about = part.querySelector("[data-final]")?.dataset;
  const others = about ? document.querySelectorAll("[data-source]") : [];
  for (const other of others) {
    if (about[other.id] === other.dataset.shown || inUse(other)) continue;
    other.dataset.shown = about[other.id];
    put(other, await (await ask(other.dataset.source)).text());
  }
  if (about?.final && about.output === others[0].dataset.shown) location.reload();
}

async function live(part) {
  try {
    await freshen(part);
    [wait, away.textContent] = [EVERY_MS, ""];
  } catch (error) {
    wait = Math.min(2 * wait, MOST_MS);
    away.textContent = `The gateway does not answer (${error.message}); trying again.`;
  }
  setTimeout(live, wait, part);
}

localTimes(document);
const part = document.querySelector("[data-live]:not([data-live=''])");
if (part) setTimeout(live, EVERY_MS, part);
