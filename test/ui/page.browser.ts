import { mkdirSync } from "node:fs"
import { createServer } from "node:http"
import { fileURLToPath } from "node:url"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import { NodeServer } from "effect-ghostdb"
import { type Browser, chromium, type Page } from "playwright-core"
import { build, start, until } from "../cli/support.js"
import * as RawServer from "../support/RawServer.js"

const flags =
  "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync"

let browser: Browser
let main = ""
let removeBuild = () => {}

beforeAll(async () => {
  const built = await build()
  main = built.main
  removeBuild = built.remove
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    args: flags.split(" ")
  })
})

afterAll(async () => {
  await browser.close()
  removeBuild()
})

const live = (name: string, test: () => Effect.Effect<unknown, unknown, Scope.Scope>) =>
  it.scopedLive(name, test, 120_000)

const run = <A>(thunk: () => Promise<A>) => Effect.promise(thunk)

/** `ghostdb ui` on nodes, and its address. */
const ui = (nodes: ReadonlyArray<string>, ...args: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const all = [main, "ui", "--interval", "300ms", "--nodes", nodes.join(","), ...args]
    const running = yield* start(process.execPath, all, { input: "open" })
    yield* until("the address is there", () => running.stdout().endsWith("/\n"))
    return { running, url: running.stdout().trim() }
  })

const open = (url: string, options: NonNullable<Parameters<Browser["newContext"]>[0]> = {}) =>
  Effect.gen(function* () {
    const context = yield* Effect.acquireRelease(
      run(() => browser.newContext({ viewport: { width: 1100, height: 1000 }, ...options })),
      (context) => run(() => context.close())
    )
    const page = yield* run(() => context.newPage())
    const problems: Array<string> = []
    page.on("pageerror", (error) => problems.push(error.message))
    page.on("console", (message) => {
      if (message.type() === "error") problems.push(message.text())
    })
    yield* run(() => page.goto(url))
    yield* run(() => page.waitForSelector("#nodes tbody tr"))
    return { page, problems, context }
  })

const rowOf = (page: Page, node: string) => page.locator("#nodes tbody tr", { hasText: node })

const screenshots = fileURLToPath(new URL("../../.github/", import.meta.url))

