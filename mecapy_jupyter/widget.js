// Draws the live block from the trait `view` (see blockstate.py). Plain DOM, text only: nothing the task says is ever parsed as HTML.
// The clock ticks here, so that the kernel sends only what changed; it stands still when the kernel falls silent.

const SILENT_AFTER_S = 20;
const WORDS = { sending: "sending", queued: "queued", running: "running", returning: "bringing results home" };

function element(tag, className, attributes = {}) {
  const node = document.createElement(tag);
  node.className = className;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

function clockText(seconds) {
  const whole = Math.max(Math.floor(seconds), 0);
  const two = (count) => String(count).padStart(2, "0");
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

// While a cell runs the kernel reads no widget messages, so Cancel interrupts it the way the notebook's own button does: through the
// Jupyter server this page came from. Null where there is none to ask (VS Code, Colab).
function interruptUrl(kernelId) {
  const config = document.getElementById("jupyter-config-data");
  if (!config || !kernelId) return null;
  const base = new URL(JSON.parse(config.textContent).baseUrl || "/", window.location.origin);
  if (base.origin !== window.location.origin) return null;
  return new URL(`api/kernels/${encodeURIComponent(kernelId)}/interrupt`, base);
}

async function interrupt(kernelId) {
  const url = interruptUrl(kernelId);
  if (!url) return false;
  const xsrf = document.cookie.match(/(?:^|;\s*)_xsrf=([^;]*)/)?.[1] ?? "";
  const options = { method: "POST", credentials: "same-origin", headers: { "X-XSRFToken": decodeURIComponent(xsrf) } };
  return (await fetch(url, options)).ok;
}

async function cancel(model, button) {
  button.disabled = true;
  button.textContent = "Cancelling…";
  let done = false;
  try {
    done = await interrupt(model.get("kernel_id"));
  } catch (error) {
    console.warn("MecaPy: the Jupyter server did not take the interrupt", error);
  }
  if (done) return;
  model.send({ type: "cancel" });
  if (!model.get("kernel_id")) return;
  button.textContent = "Use Interrupt ■";
  button.title = "This page cannot reach the Jupyter server: use the notebook's own Interrupt button";
}

function render({ model, el }) {
  const block = element("div", "mecapy-block", { role: "group" });
  const announcer = element("span", "mecapy-aloud", { role: "status" });
  const icon = element("span", "mecapy-icon", { "aria-hidden": "true" });
  const line = element("span", "mecapy-line");
  const button = element("button", "mecapy-cancel", { type: "button", "aria-label": "Cancel this task" });
  const bar = element("div", "mecapy-bar", { role: "progressbar", "aria-label": "Progress", "aria-valuemin": "0", "aria-valuemax": "100" });
  const fill = element("div", "mecapy-fill");
  button.textContent = "Cancel";
  bar.append(fill);
  block.append(icon, line, button, bar, announcer);
  el.append(block);

  let received = performance.now();
  let phase = "";

  function tick() {
    const silent = (performance.now() - received) / 1000;
    block.classList.toggle("mecapy-silent", silent > SILENT_AFTER_S);
    const clock = line.querySelector(".mecapy-clock");
    const elapsed = model.get("view").elapsed_s;
    if (!clock || elapsed == null || silent > SILENT_AFTER_S) return;
    const text = clockText(elapsed + silent);
    if (clock.textContent !== text) clock.textContent = text;
  }

  function draw() {
    received = performance.now();
    const view = model.get("view");
    block.dataset.phase = view.phase;
    block.setAttribute("aria-label", `MecaPy ${view.name}`.trim());
    // Spans are kept and only their text is changed: a selection survives, and nothing flickers.
    view.parts.forEach(([kind, text], index) => {
      const part = line.children[index] ?? line.appendChild(element("span", ""));
      part.className = `mecapy-part mecapy-${kind}`;
      if (part.textContent !== text) part.textContent = text;
    });
    while (line.children.length > view.parts.length) line.lastChild.remove();
    bar.hidden = view.fraction == null || view.phase !== "running";
    if (!bar.hidden) {
      fill.style.transform = `scaleX(${view.fraction})`;
      bar.setAttribute("aria-valuenow", String(Math.round(view.fraction * 100)));
    }
    // Only a change of phase is read aloud; a clock that is read aloud every second would be unbearable.
    if (phase !== view.phase) announcer.textContent = WORDS[view.phase] ?? view.phase;
    phase = view.phase;
    button.hidden = phase === "returning";
    tick();
  }

  const onClick = () => cancel(model, button);
  button.addEventListener("click", onClick);
  model.on("change:view", draw);
  const timer = setInterval(tick, 250);
  draw();
  return () => {
    clearInterval(timer);
    model.off("change:view", draw);
    button.removeEventListener("click", onClick);
  };
}

export default { render };
