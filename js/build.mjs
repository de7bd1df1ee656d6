// Bundles each widget into one module beside its Python class.
import { copyFile, mkdir } from "node:fs/promises";
import { build } from "esbuild";

const out = "../widgets/interp_widgets/static";
const widgets = ["lens"];

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
await Promise.all(widgets.map((name) => copyFile(`src/${name}.css`, `${out}/${name}.css`)));
