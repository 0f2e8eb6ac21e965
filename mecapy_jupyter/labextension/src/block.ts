// A live block in a page that was loaded while its cell ran, or after: there its widget is not to be had, or ends before the page has learnt
// how its task did. Then the line lives on by what the Jupyter server knows of the task, and at the end the output holds it as HTML.

import { PanelLayout, Widget } from "@lumino/widgets";
import type { INotebookTracker, NotebookPanel } from "@jupyterlab/notebook";
import type { IRenderMime } from "@jupyterlab/rendermime";
import { followTask } from "../../widget.js";

const BLOCK = "application/vnd.mecapy.block+json";
const WIDGET = "application/vnd.jupyter.widget-view+json";
const WIDGET_WITHIN_MS = 1500;

interface View {
  task_id: string;
  name: string;
  phase: string;
}

class BlockRenderer extends Widget implements IRenderMime.IRenderer {
  private stop: () => void = () => undefined;

  constructor(private panel: NotebookPanel) {
    super();
    this.addClass("mecapy-rendered");
    this.layout = new PanelLayout();
  }

  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    this.stop();
    const rendermime = this.panel.content.rendermime;
    const layout = this.layout as PanelLayout;
    for (const before of [...layout.widgets]) before.dispose();
    const hasWidget = model.data[WIDGET] && rendermime.getFactory(WIDGET) && model.trusted;
    const inner = hasWidget ? rendermime.createRenderer(WIDGET) : new Widget();
    const last = new Widget();
    layout.addWidget(inner);
    layout.addWidget(last);
    const [live, saved] = [inner.node, last.node];
    const swap = () => {
      const shows = live.querySelector(".mecapy-block") !== null;
      live.style.display = shows ? "" : "none";
      if (shows) leave();
      else waiting ??= window.setTimeout(follow, WIDGET_WITHIN_MS);
    };
    let waiting: number | null = null;
    let end: (() => void) | null = null;
    const leave = () => {
      if (waiting !== null) window.clearTimeout(waiting);
      end?.();
      waiting = end = null;
      saved.replaceChildren();
    };
    const follow = () => {
      const view = model.data[BLOCK] as unknown as View;
      end = followTask(view, saved, (html: string, text: string) => {
        model.setData({ data: { "text/html": html, "text/plain": text }, metadata: {} });
        this.panel.context.model.dirty = true;
      });
    };
    const observer = new MutationObserver(swap);
    observer.observe(live, { childList: true, subtree: true });
    this.stop = () => {
      observer.disconnect();
      leave();
    };
    if (hasWidget) void (inner as IRenderMime.IRenderer).renderModel(model);
    swap();
  }

  dispose(): void {
    this.stop();
    super.dispose();
  }
}

/** Before the widgets' own renderer (-10): it would say "Loading widget…" for ever. */
export function drawBlocks(tracker: INotebookTracker): void {
  const register = (panel: NotebookPanel) => {
    const createRenderer = () => new BlockRenderer(panel);
    panel.content.rendermime.addFactory({ safe: true, mimeTypes: [BLOCK], createRenderer }, -20);
  };
  tracker.forEach(register);
  tracker.widgetAdded.connect((_, panel) => register(panel));
}
