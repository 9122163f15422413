/**
 * The second package as its users get it: packed, installed in an empty folder beside Effect 4, its README's first program in
 * TypeScript, and the command.
 */
import { deepStrictEqual, match, ok } from "node:assert/strict"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import process from "node:process"
import * as support from "../package/support.js"
import { target } from "./paths.js"

const folder = support.temporary("effect4")
const succeed = (command: string, args: ReadonlyArray<string>) => support.succeed(command, args, folder)
const bin = (name: string) => join(folder, "node_modules", ".bin", name)

const readme = readFileSync(join(target, "README.md"), "utf8")
const peers = /^npm install effect-ghostdb (.*)$/m.exec(readme)?.[1]?.split(" ") ?? []
const program = /^```ts\n(.*?)^```$/ms.exec(readme)?.[1] ?? ""
deepStrictEqual(peers, ["effect@4", "@effect/platform-node@4"])
ok(program.includes("GhostDBLive("))

const packed = await support.succeed("npm", ["pack", "--json", "--pack-destination", folder], target)
const [{ filename, files }] = JSON.parse(packed.slice(packed.search(/^\[/m)))
const others = files.filter(
  ({ path }: { readonly path: string }) =>
    !/^(dist|src|examples)\/|^(package\.json|README\.md|CHANGELOG\.md|LICENSE)$/.test(path)
)
deepStrictEqual(others, [])

writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true, type: "module" }))
await succeed("npm", ["install", ...support.quiet, join(folder, filename), ...peers])
await succeed("npm", ["install", ...support.quiet, "--save-dev", "typescript@5", "@types/node@20"])
writeFileSync(join(folder, "quote.ts"), program)
const options = ["--strict", "--skipLibCheck", "--module", "nodenext", "--target", "es2022", "--types", "node"]
await succeed(bin("tsc"), [...options, "quote.ts"])
await support.serving(folder, ["--port", "0", "--file", "gdb.conf"], async () => {
  match(await succeed(process.execPath, ["quote.js"]), support.firstOutput)
  match(await succeed("npx", ["ghostdb", "get", "AMZN"]), /"price":3107\.3/)
  match(await succeed("npx", ["ghostdb", "delete", "AMZN"]), /^REMOVED$/m)
})
console.log(`${filename}: README's first program and the command run beside ${peers.join(" and ")}`)
