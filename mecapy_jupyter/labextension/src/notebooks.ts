// What the sidebar does in notebooks: find the cell of a task, attach to one, read what is set up.

import type { JupyterFrontEnd } from "@jupyterlab/application";
import { NotebookActions, type INotebookTracker, type NotebookPanel } from "@jupyterlab/notebook";
import type { Task } from "./server";

const SETUP = "__import__('mecapy_jupyter.cells.setup', fromlist=['about']).about()";

const ANSWER_WITHIN_MS = 500;

export class Notebooks {
  constructor(
    private app: JupyterFrontEnd,
    private tracker: INotebookTracker | null,
  ) {}

  get current(): NotebookPanel | null {
    return this.tracker?.currentWidget ?? null;
  }

  /** Opens the notebook of a task and shows its cell. */
  async show(task: Task): Promise<void> {
    if (!task.notebook) return;
    const here = this.tracker?.find((one) => one.context.path === task.notebook);
    if (here) this.app.shell.activateById(here.id);
    const panel: NotebookPanel | undefined = here ?? (await this.app.commands.execute("docmanager:open", { path: task.notebook }));
    if (!panel?.content) return; // Notebook opens it in a page of its own
    await panel.context.ready;
    const index = panel.content.widgets.findIndex((cell) => cell.model.id === task.cell);
    if (index < 0) return;
    panel.content.activeCellIndex = index;
    await panel.content.scrollToItem(index, "center");
  }

  /** Puts a cell below the active one. */
  insert(source: string): NotebookPanel | null {
    const panel = this.current;
    if (!panel) return null;
    NotebookActions.insertBelow(panel.content);
    panel.content.activeCell?.model.sharedModel.setSource(source);
    return panel;
  }

  async attach(task: string): Promise<void> {
    const panel = this.insert(`%mecapy attach ${task}`);
    if (panel) await NotebookActions.run(panel.content, panel.sessionContext);
  }

  /** Puts `%%mecapy` above the active cell, or takes it away. */
  toggleMagic(): void {
    const model = this.current?.content.activeCell?.model.sharedModel;
    if (!model) return;
    const source = model.getSource();
    model.setSource(source.startsWith("%%mecapy") ? source.replace(/^.*\n?/, "") : `%%mecapy\n${source}`);
  }

  private asking = false;

  /** In words; null while its kernel works, because it does not answer then. */
  async setup(): Promise<string | null> {
    if (this.asking) return null;
    this.asking = true;
    const asked = this.ask().finally(() => (this.asking = false));
    return Promise.race([asked, new Promise<null>((done) => setTimeout(() => done(null), ANSWER_WITHIN_MS))]);
  }

  private async ask(): Promise<string | null> {
    const kernel = this.current?.sessionContext.session?.kernel;
    if (!kernel) return "no notebook is open";
    if (kernel.status !== "idle") return null;
    const asked = { code: "", silent: true, store_history: false, user_expressions: { setup: SETUP } };
    const reply = (await kernel.requestExecute(asked).done)?.content as { user_expressions?: Record<string, { data?: Record<string, string> }> } | undefined;
    const text = reply?.user_expressions?.setup?.data?.["text/plain"] ?? "";
    return text.replace(/^['"]|['"]$/g, "").replaceAll("\\n", "\n") || "MecaPy is not in this kernel";
  }
}
