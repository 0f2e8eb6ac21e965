// Draws the live block from the trait `view` (see block/line.py). Plain DOM, text only: nothing the task says is ever parsed as HTML.
// The clock ticks here, so that the kernel sends only what changed; it stands still when the kernel falls silent.

const SILENT_AFTER_S = 20;
const AGAIN_AFTER_S = 10; // then a Cancel that led to nothing may be pressed once more
const ANSWER_WITHIN_S = 4; // a server that says nothing is one that cannot be reached: there is another way
const LOOK_EVERY_MS = 1000;
const MORE = "It may run ten minutes longer before its --timeout stops it";
const WORDS = { sending: "sending", queued: "queued", running: "running", returning: "bringing results home" };
const SVG = "http://www.w3.org/2000/svg";

function element(tag, className, attributes = {}) {
  const node = document.createElement(tag);
  node.className = className;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

function words(node, text) {
  if (node.firstChild?.nodeType !== Node.TEXT_NODE) node.prepend(document.createTextNode(""));
  if (node.firstChild.data !== text) node.firstChild.data = text;
}

function clockText(seconds) {
  const whole = Math.max(Math.floor(seconds), 0);
  const two = (count) => String(count).padStart(2, "0");
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

// Heights from 0 to 1 as a small filled curve.
function drawCurve(part, heights) {
  let svg = part.querySelector("svg");
  if (!svg) {
    svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("class", "mecapy-curve");
    svg.setAttribute("viewBox", "0 0 100 30");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    svg.append(document.createElementNS(SVG, "path"));
    part.append(svg);
  }
  const points = heights.map((height, index) => `${(100 * index) / (heights.length - 1)},${30 - 28 * height}`);
  svg.firstChild.setAttribute("d", `M0,30 L${points.join(" L")} L100,30 Z`);
}

// The kernel's control channel, which it reads also while a cell runs (see reach.py). Null where the kernel or the page has none.
function controlChannel(model) {
  const kernel = model.widget_manager?.kernel;
  return model.get("listener") && typeof kernel?.sendControlMessage === "function" ? kernel : null;
}

function tell(model, word) {
  const kernel = controlChannel(model);
  const about = { msg_id: `mecapy-${Date.now()}-${Math.random()}`, msg_type: "mecapy_request", date: new Date().toISOString(), version: "5.3" };
  const header = { ...about, session: kernel.clientId, username: kernel.username ?? "" };
  const content = { listener: model.get("listener"), word };
  kernel.sendControlMessage({ header, parent_header: {}, metadata: {}, content, channel: "control", buffers: [] }, false, true);
}

// The Jupyter server this page came from, asked the way its own pages ask it. Null where it refuses, does not know the path (no extension
// there), or there is none to ask (VS Code, Colab).
export async function ask(method, path) {
  const config = document.getElementById("jupyter-config-data");
  if (!config) return null;
  const base = new URL(JSON.parse(config.textContent).baseUrl || "/", window.location.origin);
  if (base.origin !== window.location.origin) return null;
  const xsrf = document.cookie.match(/(?:^|;\s*)_xsrf=([^;]*)/)?.[1] ?? "";
  const headers = { "X-XSRFToken": decodeURIComponent(xsrf) };
  try {
    const signal = AbortSignal.timeout(ANSWER_WITHIN_S * 1000);
    const answer = await fetch(new URL(path, base), { method, credentials: "same-origin", headers, signal });
    return answer.ok ? ((await answer.text()) || "{}") : null;
  } catch (error) {
    console.warn("MecaPy: the Jupyter server does not answer", error);
    return null;
  }
}

// While a cell runs the kernel reads no widget messages. So Cancel goes to the task itself, through our extension of the Jupyter server; or
// else interrupts the kernel, as the notebook's own button does, if it is still the kernel that waits for this task.
async function cancel(model, button, orphaned) {
  button.disabled = true;
  button.textContent = "Cancelling…";
  setTimeout(() => {
    if (button.disabled) button.textContent = "Cancel";
    button.disabled = false;
  }, AGAIN_AFTER_S * 1000);
  const task = model.get("view").task_id;
  const kernel = model.get("kernel_id");
  if (task && (await ask("POST", `mecapy/tasks/${task}/cancel`))) return;
  if (!orphaned && kernel && (await ask("POST", `api/kernels/${encodeURIComponent(kernel)}/interrupt`))) return;
  if (!orphaned) model.send({ type: "cancel" });
  if (!orphaned && !kernel) return;
  button.disabled = false;
  button.textContent = orphaned ? `%mecapy cancel ${task.slice(0, 8)}` : "Use Interrupt ■";
  button.title = orphaned ? "Run this in a cell: this page cannot reach MecaPy" : "This page cannot reach the Jupyter server: use the notebook's own Interrupt button";
}

// More time goes the same way. A kernel that is free, or another program, can ask for it, too.
async function extend(model, button) {
  button.disabled = true;
  const task = model.get("view").task_id;
  const answer = await ask("POST", `mecapy/tasks/${task}/extend`);
  button.disabled = false;
  button.textContent = answer ? `+10 min · up to ${clockText(JSON.parse(answer).timeout_s)}` : `mecapy extend ${task.slice(0, 8)}`;
  button.title = answer ? MORE : "It has the most time already, or this page cannot reach MecaPy: ask in a terminal";
}

// A kernel that was restarted says no more of its task, and a page that was reloaded hears no more of its kernel. Then the server tells: the
// line as `view` has it, or null.
async function told(task, reloaded) {
  const answer = JSON.parse((await ask("GET", `mecapy/tasks/${task}`)) ?? "null");
  if (!answer) return null;
  const over = !["queued", "running", "blocked"].includes(answer.status);
  if (reloaded) {
    const end = answer.completed_at ? Date.parse(answer.completed_at) : Date.now();
    const clock = answer.started_at ? [["plain", clockText((end - Date.parse(answer.started_at)) / 1000)]] : [];
    const output = over && answer.status !== "cancelled" ? [["plain", `its output: %mecapy attach ${task.slice(0, 8)}`]] : [];
    return { parts: [["phase", answer.status], ...clock, ...output], phase: answer.status, over };
  }
  const words = over ? "brings it here" : "goes on with it here";
  const parts = [["phase", answer.status], ["plain", `%mecapy attach ${task.slice(0, 8)} ${words}`]];
  return { parts: answer.status === "cancelled" ? parts.slice(0, 1) : parts, phase: answer.status, over };
}

const ICONS = { completed: "✔", failed: "✖", cancelled: "■" };

// As HTML and as text, for the saved notebook.
function lastLine(name, { parts, phase }) {
  const text = `${ICONS[phase] ?? "·"} ${parts.map(([, part]) => part).join(" · ")}`;
  const line = element("div", "", { role: "status", "aria-label": `MecaPy ${name}: ${phase}` });
  line.style.cssText = "padding:2px 0 2px 5px;color:var(--jp-ui-font-color2, inherit);font:var(--jp-ui-font-size1, 13px)/1.6 var(--jp-ui-font-family, system-ui, sans-serif)";
  line.textContent = text;
  return [line.outerHTML, text];
}

// In a page that has no widget of this block, which `view` shows as it was saved. `ended` gets the last line. Returns how to stop.
export function followTask(view, el, ended) {
  const known = { view, reloaded: true };
  return render({ model: { get: (name) => known[name] ?? "", on() {}, off() {}, send() {}, ended }, el });
}

function build() {
  const block = element("div", "mecapy-block", { role: "group" });
  const announcer = element("span", "mecapy-aloud", { role: "status", "aria-live": "polite" });
  const icon = element("span", "mecapy-icon", { "aria-hidden": "true" });
  const body = element("div", "mecapy-body");
  const line = element("span", "mecapy-line");
  const cancel = element("button", "mecapy-button mecapy-cancel", { type: "button", "aria-label": "Cancel this task" });
  const detach = element("button", "mecapy-button mecapy-detach", { type: "button", "aria-label": "Detach: let the task go on without this cell" });
  const more = element("button", "mecapy-button mecapy-more", { type: "button", "aria-label": "Let this task run ten minutes longer", title: MORE });
  const progress = element("div", "mecapy-progress");
  const bar = element("div", "mecapy-bar", { role: "progressbar", "aria-label": "Progress", "aria-valuemin": "0", "aria-valuemax": "100" });
  const fill = element("div", "mecapy-fill");
  const note = element("span", "mecapy-note");
  cancel.textContent = "Cancel";
  detach.textContent = "Detach";
  more.textContent = "+10 min";
  detach.title = "The task goes on and the notebook is free; %mecapy attach brings it home";
  bar.append(fill);
  progress.append(bar, note);
  body.append(line, cancel, detach, more, progress);
  block.append(icon, body, announcer);
  return { block, announcer, line, cancel, detach, more, progress, bar, fill, note };
}

function render({ model, el }) {
  const { block, announcer, line, cancel: cancelButton, detach, more, progress, bar, fill, note } = build();
  el.append(block);
  let received = performance.now();
  let phase = "";
  let looking = null;
  const reloaded = model.get("reloaded") === true;
  let forgotten = reloaded;

  // The kernel of this block is gone; a restarted one knows nothing of it.
  const orphaned = () => forgotten || performance.now() - received > SILENT_AFTER_S * 1000;
  const onStatus = (_, status) => {
    forgotten ||= ["restarting", "autorestarting", "terminating", "dead"].includes(status);
  };

  async function look() {
    const found = orphaned() ? await told(model.get("view").task_id, reloaded) : null;
    if (found && reloaded) received = performance.now();
    if (found?.over) model.ended?.(...lastLine(model.get("view").name, found));
    if (found && orphaned()) show({ ...model.get("view"), ...found, fraction: null });
    looking = found && !found.over ? setTimeout(look, LOOK_EVERY_MS) : null;
    if (found?.over) cancelButton.hidden = true;
    return found;
  }

  function tick() {
    const silent = (performance.now() - received) / 1000;
    if (looking === null && model.get("view").task_id && orphaned() && !cancelButton.hidden) looking = setTimeout(look, 0);
    block.classList.toggle("mecapy-silent", silent > SILENT_AFTER_S);
    const clock = line.querySelector(".mecapy-clock");
    const { elapsed_s: elapsed, expected } = model.get("view");
    if (clock && elapsed != null && silent <= SILENT_AFTER_S) words(clock, clockText(elapsed + silent) + (expected ?? ""));
  }

  // Spans are kept and only their text is changed: a selection survives, and nothing flickers.
  function drawLine(view) {
    const shown = view.parts.filter(([kind]) => kind !== "progress");
    shown.forEach(([kind, text], index) => {
      const part = line.children[index] ?? line.appendChild(element("span", ""));
      part.className = `mecapy-part mecapy-${kind}`;
      words(part, text);
      if (kind === "memory" && view.curve?.length > 1) drawCurve(part, view.curve);
      else part.querySelector("svg")?.remove();
    });
    while (line.children.length > shown.length) line.lastChild.remove();
  }

  function drawProgress(view) {
    const said = view.parts.filter(([kind]) => kind === "progress").map(([, text]) => text);
    progress.hidden = !said.length || view.phase !== "running";
    if (progress.hidden) return;
    bar.classList.toggle("mecapy-unknown", view.fraction == null);
    if (view.fraction == null) bar.removeAttribute("aria-valuenow");
    else bar.setAttribute("aria-valuenow", String(Math.round(view.fraction * 100)));
    bar.setAttribute("aria-valuetext", said.join(", "));
    fill.style.transform = view.fraction == null ? "" : `scaleX(${view.fraction})`;
    words(note, said.join(" · "));
  }

  function draw() {
    received = performance.now();
    show(model.get("view"));
  }

  function show(view) {
    block.dataset.phase = view.phase;
    block.setAttribute("aria-label", `MecaPy ${view.name}`.trim());
    drawLine(view);
    drawProgress(view);
    // Only a change of phase is read aloud; a clock that is read aloud every second would be unbearable.
    if (phase !== view.phase) announcer.textContent = WORDS[view.phase] ?? view.phase;
    phase = view.phase;
    cancelButton.hidden = phase === "returning";
    detach.hidden = !view.task_id || !["queued", "running"].includes(phase) || !model.get("kernel_id");
    more.hidden = !view.task_id || phase !== "running";
    tick();
  }

  const onMore = () => extend(model, more);
  const onCancel = () => cancel(model, cancelButton, orphaned());
  const onDetach = () => {
    detach.disabled = true;
    if (controlChannel(model)) return tell(model, "detach");
    // VS Code, Colab: nothing of the page reaches a busy kernel. A task outlives its kernel, so this is the way.
    detach.textContent = `Restart the kernel, then %mecapy attach ${model.get("view").task_id.slice(0, 8)}`;
  };
  cancelButton.addEventListener("click", onCancel);
  detach.addEventListener("click", onDetach);
  more.addEventListener("click", onMore);
  const kernel = model.widget_manager?.kernel; // JupyterLab and Notebook 7 have it
  kernel?.statusChanged?.connect(onStatus);
  model.on("change:view", draw);
  model.on("change:listener", draw);
  const timer = setInterval(tick, 250);
  draw();
  return () => {
    clearInterval(timer);
    clearTimeout(looking);
    kernel?.statusChanged?.disconnect(onStatus);
    model.off("change:view", draw);
    model.off("change:listener", draw);
    cancelButton.removeEventListener("click", onCancel);
    detach.removeEventListener("click", onDetach);
    more.removeEventListener("click", onMore);
  };
}

export default { render };
