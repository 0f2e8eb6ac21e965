// The launcher's card: a new notebook with a first cell for the pool, ready to be run.

import type { JupyterFrontEnd } from "@jupyterlab/application";

const INTRO = `# A first cell on the pool

Run the cells from above. \`%%mecapy\` sends its cell to a worker; what it prints appears here while it runs, and its variables are here afterwards.
\`%%mecapy --help\` lists the options.`;
const HEAVY = `%%mecapy
import numpy as np
from mecapy_jupyter import track

rng = np.random.default_rng(1)
largest = []
for size in track(range(200, 1200, 50), "matrices"):
    matrix = rng.normal(size=(size, size))
    largest.append(np.abs(np.linalg.eigvals(matrix)).max())
print(f"{len(largest)} matrices")`;
const HERE = `# Girko's circular law: the largest eigenvalue grows as the square root of the size
[round(float(value / size**0.5), 2) for value, size in zip(largest, range(200, 1200, 50))]`;

export async function firstCell(app: JupyterFrontEnd, folder: string): Promise<unknown> {
  const { contents, kernelspecs } = app.serviceManager;
  const file = await contents.newUntitled({ path: folder, type: "notebook" });
  const code = (source: string) => ({ cell_type: "code", source, metadata: {}, outputs: [], execution_count: null });
  const cells = [{ cell_type: "markdown", source: INTRO, metadata: {} }, ...["%load_ext mecapy_jupyter", HEAVY, HERE].map(code)];
  const name = kernelspecs.specs?.default ?? "python3";
  const kernelspec = { name, display_name: kernelspecs.specs?.kernelspecs[name]?.display_name ?? name, language: "python" };
  await contents.save(file.path, { type: "notebook", format: "json", content: { cells, metadata: { kernelspec }, nbformat: 4, nbformat_minor: 4 } });
  const path = await contents.rename(file.path, await free(app, folder)).then((renamed) => renamed.path, () => file.path);
  return app.commands.execute("docmanager:open", { path, factory: "Notebook" });
}

async function free(app: JupyterFrontEnd, folder: string): Promise<string> {
  const listed = await app.serviceManager.contents.get(folder);
  const taken = new Set((listed.content as { name: string }[]).map((one) => one.name));
  const names = ["First cell on the pool.ipynb", ...Array.from({ length: 99 }, (_, index) => `First cell on the pool ${index + 2}.ipynb`)];
  const name = names.find((one) => !taken.has(one)) ?? names[0]!;
  return folder ? `${folder}/${name}` : name;
}
