// Bundles each widget into one module beside its Python class, and the JupyterLab extension into what JupyterLab loads.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { build, transform } from "esbuild";

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

// A widget's rules hold inside it alone, since several stand on one page.
const base = await readFile("src/lib/base.css", "utf8");
const scoped = async (name) => {
  const nested = `${base}.iw-${name} {\n${await readFile(`src/${name}.css`, "utf8")}}\n`;
  return (await transform(nested, { loader: "css", minify: true, target: ["chrome123"], supported: { nesting: false } })).code;
};
for (const name of widgets) await writeFile(`${out}/${name}.css`, await scoped(name));

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
  define: { POOL_STYLE: JSON.stringify(await scoped("pool")) },
});
const load = { load: "static/remoteEntry.js", extension: "./extension" };
const described = { name: "interp-magics", version: "1.0.0", description: "A lab's pool of models beside the notebook", jupyterlab: { extension: true, _build: load } };
await writeFile(`${lab}/package.json`, `${JSON.stringify(described, null, 2)}\n`);
