// Bundles each widget into one module beside its Python class.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { build } from "esbuild";

const out = "../widgets/interp_widgets/static";
const widgets = ["lens", "steer", "compare", "features", "pool", "sweep"];

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
