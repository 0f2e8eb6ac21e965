// MecaPy in JupyterLab 4 and Notebook 7: the sidebar, the palette's entries, a card in the launcher, and blocks that outlive a reload.

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ICommandPalette } from "@jupyterlab/apputils";
import { ILauncher } from "@jupyterlab/launcher";
import { INotebookTracker } from "@jupyterlab/notebook";
import blockStyle from "../../widget.css";
import { drawBlocks } from "./block";
import { firstCell } from "./first_cell";
import { icon } from "./icon";
import { Notebooks } from "./notebooks";
import { Sidebar } from "./sidebar";
import style from "./sidebar.css";

function addStyle(): void {
  const node = document.createElement("style");
  node.textContent = `${blockStyle}\n${style}`;
  document.head.append(node);
}

function activate(app: JupyterFrontEnd, tracker: INotebookTracker | null, palette: ICommandPalette | null, launcher: ILauncher | null): void {
  addStyle();
  const notebooks = new Notebooks(app, tracker);
  const sidebar = new Sidebar(notebooks);
  app.shell.add(sidebar, "left", { rank: 550, type: "MecaPy" });
  if (tracker) drawBlocks(tracker);
  const add = (id: string, label: string, execute: (args: { cwd?: unknown }) => unknown) => {
    app.commands.addCommand(id, { label, icon, execute, isEnabled: () => id !== "mecapy:magic" || notebooks.current !== null });
    palette?.addItem({ command: id, category: "MecaPy" });
  };
  add("mecapy:tasks", "MecaPy: My Tasks", () => app.shell.activateById(sidebar.id));
  add("mecapy:magic", "MecaPy: Run This Cell on the Pool, or Here Again", () => notebooks.toggleMagic());
  add("mecapy:attach", "MecaPy: Attach to My Last Task", () => notebooks.attach("last"));
  add("mecapy:first-cell", "MecaPy: first cell", (args) => firstCell(app, String(args.cwd ?? "")));
  // Cards of this category show a picture by its address alone.
  const kernelIconUrl = `data:image/svg+xml,${encodeURIComponent(icon.svgstr)}`;
  launcher?.add({ command: "mecapy:first-cell", category: "Notebook", rank: 90, kernelIconUrl });
}

const plugin: JupyterFrontEndPlugin<void> = {
  id: "mecapy-jupyter:plugin",
  description: "Tasks of MecaPy beside the notebooks.",
  autoStart: true,
  optional: [INotebookTracker, ICommandPalette, ILauncher],
  activate,
};

export default plugin;
