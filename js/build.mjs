// Bundles each widget into one module beside its Python class, and the JupyterLab extension into what JupyterLab loads.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { build } from "esbuild";

const out = "../widgets/interp_widgets/static";
const widgets = ["lens", "steer", "compare", "features", "pool", "sweep", "attribution"];

await mkdir(out, { recursive: true });
await build({
  entryPoints: widgets.map((name) => `src/${name}.ts`),
  outdir: out,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  legalComments: "none",
});
const base = await readFile("src/lib/base.css", "utf8");
for (const name of widgets) await writeFile(`${out}/${name}.css`, base + (await readFile(`src/${name}.css`, "utf8")));

const lab = "../interp_magics/jupyter/labextensions/interp-magics";
await mkdir(`${lab}/static`, { recursive: true });
await build({
  entryPoints: ["lab/container.ts"],
  outfile: `${lab}/static/remoteEntry.js`,
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2022",
  legalComments: "none",
  loader: { ".css": "text" },
  define: { POOL_STYLE: JSON.stringify(base + (await readFile("src/pool.css", "utf8"))) },
});
const load = { load: "static/remoteEntry.js", extension: "./extension" };
const described = { name: "interp-magics", version: "1.0.0", description: "A lab's pool of models beside the notebook", jupyterlab: { extension: true, _build: load } };
await writeFile(`${lab}/package.json`, `${JSON.stringify(described, null, 2)}\n`);
