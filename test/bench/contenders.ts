/** Everything that is measured, by name. */

import * as Http from "node:http"
import { FetchHttpClient } from "@effect/platform"
import { NodeHttpClient, Undici } from "@effect/platform-node"
import { type Context, Effect, Exit, Layer, ManagedRuntime, Option, Schema, Tracer } from "effect"
import { Client, FetchTransport, GhostDB, type GhostDBOptions, type Json, SocketTransport } from "effect-ghostdb"
import { layer as layerHttpClient } from "effect-ghostdb/HttpClientTransport"
import { NearCache } from "effect-ghostdb/NearCache"
import type { Transport } from "effect-ghostdb/Transport"
import { stringOf } from "../../src/model/Exchange.js"
import { forDialect } from "../../src/protocol/Dialects.js"
import { keys, type Load, Person, valueOf } from "./load.js"
import type { Contestant, Meter } from "./meter.js"
import { overCodec, type Post, plainPost, plainSend } from "./socketClients.js"
import * as UndiciTransport from "./UndiciTransport.js"

/** The next key, and so the next node where a contender has no ring. */
const turn = <A>(items: ReadonlyArray<A>): (() => A) => {
  let at = 0
  return () => {
    const item = items[at]
    if (item === undefined) throw new Error("nothing to take")
    at = at + 1 === items.length ? 0 : at + 1
    return item
  }
}

const nextKey = turn(keys)

// Contenders of promises

interface Commands {
  readonly get: (key: string) => Promise<unknown>
  readonly put: (key: string, value: Json) => Promise<unknown>
}

const ofPromises = ({ bytes, command, inFlight }: Load, { get, put }: Commands): Contestant => {
  const value = valueOf(bytes)
  const once = command === "get" ? () => get(nextKey()) : () => put(nextKey(), value)
  const worker = async (meter: Meter) => {
    while (!meter.done) {
      const startedAt = meter.begin()
      await once()
      meter.end(startedAt)
    }
  }
  return { once, run: (meter) => Promise.all(Array.from({ length: inFlight }, () => worker(meter))) }
}

const v2 = forDialect("v2")

/** The commands of a client that only posts; what it sends is encoded, and what it gets is parsed, but not checked. */
const commandsOf = (next: () => Post): Commands => ({
  get: async (key) => JSON.parse(await next()("get", stringOf(v2.get(key).encode()))).Gobj.Value,
  put: async (key, value) =>
    JSON.parse(await next()("put", stringOf(v2.put(key, () => JSON.stringify(value), -1).encode()))).Message
})

const ofPosts = (load: Load, connect: (node: string) => Post): Contestant =>
  ofPromises(load, commandsOf(turn(load.nodes.map(connect))))

/**
 * The least that a get as an Effect costs: one `Effect.async` over the plain client's callback, and nothing else. What a
 * client does beside that it does above this.
 */
const bareEffect = (load: Load) => {
  const next = turn(load.nodes.map(plainSend))
  return ofEffect(load, Layer.empty, () => () => {
    const body = stringOf(v2.get(nextKey()).encode())
    return Effect.async<unknown>((resume) =>
      next()("get", body, (reply) => resume(Exit.succeed(JSON.parse(reply).Gobj.Value)))
    )
  })
}

/** Undici fills its pipeline up to this; more in flight wait in its queue, which it does better than longer pipelines. */
const pipelining = 64

const pool = (node: string) => new Undici.Pool(`http://${node}`, { connections: 1, pipelining })

const jsonHeaders = { "content-type": "application/json" }

/** The least that there is over `fetch`. */
const fetchPost =
  (node: string): Post =>
  (command, body) =>
    fetch(`http://${node}/${command}`, { method: "POST", headers: jsonHeaders, body }).then((reply) => reply.text())

// Contenders of Effects

