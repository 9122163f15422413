/**
 * Bundles the `ghostdb` command with all that it needs: it starts in a third of the time, and those who install the package
 * for its library install no command-line framework. `node src/cli/build.mjs [folder]`, by default `dist/cli`.
 */
import { copyFileSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"

const root = fileURLToPath(new URL("../..", import.meta.url))
const outdir = process.argv[2] ?? join(root, "dist", "cli")

const { metafile } = await build({
  absWorkingDir: root,
  entryPoints: ["src/cli/main.ts"],
  outdir,
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  target: "node20.15",
  // Names stay as they are, for whoever reads a stack trace.
  minifySyntax: true,
  minifyWhitespace: true,
  metafile: true,
  logLevel: "warning"
})

copyFileSync(join(root, "src", "cli", "grafana-dashboard.json"), join(outdir, "grafana-dashboard.json"))

// The page of `ghostdb ui`: one file, which the command reads when it is asked to serve it.
const pageFolder = join(root, "src", "cli", "commands", "ui", "page")
const script = await build({
  entryPoints: [join(pageFolder, "app.ts")],
  bundle: true,
  format: "iife",
  platform: "browser",
  target: "es2022",
  minify: true,
  write: false,
  logLevel: "warning"
})
const page = readFileSync(join(pageFolder, "index.html"), "utf8")
  .replace("<style></style>", () => `<style>${readFileSync(join(pageFolder, "style.css"), "utf8")}</style>`)
  .replace(
    "<script></script>",
    () => `<script>${script.outputFiles[0].text.replaceAll("</script", "<\\/script")}</script>`
  )
writeFileSync(join(outdir, "ui.html"), page)

const packages = new Set(
  Object.values(metafile.outputs)
    .flatMap(({ inputs }) => Object.entries(inputs))
    .filter(([, { bytesInOutput }]) => bytesInOutput > 0)
    .flatMap(([file]) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file) ?? [])
)

const notices = [...packages].sort().map((folder) => {
  const { license, name, version } = JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8"))
  const file = readdirSync(join(root, folder)).find((file) => /^licen[cs]e/i.test(file))
  return `${name} ${version} (${license})\n\n${file === undefined ? "" : readFileSync(join(root, folder, file), "utf8")}`
})
writeFileSync(join(outdir, "NOTICES.txt"), notices.join(`\n${"-".repeat(80)}\n\n`))
