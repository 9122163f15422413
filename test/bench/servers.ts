/** What the contenders talk to. */
import { mkdir, writeFile } from "node:fs/promises"
import { homedir, userInfo } from "node:os"
import { join } from "node:path"
import { Effect, Schema, type Scope } from "effect"
import { personBytes, replies, textOf } from "./load.js"
import { type ProcessError, program, programOn, script } from "./processes.js"

/** GhostDB nodes, each with values of one size. */
export interface Nodes {
  /** So many nodes of that size, as `host:port`. */
  readonly take: (bytes: number, count: number) => ReadonlyArray<string>
}

/** The size of the values of each node. */
const sizes: ReadonlyArray<number> = [40, 40, 40, 40, 40, 10 * 1024, 100 * 1024, personBytes]

const nodesOf = (ports: ReadonlyArray<number>): Nodes => ({
  take: (bytes, count) => ports.flatMap((port, i) => (sizes[i] === bytes ? [`127.0.0.1:${port}`] : [])).slice(0, count)
})

const Ports = Schema.Array(Schema.Number)

const portsOf = (path: string, kind: string, sizes: ReadonlyArray<number>) =>
  Effect.gen(function* () {
    const server = yield* script(path, [kind, ...sizes.map(String)])
    return { server, ports: yield* Effect.orDie(Schema.decodeUnknown(Ports)(yield* server.receive)) }
  })

/** nginx, which answers with one write each, as real servers do. One process, so that ending it ends all of it. */
export const nginx = (directory: string): Effect.Effect<Nodes, ProcessError, Scope.Scope> =>
  Effect.map(
    program("nginx", sizes.length, (ports) =>
      Effect.promise(async () => {
        const file = join(directory, "nginx.conf")
        await writeFile(file, nginxConfiguration(directory, ports))
        return ["-e", "stderr", "-p", directory, "-c", file]
      })
    ),
    nodesOf
  )

const nginxConfiguration = (directory: string, ports: ReadonlyArray<number>): string => {
  // A parameter is short: long values are put together of a variable.
  const unit = 1024
  const value = (bytes: number) => "$unit".repeat(Math.floor(bytes / unit)) + textOf(bytes % unit)
  const location = (path: string, reply: string) => `location = /${path} { return 200 '${reply}'; }`
  const servers = ports.map((port, i) => {
    const get = replies.get(0).replace(`"Value":""`, `"Value":"${value(sizes[i] ?? 0)}"`)
    return `server {
      listen 127.0.0.1:${port};
      set $unit "${textOf(unit)}";
      ${location("get", get)}
      ${location("put", replies.put)}
      ${location("ping", replies.ping)}
    }`
  })
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((of) => `${of}_temp_path ${directory};`)
  return `
    daemon off; master_process off; pid ${join(directory, "nginx.pid")}; error_log stderr crit;
    events { worker_connections 4096; }
    http {
      access_log off; server_tokens off; default_type "application/json; charset=UTF-8"; client_max_body_size 8m;
      keepalive_timeout 1h; keepalive_requests 4000000000;
      ${temporary.join(" ")}
      ${servers.join("\n")}
    }`
}

/** Canned replies by a few lines on a socket, which answers many requests in one write: faster than any client. */
export const canned = (path: string): Effect.Effect<Nodes, ProcessError, Scope.Scope> =>
  Effect.map(portsOf(path, "canned", sizes), ({ ports }) => nodesOf(ports))

/** A real server of version 2. Its port is fixed, and it keeps files in the user's home: it is given another one. */
export const v2 = (binary: string, directory: string): Effect.Effect<Nodes, ProcessError, Scope.Scope> =>
  Effect.gen(function* () {
    const home = join(directory, "v2")
    yield* Effect.promise(() => mkdir(join(home, ".config", "ghostdb"), { recursive: true }))
    const script = `mount --bind "$0" "${homedir()}" && cd "$0" && exec "$1"`
    yield* programOn("unshare", [7991], ["--mount", "sh", "-c", script, home, binary])
    return { take: () => ["127.0.0.1:7991"] }
  })

/** A server in a process of its own, which tells the CPU time that it has used. */
export interface Server {
  readonly node: string
  /** User and system time since its start, in microseconds. */
  readonly cpu: Effect.Effect<number, ProcessError>
}

const Cpu = Schema.Struct({ user: Schema.Number, system: Schema.Number })

/** One server of a kind that `server.ts` knows, with values of 40 bytes. */
export const one = (
  path: string,
  kind: "embedded" | "http" | "silent"
): Effect.Effect<Server, ProcessError, Scope.Scope> =>
  Effect.map(portsOf(path, kind, [40]), ({ ports, server }) => ({
    node: `127.0.0.1:${ports[0]}`,
    cpu: Effect.flatMap(server.ask("cpu"), (answer) =>
      Effect.map(Effect.orDie(Schema.decodeUnknown(Cpu)(answer)), ({ system, user }) => user + system)
    )
  }))

const single = (command: string, args: (port: number) => ReadonlyArray<string>) =>
  Effect.map(
    program(command, 1, ([port = 0]) => Effect.succeed(args(port))),
    ([port = 0]) => port
  )

/** The port of a Redis that keeps nothing on disk. */
export const redis = single("redis-server", (port) => [
  ...["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
])

/** The port of a memcached. */
export const memcached = single("memcached", (port) => [
  ...["-p", String(port), "-l", "127.0.0.1", "-U", "0", "-m", "512", "-u", userInfo().username]
])