const ofEffect = async <R>(
  load: Load,
  provided: Layer.Layer<R>,
  makeOnce: (load: Load) => () => Effect.Effect<unknown, unknown, R>
): Promise<Contestant> => {
  const runtime = ManagedRuntime.make(provided)
  await runtime.runtime()
  const once = makeOnce(load)
  const worker = (meter: Meter) => {
    let startedAt = 0
    return Effect.whileLoop({
      while: () => !meter.done,
      body: () => {
        startedAt = meter.begin()
        return once()
      },
      step: () => meter.end(startedAt)
    })
  }
  return {
    once: () =>
      runtime.runPromise(once()).then((answer) => (Option.isOption(answer) ? Option.getOrUndefined(answer) : answer)),
    run: (meter) =>
      runtime.runPromise(
        Effect.all(
          Array.from({ length: load.inFlight }, () => worker(meter)),
          { concurrency: "unbounded", discard: true }
        )
      )
  }
}

const commands = ({ bytes, command }: Load) => {
  const value = valueOf(bytes)
  return command === "get" ? () => GhostDB.get(nextKey()) : () => GhostDB.put(nextKey(), value)
}

/** The client as its users have it, but for the nodes file and for attempts that outlast a busy machine. */
const client = (load: Load, transport: Layer.Layer<Transport>, options?: GhostDBOptions): Layer.Layer<GhostDB> =>
  Client.layer({ attemptTimeout: "10 seconds", deadline: "20 seconds", ...options, nodes: load.nodes }).pipe(
    Layer.provide(transport),
    Layer.orDie
  )

const full = (options?: GhostDBOptions) => (load: Load) =>
  ofEffect(load, client(load, SocketTransport.layer, options), commands)

/** A tracer that is not the default one, so that commands are traced, and that does nothing with what it is told. */
const silentTracer = Tracer.make({
  context: (run) => run(),
  span: (name, parent, context: Context.Context<never>, links, _startTime, kind) => ({
    _tag: "Span",
    name,
    parent,
    context,
    links,
    kind,
    spanId: "0",
    traceId: "0",
    sampled: false,
    status: { _tag: "Ended", startTime: 0n, endTime: 0n, exit: Exit.void },
    attributes: new Map(),
    end: () => {},
    attribute: () => {},
    event: () => {},
    addLinks: () => {}
  })
})

const strings = GhostDB.forSchema(Schema.String)

const people = GhostDB.forSchema(Person)

/** The next keys of a batch. */
const nextKeys = (count: number) => Array.from({ length: count }, nextKey)

/** A batch is one operation of many keys, the next one begins when it has ended. */
const ofBatches = (load: Load, run: (keys: ReadonlyArray<string>) => Promise<unknown>): Contestant => ({
  weight: load.batch,
  once: () => run(nextKeys(load.batch)),
  run: async (meter) => {
    while (!meter.done) {
      const startedAt = meter.begin()
      await run(nextKeys(load.batch))
      meter.end(startedAt)
    }
  }
})

const many = async (
  load: Load,
  getMany: (keys: ReadonlyArray<string>) => Effect.Effect<ReadonlyMap<string, unknown>, unknown, GhostDB>
): Promise<Contestant> => {
  const runtime = ManagedRuntime.make(client(load, SocketTransport.layer))
  await runtime.runtime()
  const value = valueOf(load.bytes)
  // A real server holds nothing yet.
  await runtime.runPromise(GhostDB.putMany(keys.map((key) => [key, value] as const)))
  return ofBatches(load, async (keys) => {
    const results = await runtime.runPromise(
      load.command === "get" ? getMany(keys) : GhostDB.putMany(keys.map((key) => [key, value] as const))
    )
    if (results.size !== keys.length) throw new Error("keys without a result")
  })
}

/** One contender. */
export interface Contender {
  /** What it is, for the table. */
  readonly label: string
  /** The server that it needs in the place of GhostDB's nodes, and the package that it is. */
  readonly peer?: { readonly server: "redis" | "memcached"; readonly package: string }
  readonly make: (load: Load) => Promise<Contestant>
}

const contender = (
  label: string,
  make: (load: Load) => Contestant | Promise<Contestant>,
  peer?: Contender["peer"]
) => ({
  label,
  make: async (load: Load) => make(load),
  ...(peer === undefined ? {} : { peer })
})

