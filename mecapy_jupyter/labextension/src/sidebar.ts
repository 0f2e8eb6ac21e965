// The sidebar: my tasks and sweeps over all notebooks, the queue, the pool, what is used, and what is set up for this notebook. Text only:
// nothing a task says is ever parsed as HTML.

import { Widget } from "@lumino/widgets";
import { icon } from "./icon";
import type { Notebooks } from "./notebooks";
import { cancel, overview, type Overview, type Task } from "./server";

const LONG_S = 60; // a task that ran so long is worth a notification
const [SOON_MS, LATER_MS, HIDDEN_MS] = [2000, 8000, 30_000];
const ICONS: Record<string, string> = { queued: "◔", blocked: "◔", running: "▶", completed: "✔", failed: "✖", cancelled: "■" };
const LIVE = ["queued", "blocked", "running"];

function element(tag: string, className: string, text = ""): HTMLElement {
  const node = document.createElement(tag);
  node.className = className;
  if (text) node.textContent = text;
  return node;
}

function button(text: string, label: string, act: (node: HTMLButtonElement) => void): HTMLButtonElement {
  const node = element("button", "mecapy-button", text) as HTMLButtonElement;
  node.type = "button";
  node.title = label;
  node.setAttribute("aria-label", label);
  node.addEventListener("click", (event) => {
    event.stopPropagation();
    act(node);
  });
  return node;
}

function ranFor(task: Task): number {
  if (!task.started_at) return 0;
  return (Date.parse(task.completed_at ?? new Date().toISOString()) - Date.parse(task.started_at)) / 1000;
}

function clock(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (count: number) => String(count).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  return hours ? `${hours}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}` : `${Math.floor(whole / 60)}:${two(whole % 60)}`;
}

function about(task: Task): string {
  if (task.status === "queued") return [task.position ? `place ${task.position}` : "queued", task.why_there].filter(Boolean).join(" · ");
  return [task.status, task.started_at ? clock(ranFor(task)) : ""].filter(Boolean).join(" · ");
}

export class Sidebar extends Widget {
  private timer = 0;
  private states = new Map<string, string>();
  private shown = "";
  private setupText = "";

  constructor(private notebooks: Notebooks) {
    super();
    this.id = "mecapy-sidebar";
    this.addClass("mecapy-sidebar");
    this.title.icon = icon;
    this.title.caption = "MecaPy: my tasks";
    this.node.setAttribute("role", "region");
    this.node.setAttribute("aria-label", "MecaPy: my tasks");
    document.addEventListener("visibilitychange", this.look);
    void this.look();
  }

  dispose(): void {
    document.removeEventListener("visibilitychange", this.look);
    window.clearTimeout(this.timer);
    super.dispose();
  }

  protected onAfterShow(): void {
    void this.look();
  }

  /** Asks now, and again: soon while something runs and the sidebar is open. */
  look = async (): Promise<void> => {
    window.clearTimeout(this.timer);
    const found = await overview();
    if (this.isDisposed) return;
    if (found && !found.message) this.notice(found);
    const busy = found?.tasks?.some((task) => LIVE.includes(task.status)) ?? false;
    if (this.isVisible) {
      this.setupText = (await this.notebooks.setup()) ?? this.setupText;
      this.draw(found);
    }
    window.clearTimeout(this.timer);
    const wait = document.hidden ? HIDDEN_MS : busy || this.isVisible ? SOON_MS : LATER_MS;
    this.timer = window.setTimeout(this.look, wait);
  };

  /** The badge, and a notification of what has ended while nobody looked. */
  private notice(found: Overview): void {
    const live = found.tasks.filter((task) => LIVE.includes(task.status)).length;
    const { mecapy: _, ...others } = this.title.dataset;
    this.title.dataset = live ? { ...others, mecapy: String(live) } : others;
    for (const task of found.tasks) {
      const before = this.states.get(task.task_id);
      if (before && LIVE.includes(before) && !LIVE.includes(task.status) && ranFor(task) >= LONG_S && !document.hasFocus()) {
        if (window.Notification?.permission === "granted") {
          new Notification(`MecaPy: ${task.name || task.task_id.slice(0, 8)} ${task.status}`, { body: clock(ranFor(task)), tag: task.task_id });
        }
      }
      this.states.set(task.task_id, task.status);
    }
    const listed = new Set(found.tasks.map((task) => task.task_id));
    for (const id of this.states.keys()) if (!listed.has(id)) this.states.delete(id);
  }