describe("the page", () => {
  live("a node dies and is seen, then revives; the events say so", () =>
    Effect.gen(function* () {
      const servers = yield* NodeServer.cluster({ nodes: 3, metricsInterval: "500 millis" })
      const { url } = yield* ui(servers.map(({ address }) => address))
      const { page, problems } = yield* open(url)
      yield* run(() => page.getByText("3 of 3 live").waitFor())
      const [first] = servers
      yield* first!.stop
      const row = rowOf(page, first!.address)
      yield* run(() => row.getByText("dead").waitFor())
      yield* run(() => row.getByText("connection refused").waitFor())
      assert.match(yield* run(() => page.title()), /^1 dead/)
      yield* first!.start()
      yield* run(() => row.getByText("live v2").waitFor())
      const events = yield* run(() => page.locator("#events").textContent())
      assert.match(events ?? "", /live[\s\S]*dead/)
      assert.deepStrictEqual(problems, [])
    })
  )

  live("a frozen node among 50 is seen as dead, and the others are live", () =>
    Effect.gen(function* () {
      const servers = yield* NodeServer.cluster({ nodes: 49 })
      const frozen = yield* RawServer.listen(() => undefined)
      const { url } = yield* ui([...servers.map(({ address }) => address), frozen.address])
      const { page } = yield* open(url)
      yield* run(() => page.getByText("49 of 50 live").waitFor())
      yield* run(() => rowOf(page, frozen.address).getByText("does not answer in time").waitFor())
    })
  )

  live("a key is looked up; a value of markup is text; writing needs --write, and flush asks", () =>
    Effect.gen(function* () {
      const servers = yield* NodeServer.cluster({ nodes: 2 })
      const nodes = servers.map(({ address }) => address)
      const reader = yield* ui(nodes)
      const { page: reading } = yield* open(reader.url)
      assert.isFalse(yield* run(() => reading.locator("#write").isVisible()))
      const { url } = yield* ui(nodes, "--write")
      const { page, problems } = yield* open(url)
      yield* run(() => page.getByRole("textbox", { name: "Key", exact: true }).fill("k"))
      yield* run(() => page.getByLabel("Value as JSON").fill('"<img src=x onerror=document.title=1>"'))
      yield* run(() => page.getByLabel(/TTL/).fill("300"))
      yield* run(() => page.getByRole("button", { name: "Put" }).click())
      yield* run(() => page.locator("#answer").getByText("STORED").waitFor())
      // By the keyboard alone.
      yield* run(() => page.getByRole("textbox", { name: "Key", exact: true }).press("Enter"))
      yield* run(() => page.locator("#answer pre").waitFor())
      assert.strictEqual(
        yield* run(() => page.locator("#answer pre").textContent()),
        '"<img src=x onerror=document.title=1>"'
      )
      assert.match(
        (yield* run(() => page.locator("#answer p").textContent())) ?? "",
        /^Found on 127.* Owner: 127.*; stand-in: 127/
      )
      assert.strictEqual(yield* run(() => page.locator("img").count()), 0)
      assert.strictEqual(yield* run(() => page.title()), "GhostDB")
      yield* run(() => page.getByRole("button", { name: "Flush all nodes" }).click())
      yield* run(() => page.getByRole("button", { name: "Cancel" }).click())
      assert.strictEqual(
        (yield* Effect.forEach(servers, ({ node }) => node.size)).reduce((a, b) => a + b),
        1
      )
      yield* run(() => page.getByRole("button", { name: "Flush all nodes" }).click())
      yield* run(() => page.getByRole("button", { name: "Do it" }).click())
      yield* run(() => page.locator("#answer").getByText("FLUSHED").waitFor())
      assert.strictEqual(
        (yield* Effect.forEach(servers, ({ node }) => node.size)).reduce((a, b) => a + b),
        0
      )
      assert.deepStrictEqual(problems, [])
    })
  )

  live("what-if of the ring, 390 pixels wide without a sideways scroll, dark and light, and no layout shift", () =>
    Effect.gen(function* () {
      const servers = yield* NodeServer.cluster({ nodes: 5, metricsInterval: "200 millis" })
      const [stopped] = servers
      const { url } = yield* ui(servers.map(({ address }) => address))
      for (const [name, colorScheme] of [
        ["light", "light"],
        ["dark", "dark"]
      ] as const) {
        const { page, problems } = yield* open(url, { colorScheme })
        yield* run(() => page.locator("#shares tr").nth(5).waitFor())
        if (name === "dark") {
          yield* stopped!.stop
          yield* run(() => rowOf(page, stopped!.address).getByText("dead").waitFor())
        }
        yield* run(() => page.getByLabel("Add nodes").fill("10.0.0.9"))
        yield* run(() => page.getByRole("button", { name: "What if" }).click())
        yield* run(() => page.getByText(/of the keys move/).waitFor())
        assert.include(yield* run(() => page.locator("#shares").textContent()), "10.0.0.9")
        const back = yield* run(() => page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert.strictEqual(back, name === "dark" ? "rgb(20, 24, 27)" : "rgb(252, 252, 250)")
        const shift = `new Promise((resolve) => {
          let sum = 0
          new PerformanceObserver((list) => { for (const one of list.getEntries()) if (!one.hadRecentInput) sum += one.value })
            .observe({ type: "layout-shift" })
          setTimeout(() => resolve(sum), 1500)
        })`
        assert.strictEqual(yield* run(() => page.evaluate(shift)), 0)
        if (process.env.SCREENSHOTS !== undefined) {
          mkdirSync(screenshots, { recursive: true })
          yield* run(() => page.screenshot({ path: `${screenshots}ui-${name}.png`, fullPage: true }))
        }
        assert.deepStrictEqual(problems, [])
      }
      const { page: phone } = yield* open(url, { viewport: { width: 390, height: 800 } })
      yield* run(() => phone.locator("#shares tr").nth(5).waitFor())
      const [content, window] = yield* run(() =>
        phone.evaluate<ReadonlyArray<number>>("[document.documentElement.scrollWidth, innerWidth]")
      )
      assert.isAtMost(content ?? 0, window ?? 0)
    })
  )
})

describe("who may read and write", () => {
  live("a page from another origin may not, nor may another host name, nor who has no token", () =>
    Effect.gen(function* () {
      const servers = yield* NodeServer.cluster({ nodes: 1 })
      const { running, url } = yield* ui([servers[0]!.address], "--write")
      const other = createServer((_, response) => response.setHeader("content-type", "text/html").end("<p>other"))
      const port = yield* Effect.acquireRelease(
        Effect.async<number>((resume) => {
          other.listen(0, "127.0.0.1", () => {
            const address = other.address()
            resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
          })
        }),
        () => Effect.sync(() => other.close().closeAllConnections())
      )
      const context = yield* Effect.acquireRelease(
        run(() => browser.newContext()),
        (context) => run(() => context.close())
      )
      const page = yield* run(() => context.newPage())
      yield* run(() => page.goto(`http://127.0.0.1:${port}/`))
      const tries = `(async () => {
        const result = []
        for (const [path, init] of [
          ["lookup", { method: "POST", headers: { "content-type": "application/json" }, body: '{"key":"k"}' }],
          ["put", { method: "POST", mode: "no-cors", body: '{"key":"k","value":"1","ttl":"-1"}' }],
          ["events", {}],
          ["", {}]
        ]) {
          try {
            const response = await fetch(${JSON.stringify(url)} + path, init)
            result.push(response.type === "opaque" ? "opaque" : response.status)
          } catch {
            result.push("refused")
          }
        }
        return result
      })()`
      const results = yield* run(() => page.evaluate<ReadonlyArray<string | number>>(tries))
      for (const result of results) assert.include(["refused", "opaque"], result)
      assert.strictEqual(yield* servers[0]!.node.size, 0)

      const status = (address: string, init: RequestInit = {}) =>
        run(() => fetch(address, init).then(({ status }) => status))
      const origin = new URL(url).origin
      assert.strictEqual(yield* status(`${origin}/`), 404)
      assert.strictEqual(yield* status(`${origin}/wrong-token-of-the-same-le/`), 404)
      const asJson = {
        method: "POST",
        body: '{"key":"k","value":"1"}',
        headers: { "content-type": "application/json" }
      }
      assert.strictEqual(
        yield* status(`${url}put`, { ...asJson, headers: { ...asJson.headers, origin: "http://evil.example" } }),
        403
      )
      const rebound = yield* start("curl", [
        "-s",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "-H",
        "Host: evil.example",
        url
      ])
      assert.strictEqual((yield* rebound.ended).stdout, "421")
      assert.strictEqual(yield* servers[0]!.node.size, 0)

      running.child.kill("SIGINT")
      assert.strictEqual((yield* running.ended).code, 0)
    })
  )
})
