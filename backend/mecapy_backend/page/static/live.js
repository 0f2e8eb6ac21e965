// Keeps an open page fresh. A stream of the gateway says how running tasks do, what the task of this
// page printed, and when the part marked `data-live` has to be asked for again; a part also is after
// `data-every` seconds, and more often where there is no stream. A hidden page has none and asks
// nothing. Shows times in the reader's own zone. Without this script every page works, and is as it
// was when it was opened.
"use strict";

const TICK_MS = 1000;
const ALONE_MS = 4000; // without a stream
const MOST_MS = 30000; // between two tries
const MOST_CHARS = 400000; // of one piece of output, and points of a curve: then the gateway's
const MOST_POINTS = 2400; // own, which are shortened, take their place

const away = document.getElementById("away");
const part = document.querySelector("[data-live]:not([data-live=''])");
const output = document.getElementById("output");
const curves = document.getElementById("curves");

let source = null;
let work = Promise.resolve(); // one thing at a time, in the order in which they came
let stale = false; // the part, by what the stream said
let wait = 0; // ms after a try that failed
let asked = performance.now(); // when the part was, last
let listened = -Infinity; // when a stream was opened, last
let counted = asked; // since when `data-elapsed` counts

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

async function refill(other) {
  if (!inUse(other)) put(other, await (await ask(other.dataset.source)).text());
}

async function freshen() {
  if (inUse(part)) return;
  [asked, stale] = [performance.now(), false];
  const answer = await ask(location.href, part.dataset.mark);
  if (answer.status === 200) {
    part.dataset.mark = answer.headers.get("X-Mark");
    put(part, await answer.text());
    counted = performance.now();
  }
  const about = part.querySelector("[data-final]")?.dataset;
  if (!about) return;
  const shown = output.firstElementChild.dataset;
  if (about.output !== shown.shown || (!source && isLater(about.at, shown.at))) {
    await refill(output);
    await refill(curves);
  }
  if (about.final && about.output === output.firstElementChild.dataset.shown) location.reload();
}

async function hear(news) {
  stale ||= news.changed;
  for (const [task, now] of Object.entries(news.running ?? {})) {
    for (const each of document.querySelectorAll(`[data-task="${task}"] [data-is]`)) say(each, now[each.dataset.is]);
  }
  if (news.output) news.output.forEach(add);
  if (news.redraw || (news.output && isFull())) await refill(output);
  if (news.used && !news.used.every(grow)) await refill(curves);
}

function say(each, value) {
  if (value === undefined) return;
  if (each.localName === "progress") each.hidden = false;
  each[each.localName === "progress" ? "value" : "textContent"] = value;
}

function isLater(one, other) {
  const [[ms, seq = 0], [otherMs, otherSeq = 0]] = [one, other].map((id) => id.split("-").map(Number));
  return ms > otherMs || (ms === otherMs && seq > otherSeq);
}

// At the end of the output. As in a terminal, "\r" goes back to the beginning of the line.
function add([id, kind, text]) {
  const pieces = output.firstElementChild;
  if (!isLater(id, pieces.dataset.at)) return;
  pieces.dataset.at = id;
  pieces.querySelector(".nothing")?.remove();
  let piece = pieces.lastElementChild;
  if (!piece?.matches(`pre.${kind}`)) {
    piece = pieces.appendChild(document.createElement("pre"));
    [piece.className, piece.tabIndex] = [kind, 0];
  }
  const shown = piece.lastChild ?? piece.appendChild(new Text());
  const line = shown.data.lastIndexOf("\n") + 1;
  const all = shown.data.slice(line) + ("returned" in piece.dataset ? "\r" : "") + text;
  piece.toggleAttribute("data-returned", all.endsWith("\r"));
  const lines = all.replaceAll("\r\n", "\n").split("\n");
  shown.replaceData(line, shown.length - line, lines.map((one) => one.replace(/\r+$/, "").replace(/.*\r/, "")).join("\n"));
}

function isFull() {
  const pieces = output.firstElementChild;
  return "clears" in pieces.dataset || pieces.childElementCount > 400 || pieces.lastElementChild.textContent.length > MOST_CHARS;
}

// The curves, by a sample. False: there are none yet, or they are full.
function grow(sample) {
  for (const curve of curves.querySelectorAll("svg")) {
    const [about, line, value] = [curve.dataset, curve.firstElementChild, sample[curve.dataset.of]];
    const took = sample.at - about.began;
    if (took <= about.took) continue;
    about.took = took;
    line.setAttribute("points", `${line.getAttribute("points")} ${took.toFixed(3)},${-value}`);
    const [most, over] = curve.parentElement.querySelectorAll("figcaption span");
    over.textContent = clock(took);
    if (value > about.top) [about.top, most.textContent] = [value, sample[`${about.of} shown`]];
    curve.setAttribute("viewBox", `0 ${-about.top || -1} ${took} ${+about.top || 1}`);
  }
  return curves.querySelector("svg") && curves.querySelector("polyline").points.numberOfItems < MOST_POINTS;
}

function clock(seconds) {
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, Math.floor(seconds) % 60];
  return (parts[0] ? parts : parts.slice(1)).map((one, at) => (at ? String(one).padStart(2, "0") : one)).join(":");
}

function listen() {
  listened = performance.now();
  const after = output ? `?after=${output.firstElementChild.dataset.at}` : "";
  source = new EventSource(part.dataset.changes + after);
  source.onmessage = (event) => {
    work = work.then(() => hear(JSON.parse(event.data))).catch(failed);
  };
  source.onerror = leave; // it is opened anew, from what is shown by then
}

function leave() {
  source?.close();
  [source, stale] = [null, true];
}

function failed(error) {
  stale = true;
  wait = Math.min(2 * wait || 2 * TICK_MS, MOST_MS);
  away.textContent = `The gateway does not answer (${error.message}); trying again.`;
}

async function tick() {
  for (const at of part.querySelectorAll("[data-elapsed]")) {
    at.textContent = clock(+at.dataset.elapsed + (performance.now() - counted) / 1000);
  }
  if (document.hidden) return leave();
  const since = performance.now() - asked;
  const every = 1000 * (part.querySelector("[data-every]") ?? part).dataset.every || 2 * MOST_MS;
  if (since > wait && (since > (source || !part.dataset.changes ? every : Math.min(every, ALONE_MS)) || (stale && since > 2 * TICK_MS))) {
    work = work.then(freshen).then(() => [wait, away.textContent] = [0, ""], failed);
    await work;
  }
  if (!source && !wait && part.dataset.changes && performance.now() - listened > 5 * TICK_MS) listen();
}

async function live() {
  await tick();
  setTimeout(live, TICK_MS);
}

localTimes(document);
if (part) {
  addEventListener("pagehide", leave); // a page that the browser keeps for "back" holds no stream
  setTimeout(live, TICK_MS);
}
