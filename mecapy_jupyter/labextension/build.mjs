// Builds src/ into static/remoteEntry.js, the one file that JupyterLab and Notebook load: a module federation container, which takes
// JupyterLab's own modules from the page. The first line has the digest of the source, which a test compares.

import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { build } from "esbuild";

const sources = [...readdirSync("src").sort().map((name) => `src/${name}`), "../widget.js", "../widget.css"];
const digest = createHash("sha256");
for (const path of sources) digest.update(readFileSync(path));

// Of the page; the bundle holds none of them.
const shared = ["@jupyterlab/apputils", "@jupyterlab/launcher", "@jupyterlab/notebook", "@jupyterlab/ui-components", "@lumino/widgets"];
const container = `
var shared = ${JSON.stringify(shared)}, scope;
window._JUPYTERLAB = window._JUPYTERLAB || {};
window._JUPYTERLAB["mecapy-jupyter"] = {
  init: (given) => { scope = given; },
  get: async (name) => {
    const found = {};
    for (const each of shared) {
      const versions = Object.values((scope || {})[each] || {});
      const factory = versions.length ? await (versions.find((one) => one.loaded) || versions[0]).get() : null;
      if (factory) found[each] = factory();
    }
    const module = { exports: {} };
    plugin(module, module.exports, (each) => found[each] || {});
    return () => module.exports;
  },
};`;

await build({
  entryPoints: ["src/index.ts"],
  outfile: "static/remoteEntry.js",
  bundle: true,
  format: "cjs",
  target: "es2021",
  minifySyntax: true,
  minifyWhitespace: true,
  external: shared,
  loader: { ".css": "text" },
  banner: { js: `// Built from src by \`npm run build\`. source ${digest.digest("hex").slice(0, 16)}\n(function () {\nfunction plugin(module, exports, require) {` },
  footer: { js: `}${container}\n})();` },
});