  private draw(found: Overview | null): void {
    const state = JSON.stringify([found, this.setupText, Math.floor(Date.now() / 1000)]);
    if (state === this.shown || this.node.querySelector(".mecapy-sure, button:focus-visible")) return;
    this.shown = state;
    const { scrollTop } = this.node;
    this.node.replaceChildren(...(found && !found.message ? this.sections(found) : [this.nothing(found?.message)]));
    this.node.scrollTop = scrollTop;
  }

  private nothing(message?: string): HTMLElement {
    const words = message ?? "MecaPy does not answer through this Jupyter server; it is asked again in a moment.";
    return element("p", "mecapy-quiet", words);
  }

  private sections(found: Overview): HTMLElement[] {
    const head = element("section", "mecapy-head");
    for (const words of [`${found.queued} queued, ${found.running} running`, found.pool, found.used]) {
      if (words) head.append(element("div", "mecapy-quiet", words));
    }
    const link = element("a", "mecapy-quiet", found.url.replace(/^https?:\/\//, "")) as HTMLAnchorElement;
    Object.assign(link, { href: found.url, target: "_blank", rel: "noopener" });
    head.append(link, this.notifier());
    return [
      head,
      this.list("My tasks", found.tasks.map((task) => this.task(task)), "no task yet: write %%mecapy above a cell"),
      this.list("Sweeps", found.sweeps.map((one) => element("li", "mecapy-task", `${one.name} · ${one.point_count} points · ${one.state}`)), ""),
      this.list("This notebook", this.setupText.split("\n").filter(Boolean).map((line) => element("li", "mecapy-setup", line)), ""),
    ];
  }

  private list(title: string, items: HTMLElement[], none: string): HTMLElement {
    const section = element("section", "mecapy-list");
    if (!items.length && !none) return section;
    const list = element("ul", "");
    list.append(...items);
    section.append(element("h3", "", title), items.length ? list : element("p", "mecapy-quiet", none));
    return section;
  }

  private task(task: Task): HTMLElement {
    const short = task.task_id.slice(0, 8);
    const item = element("li", `mecapy-task mecapy-${task.status}`);
    const name = button(`${ICONS[task.status] ?? "·"} ${task.name || short}`, task.notebook ? `Go to its cell in ${task.notebook}` : short, () => this.notebooks.show(task));
    name.classList.add("mecapy-name");
    name.disabled = !task.notebook;
    item.append(name, element("span", "mecapy-quiet", about(task)));
    const does = element("span", "mecapy-does");
    if (task.status !== "cancelled") does.append(button("Attach", `Attach to ${short} in this notebook`, () => this.notebooks.attach(short)));
    if (LIVE.includes(task.status)) does.append(button("Cancel", `Cancel ${short}`, (node) => this.cancel(task, node)));
    item.append(does);
    return item;
  }

  /** Asks once. */
  private async cancel(task: Task, node: HTMLButtonElement): Promise<void> {
    if (!node.classList.contains("mecapy-sure")) {
      node.classList.add("mecapy-sure");
      node.textContent = "Cancel it?";
      window.setTimeout(() => node.classList.remove("mecapy-sure"), 4000);
      return;
    }
    node.disabled = true;
    node.classList.remove("mecapy-sure");
    await cancel(task.task_id);
    void this.look();
  }

  private notifier(): HTMLElement {
    if (!window.Notification || Notification.permission !== "default") return element("span", "");
    return button("Notify me when a long task ends", "By the browser, while this page does not have the focus", async () => {
      await Notification.requestPermission();
      void this.look();
    });
  }
}
