import { readFileSync } from "node:fs"

/** A file of the tests' authority, which signed `server` and `client`. */
export const pem = (name: "ca.crt" | "server.crt" | "server.key" | "client.crt" | "client.key"): string =>
  readFileSync(new URL(`../fixtures/tls/${name}`, import.meta.url), "utf8")

/** What a server needs to be `localhost` and 127.0.0.1. */
export const serverTls = { cert: pem("server.crt"), key: pem("server.key") }

/** What a client needs to believe it. */
export const overTls = { protocol: "https", tls: { ca: pem("ca.crt") } } as const
