/** The HTTP server of `ghostdb ui`: one page, a stream of events, and a few requests. It knows nothing of GhostDB. */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto"
import * as Http from "node:http"
import { isIP } from "node:net"
import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import { UsageError } from "../../exit.js"

/** The answer to a request of the page; a failure is shown to the user. */
export type Handler = (body: unknown) => Effect.Effect<unknown, { readonly message: string }>

/** What is served. */
export interface ServerOptions {
  readonly host: string
  /** 0 for any that is free. */
  readonly port: number
  /** The whole page: HTML with its style and its script in it. */
  readonly page: string
  /** By the last part of the path. */
  readonly handlers: Readonly<Record<string, Handler>>
  /** What each stream of events begins with. */
  readonly greeting: () => string
}

/** A server that listens. */
export interface Server {
  /** With the token: who has it, may look. */
  readonly url: string
  /** Sends an event to each open page. A page that does not keep up misses events. */
  readonly broadcast: (event: string) => void
}

/** An event of a stream. */
export const event = (name: string, data: unknown): string => `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`

const maxBody = 4 * 1024 * 1024

const hashOf = (text: string): string => `'sha256-${createHash("sha256").update(text).digest("base64")}'`

const between = (page: string, tag: string): string =>
  page.slice(page.indexOf(`<${tag}>`) + tag.length + 2, page.indexOf(`</${tag}>`))

/** Nothing but the page's own script and style runs, and nothing is loaded from elsewhere. */
const policy = (page: string): string =>
  [
    "default-src 'none'",
    `script-src ${hashOf(between(page, "script"))}`,
    `style-src ${hashOf(between(page, "style"))}`,
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'"
  ].join("; ")

const safeHeaders = {
  "cache-control": "no-store",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "cross-origin-resource-policy": "same-origin",
  "cross-origin-opener-policy": "same-origin"
}

const hostName = (host: string): string => host.replace(/:\d+$/, "").replace(/^\[|\]$/g, "")

/** A name that resolves to this machine is not enough: another site's name can be made to (DNS rebinding). */
const isOwnHost = (host: string | undefined, own: string): boolean => {
  if (host === undefined) return false
  const name = hostName(host)
  return isIP(name) !== 0 || name === "localhost" || name === own
}

const isOwnOrigin = ({ headers }: Http.IncomingMessage): boolean =>
  headers.origin === undefined
    ? headers["sec-fetch-site"] === undefined || ["same-origin", "none"].includes(String(headers["sec-fetch-site"]))
    : headers.origin === `http://${headers.host}`

const sameToken = (given: string, token: string): boolean =>
  given.length === token.length && timingSafeEqual(Buffer.from(given), Buffer.from(token))

const readBody = async (request: Http.IncomingMessage): Promise<unknown> => {
  const chunks: Array<Buffer> = []
  let size = 0
  for await (const chunk of request) {
    size += chunk.length
    if (size > maxBody) throw new Error("the request is too large")
    chunks.push(chunk)
  }
  return JSON.parse(Buffer.concat(chunks).toString("utf8"))
}

/** Serves until the scope closes. */
export const serve = ({
  greeting,
  handlers,
  host,
  page,
  port
}: ServerOptions): Effect.Effect<Server, UsageError, Scope.Scope> =>
  Effect.gen(function* () {
    const runtime = yield* Effect.runtime<never>()
    const token = randomBytes(18).toString("base64url")
    const contentSecurityPolicy = policy(page)
    const pages = new Set<Http.ServerResponse>()

    const end = (response: Http.ServerResponse, status: number, type: string, body: string, headers = {}) =>
      response.writeHead(status, { ...safeHeaders, "content-type": `${type}; charset=utf-8`, ...headers }).end(body)
    const endJson = (response: Http.ServerResponse, status: number, document: unknown) =>
      end(response, status, "application/json", JSON.stringify(document))

    const handle = async (handler: Handler, request: Http.IncomingMessage, response: Http.ServerResponse) => {
      try {
        const body = await readBody(request)
        const answer = Effect.match(
          Effect.suspend(() => handler(body)),
          {
            onFailure: ({ message }) => ({ status: 422, document: { error: message } }),
            onSuccess: (document) => ({ status: 200, document })
          }
        )
        const { document, status } = await Runtime.runPromise(runtime)(answer)
        endJson(response, status, document)
      } catch (error) {
        if (!response.headersSent)
          endJson(response, 400, { error: error instanceof Error ? error.message : String(error) })
      }
    }

    const follow = (response: Http.ServerResponse) => {
      response.writeHead(200, { ...safeHeaders, "content-type": "text/event-stream" })
      response.write(greeting())
      pages.add(response)
      response.on("close", () => pages.delete(response))
    }

    const server = Http.createServer((request, response) => {
      response.on("error", () => undefined)
      const [, given = "", path] = /^\/([\w-]+)\/([\w-]*)$/.exec(request.url ?? "") ?? []
      if (!isOwnHost(request.headers.host, host)) return end(response, 421, "text/plain", "not this host")
      if (path === undefined || !sameToken(given, token)) return end(response, 404, "text/plain", "not found")
      // A link to the page may stand anywhere; all else is asked by the page itself.
      if (path === "" && request.method === "GET") {
        return end(response, 200, "text/html", page, { "content-security-policy": contentSecurityPolicy })
      }
      if (!isOwnOrigin(request)) return end(response, 403, "text/plain", "another origin")
      if (path === "events" && request.method === "GET") return follow(response)
      const handler = Object.hasOwn(handlers, path) ? handlers[path] : undefined
      if (handler === undefined) return end(response, 404, "text/plain", "not found")
      if (request.method !== "POST" || request.headers["content-type"] !== "application/json") {
        return end(response, 405, "text/plain", "POST a JSON document")
      }
      return void handle(handler, request, response)
    })

    const listening = Effect.async<number, UsageError>((resume) => {
      server.once("error", (error) => resume(new UsageError({ message: `cannot serve the page: ${error.message}` })))
      server.listen(port, host, () => {
        const address = server.address()
        resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : port))
      })
    })
    const actual = yield* Effect.acquireRelease(listening, () =>
      Effect.async<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      })
    )
    return {
      url: `http://${host.includes(":") ? `[${host}]` : host}:${actual}/${token}/`,
      broadcast: (event) => {
        for (const response of pages) if (!response.writableNeedDrain) response.write(event)
      }
    }
  })