export const contenders = {
  full: contender("effect-ghostdb", full()),
  "full-no-metrics": contender("effect-ghostdb, metrics off", full({ metrics: false })),
  "full-no-spans": contender("effect-ghostdb, spans never", full({ spans: "never" })),
  "full-traced": contender("effect-ghostdb, traced", (load) =>
    ofEffect(load, Layer.merge(client(load, SocketTransport.layer), Layer.setTracer(silentTracer)), commands)
  ),
  "full-dispatch": contender("effect-ghostdb over undici dispatch", (load) =>
    ofEffect(load, client(load, UndiciTransport.layer(pipelining)), commands)
  ),
  "full-httpclient": contender("effect-ghostdb over HttpClient", (load) =>
    ofEffect(load, client(load, Layer.provide(layerHttpClient, NodeHttpClient.layerUndici)), commands)
  ),
  "full-fetch": contender("effect-ghostdb over FetchTransport", (load) =>
    ofEffect(load, client(load, FetchTransport.layerWith({ concurrency: load.inFlight })), commands)
  ),
  "full-httpclient-fetch": contender("effect-ghostdb over HttpClient on fetch", (load) =>
    ofEffect(load, client(load, Layer.provide(layerHttpClient, FetchHttpClient.layer)), commands)
  ),
  fetch: contender("fetch", (load) => ofPosts(load, fetchPost)),
  "fetch-same-options": contender("fetch with a signal, no redirects", (load) =>
    ofPosts(load, (node) => (command, body) => {
      const options = { headers: jsonHeaders, redirect: "manual", signal: new AbortController().signal } as const
      return fetch(`http://${node}/${command}`, { method: "POST", body, ...options }).then((reply) => reply.text())
    })
  ),
  store: contender("effect-ghostdb, Store.get", (load) =>
    ofEffect(load, client(load, SocketTransport.layer), () => () => strings.get(nextKey()))
  ),
  "get-or-else": contender("effect-ghostdb, getOrElse", (load) =>
    ofEffect(load, client(load, SocketTransport.layer), () => () => strings.getOrElse(nextKey(), Effect.never))
  ),
  "near-cache": contender("effect-ghostdb, near cache", (load) =>
    ofEffect(
      load,
      NearCache.layer({ capacity: keys.length, ttl: 3600 }).pipe(Layer.provide(client(load, SocketTransport.layer))),
      commands
    )
  ),
  "get-many": contender("effect-ghostdb, many keys", (load) => many(load, GhostDB.getMany)),
  "get-many-on-one": contender("effect-ghostdb, many keys, one node", (load) =>
    many({ ...load, nodes: load.nodes.slice(0, 1) }, GhostDB.getMany)
  ),
  "store-get-many": contender("effect-ghostdb, Store.getMany", (load) => many(load, people.getMany)),
  "get-alone": contender("effect-ghostdb, one get", async (load) => {
    const runtime = ManagedRuntime.make(client(load, SocketTransport.layer))
    await runtime.runtime()
    return ofBatches({ ...load, batch: 1 }, ([key = ""]) => runtime.runPromise(GhostDB.get(key)))
  }),
  "for-each": contender("effect-ghostdb, forEach of get, 128 at a time", (load) =>
    many(load, (keys) =>
      Effect.map(
        Effect.forEach(keys, (key) => Effect.map(Effect.either(GhostDB.get(key)), (result) => [key, result] as const), {
          concurrency: 128
        }),
        (results) => new Map(results)
      )
    )
  ),
  "ioredis-pipeline": contender(
    "ioredis pipeline, on Redis",
    async (load) => {
      const { Redis } = await import("ioredis")
      const redis = new Redis({ host: "127.0.0.1", port: load.peerPort })
      const json = JSON.stringify(valueOf(load.bytes))
      for (const key of keys) await redis.set(key, json)
      return ofBatches(load, async (keys) => {
        const pipeline = redis.pipeline()
        for (const key of keys) load.command === "get" ? pipeline.get(key) : pipeline.set(key, json)
        const replies = (await pipeline.exec()) ?? []
        const results = new Map<string, unknown>()
        for (const [index, [error, reply]] of replies.entries()) {
          if (error !== null) throw error
          results.set(keys[index] ?? "", load.command === "get" ? JSON.parse(String(reply)) : reply)
        }
        if (results.size !== keys.length) throw new Error("keys without a result")
      })
    },
    { server: "redis", package: "ioredis" }
  ),
  "plain-pipeline": contender("plain socket client, all keys at once", async (load) => {
    const { get, put } = commandsOf(turn(load.nodes.map(plainPost)))
    const value = valueOf(load.bytes)
    for (const key of keys) await put(key, value)
    return ofBatches(load, async (keys) => {
      const results = await Promise.all(keys.map((key) => (load.command === "get" ? get(key) : put(key, value))))
      if (new Map(results.map((result, index) => [keys[index], result])).size !== keys.length) {
        throw new Error("keys without a result")
      }
    })
  }),
  codec: contender("its codec, bare promises", (load) => ofPosts(load, overCodec)),
  "plain-effect": contender("plain socket client, in one Effect.async", bareEffect),
  plain: contender("plain socket client", (load) => ofPosts(load, plainPost)),
  undici: contender("undici Pool.request", (load) =>
    ofPosts(load, (node) => {
      const to = pool(node)
      return async (command, body) =>
        (await to.request({ ...UndiciTransport.pipelined, path: `/${command}`, body })).body.text()
    })
  ),
  "undici-dispatch": contender("undici dispatch", (load) =>
    ofPosts(load, (node) => {
      const to = pool(node)
      return (command, body) =>
        new Promise((resolve, reject) =>
          UndiciTransport.dispatch(to, command, body, (_status, body) => resolve(body), reject)
        )
    })
  ),
  "http-request": contender("http.request, as the JavaScript SDK", (load) => {
    const agent = new Http.Agent({ keepAlive: true })
    return ofPosts(load, (node) => {
      const [host, port] = node.split(":")
      return (command, body) =>
        new Promise((resolve, reject) => {
          const headers = { ...UndiciTransport.headers, "content-length": Buffer.byteLength(body) }
          Http.request({ host, port, path: `/${command}`, method: "POST", headers, agent }, (reply) => {
            let text = ""
            reply.setEncoding("utf8")
            reply.on("data", (chunk: string) => {
              text += chunk
            })
            reply.on("end", () => resolve(text))
          })
            .on("error", reject)
            .end(body)
        })
    })
  }),
  ioredis: contender(
    "ioredis, on Redis",
    async (load) => {
      const { Redis } = await import("ioredis")
      const redis = new Redis({ host: "127.0.0.1", port: load.peerPort, enableAutoPipelining: true })
      return ofPromises(load, {
        get: async (key) => JSON.parse((await redis.get(key)) ?? ""),
        put: async (key, value) => ((await redis.set(key, JSON.stringify(value))) === "OK" ? "STORED" : "NOT_STORED")
      })
    },
    { server: "redis", package: "ioredis" }
  ),
  "node-redis": contender(
    "node-redis, on Redis",
    async (load) => {
      const { createClient } = await import("redis")
      const redis = createClient({ socket: { host: "127.0.0.1", port: load.peerPort } })
      await redis.connect()
      return ofPromises(load, {
        get: async (key) => JSON.parse((await redis.get(key)) ?? ""),
        put: async (key, value) => ((await redis.set(key, JSON.stringify(value))) === "OK" ? "STORED" : "NOT_STORED")
      })
    },
    { server: "redis", package: "redis" }
  ),
  memjs: contender(
    "memjs, on memcached",
    async (load) => {
      const { Client } = await import("memjs")
      const memcached = Client.create(`127.0.0.1:${load.peerPort}`, { timeout: 10 })
      return ofPromises(load, {
        get: async (key) => JSON.parse(String((await memcached.get(key)).value)),
        put: async (key, value) => ((await memcached.set(key, JSON.stringify(value), {})) ? "STORED" : "NOT_STORED")
      })
    },
    { server: "memcached", package: "memjs" }
  )
} satisfies Record<string, Contender>

export type ContenderName = keyof typeof contenders
