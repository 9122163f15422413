import type { IncomingMessage, ServerResponse } from "node:http"
import { inspect } from "node:util"
import { FetchHttpClient } from "@effect/platform"
import { NodeHttpClient } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Array as Arr, Effect, Fiber, Option, Queue, TestClock } from "effect"
import { isUrl } from "../../src/discovery/Watched.js"
import * as WatchUrl from "../../src/discovery/WatchUrl.js"
import { listen } from "./listen.js"
import { observe, unconfirmed } from "./observe.js"

describe.concurrent("watchUrl", () => {
  type Reply = (response: ServerResponse, request: IncomingMessage) => void

  const text =
    (content: string, etag?: string): Reply =>
    (response, request) => {
      if (etag !== undefined) response.setHeader("ETag", etag)
      if (etag !== undefined && request.headers["if-none-match"] === etag) response.writeHead(304).end()
      else response.end(content)
    }

  const endless = (response: ServerResponse): void => {
    while (!response.destroyed && response.write("#".repeat(65536))) {}
    if (!response.destroyed) response.once("drain", () => endless(response))
  }

  const status =
    (code: number): Reply =>
    (response) =>
      response.writeHead(code, { Location: "/elsewhere" }).end("10.6.6.6")

  /** A server on loopback: `reply` is what it does now, `requests` what it got, `closed` each reply that is over. */
  const server = Effect.gen(function* () {
    const requests = yield* Queue.unbounded<IncomingMessage>()
    const closed = yield* Queue.unbounded<void>()
    const state: { reply: Reply } = { reply: text("10.0.0.1") }
    const host = yield* listen((request, response) => {
      requests.unsafeOffer(request)
      response.on("close", () => closed.unsafeOffer(undefined))
      state.reply(response, request)
    })
    return { host, url: `http://${host}/nodes`, requests, closed, state }
  })

  /** For tests that let time pass while a request is under way. */
  const patient = { ...unconfirmed, timeout: "1000 days" } as const

  /** Lets polls happen until something comes. */
  const polling = <A, E>(effect: Effect.Effect<A, E>) =>
    Effect.raceFirst(effect, Effect.forever(TestClock.adjust("30 seconds")))

  for (const [client, layer] of [
    ["undici", NodeHttpClient.layerUndici],
    ["fetch", FetchHttpClient.layer]
  ] as const) {
    describe(client, () => {
      it.scoped("polls, and honours the ETag", () =>
        Effect.gen(function* () {
          const { requests, state, url } = yield* server
          const tag = Effect.map(Queue.take(requests), ({ headers }) => headers["if-none-match"])
          state.reply = text("10.0.0.1", '"1"')
          const { lines, nodes, seen } = yield* observe(WatchUrl.watchUrl(url, patient))
          assert.deepStrictEqual(nodes, ["10.0.0.1"])
          assert.strictEqual(yield* tag, undefined)
          for (const _ of [1, 2, 3]) {
            assert.strictEqual(yield* polling(tag), '"1"')
          }
          state.reply = text("10.0.0.1\n10.0.0.2", 'W/"2"')
          assert.deepStrictEqual(yield* polling(Queue.take(seen)), ["10.0.0.1", "10.0.0.2"])
          state.reply = text("10.0.0.3")
          assert.deepStrictEqual(yield* polling(Queue.take(seen)), ["10.0.0.3"])
          const tags = Arr.map(
            Arr.fromIterable(yield* Queue.takeAll(requests)),
            ({ headers }) => headers["if-none-match"]
          )
          assert.deepStrictEqual(Arr.dedupe(tags), ['"1"', 'W/"2"'])
          assert.isUndefined(yield* polling(tag))
          assert.deepStrictEqual(Arr.fromIterable(yield* Queue.takeAll(lines)), [])
        }).pipe(Effect.provide(layer))
      )

      it.scoped("polls every 30 seconds", () =>
        Effect.gen(function* () {
          const { requests, url } = yield* server
          yield* observe(WatchUrl.watchUrl(url))
          yield* Queue.take(requests)
          yield* TestClock.adjust("29999 millis")
          assert.strictEqual(yield* Queue.size(requests), 0)
          yield* TestClock.adjust("1 millis")
          yield* Queue.take(requests)
        }).pipe(Effect.provide(layer))
      )

      it.scoped("a node that the URL lacks is gone when a second reply 2 seconds later lacks it", () =>
        Effect.gen(function* () {
          const { closed, requests, seen, state } = yield* Effect.gen(function* () {
            const all = yield* server
            all.state.reply = text("10.0.0.1\n10.0.0.2", '"1"')
            return { ...all, ...(yield* observe(WatchUrl.watchUrl(all.url, { timeout: "1000 days" }))) }
          })
          yield* Queue.take(closed)
          state.reply = text("10.0.0.1", '"2"')
          yield* TestClock.adjust("30 seconds")
          // The reply has come.
          yield* Queue.take(closed)
          state.reply = text("10.0.0.1\n10.0.0.2", '"1"')
          yield* Effect.raceFirst(Queue.take(closed), Effect.forever(TestClock.adjust("1 second")))
          assert.strictEqual(yield* Queue.size(seen), 0)
          state.reply = text("10.0.0.1", '"2"')
          yield* Queue.takeAll(requests)
          assert.deepStrictEqual(yield* polling(Queue.take(seen)), ["10.0.0.1"])
          const tags = Arr.map(
            Arr.fromIterable(yield* Queue.takeAll(requests)),
            ({ headers }) => headers["if-none-match"]
          )
          assert.includeMembers(tags, ['"1"', '"2"'])
        }).pipe(Effect.provide(layer))
      )

      const troubles: ReadonlyArray<readonly [what: string, reply: Reply, reason: RegExp]> = [
        ["HTTP 500", status(500), /HTTP 500/],
        ["HTTP 404", status(404), /HTTP 404/],
        ["HTTP 206", status(206), /HTTP 206/],
        ["304 to no ETag", status(304), /HTTP 304/],
        ["a reset", (response) => response.destroy(), /cannot be fetched: /],
        [
          "a reply cut short",
          (response) => response.writeHead(200, { "Content-Length": 99 }).write("10", () => response.destroy()),
          /cannot be fetched: /
        ],
        ["an endless reply", (response) => endless(response), /over 1048576 bytes/],
        ["what does not parse", text("<html>"), /:1: .*"<html>"/],
        ["no node", text("\n"), /no node in it/]
      ]
      for (const [what, reply, reason] of troubles) {
        it.scoped(`keeps the nodes on ${what}`, () =>
          Effect.gen(function* () {
            const { closed, lines, requests, seen, state, url } = yield* Effect.gen(function* () {
              const all = yield* server
              return { ...all, ...(yield* observe(WatchUrl.watchUrl(all.url, patient))) }
            })
            yield* Queue.takeAll(requests)
            yield* Queue.take(closed)
            state.reply = reply
            assert.match(
              yield* polling(Queue.take(lines)),
              new RegExp(`^WARN ${url}.*${reason.source}.*; the nodes stay as they are$`)
            )
            // the same again is not logged again
            yield* polling(Queue.takeN(closed, 3))
            state.reply = text("10.0.0.2")
            assert.deepStrictEqual(yield* polling(Queue.take(seen)), ["10.0.0.2"])
            assert.deepStrictEqual(Arr.fromIterable(yield* Queue.takeAll(lines)), [])
            state.reply = reply
            const error = yield* Effect.flip(WatchUrl.watchUrl(url))
            assert.match(error.message, reason)
            assert.strictEqual(error.file, url)
          }).pipe(Effect.provide(layer))
        )
      }

      it.scoped("gives up a request that takes too long", () =>
        Effect.gen(function* () {
          const { closed, requests, state, url } = yield* server
          for (const reply of [() => {}, (response: ServerResponse) => response.write("10.0.0.1")]) {
            state.reply = reply
            const watching = yield* Effect.fork(Effect.flip(WatchUrl.watchUrl(url)))
            yield* Queue.take(requests)
            yield* TestClock.adjust("9999 millis")
            assert.isTrue(Option.isNone(yield* Fiber.poll(watching)))
            yield* TestClock.adjust("1 millis")
            assert.strictEqual((yield* Fiber.join(watching)).message, `${url}: no reply within 10s`)
            yield* Queue.take(closed)
          }
        }).pipe(Effect.provide(layer))
      )

      it.scoped("shows neither credentials nor the query", () =>
        Effect.gen(function* () {
          const { host, lines, requests, seen, state, url } = yield* Effect.gen(function* () {
            const all = yield* server
            const source = `http://us%65r:s%C3%A9cret@${all.host}/nodes?token=s%2bcret&a=s+cret#s-cret`
            const watching = observe(WatchUrl.watchUrl(source, patient)).pipe(Effect.withSpan("test"))
            return { ...all, url: source, ...(yield* watching) }
          })
          const request = yield* Queue.take(requests)
          assert.strictEqual(request.url, "/nodes?token=s%2bcret&a=s+cret")
          const credentials = Buffer.from("user:sécret").toString("base64")
          assert.strictEqual(request.headers.authorization, `Basic ${credentials}`)
          // no span was made of it, so none holds the URL
          assert.isUndefined(request.headers.traceparent)
          const secret = /user|us%65r|s%C3|sécret|cret|token|dXNlcj/
          for (const reply of [status(403), text("!"), text("10.0.0.1\n10.0.0.1\n10.0.0.2")]) {
            state.reply = reply
            const line = yield* polling(Queue.take(lines))
            assert.include(line, `http://${host}/nodes`)
            assert.notMatch(line, secret)
          }
          assert.deepStrictEqual(yield* Queue.take(seen), ["10.0.0.1", "10.0.0.2"])
          state.reply = (response) => response.destroy()
          assert.notMatch(yield* polling(Queue.take(lines)), secret)
          const error = yield* Effect.flip(WatchUrl.watchUrl(url))
          for (const shown of [error.message, String(error), JSON.stringify(error), inspect(error, { depth: 9 })]) {
            assert.include(shown, `http://${host}/nodes`)
            assert.notMatch(shown, secret)
          }
        }).pipe(Effect.provide(layer))
      )

      it.scoped("says why no connection could be made", () =>
        Effect.gen(function* () {
          const { url } = yield* Effect.scoped(server)
          assert.strictEqual(
            (yield* Effect.flip(WatchUrl.watchUrl(url))).message,
            `${url}: cannot be fetched: ECONNREFUSED`
          )
        }).pipe(Effect.provide(layer))
      )
    })
  }

  it.effect("refuses what is no URL, without showing it", () =>
    Effect.gen(function* () {
      for (const url of [
        "http://user:secret@:99999/x",
        "http://",
        "http://a b/?secret",
        "ftp://secret.example/",
        "secret"
      ]) {
        const { message } = yield* Effect.flip(WatchUrl.watchUrl(url))
        assert.strictEqual(message, "nodes URL: not a valid http or https URL")
      }
    }).pipe(Effect.provide(FetchHttpClient.layer))
  )

  it("tells a URL from a path", () => {
    assert.deepStrictEqual(
      ["http://a/b", "HTTPS://a", "gdb.conf", "/etc/http://a", "./http:", "file:///a"].map(isUrl),
      [true, true, false, false, false, false]
    )
  })
})
