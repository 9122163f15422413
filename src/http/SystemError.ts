/**
 * Sends bytes to a node and brings bytes back. What they mean is not its business, and neither is what follows a failure.
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Record from "effect/Record"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as NodesFile from "../discovery/NodesFile.js"
import type { Settings } from "../model/GhostDBConfig.js"
import type { Fault } from "../model/GhostDBError.js"
import type { JsonText, Reply } from "../protocol/Protocol.js"

/** The settings that a transport follows. */
export type TransportSettings = Pick<
  Settings,
  "port" | "protocol" | "attemptTimeout" | "connections" | "headers" | "tls" | "maxReplyBytes"
>

/** The connections of one client to its nodes, made when they are first needed. */
export interface Connections {
  /**
   * Posts a JSON document to `/<command>` on a node and waits for the whole reply, for `attemptTimeout` at most. `node` is
   * an address as a nodes file holds it.
   *
   * Interrupting it disturbs no other request on the connection.
   */
  readonly post: (node: string, command: string, body: JsonText) => Effect.Effect<Reply, Fault>
  /** Closes the connections to a node that has left the cluster. Requests in flight on them fail with `Reset`. */
  readonly release: (node: string) => Effect.Effect<void>
}

/** How a client connects to its nodes. */
export class Transport extends Context.Tag("effect-ghostdb/Transport")<
  Transport,
  {
    /** The connections close with the scope. */
    readonly connect: (settings: TransportSettings) => Effect.Effect<Connections, never, Scope.Scope>
  }
>() {}

/**
 * A transport over any `HttpClient` of `@effect/platform`: for Bun, Deno and edge runtimes, and for users who want the
 * middleware of their own client. It costs many times what the default transport of `GhostDBLive` does.
 *
 * Connections, and with them the `connections` and `tls` options, are the `HttpClient`'s own business. For options of
 * `fetch`, provide `FetchHttpClient.RequestInit` to this layer.
 */
export const layerHttpClient: Layer.Layer<Transport, never, HttpClient.HttpClient> = Layer.effect(
  Transport,
  Effect.gen(function* () {
    const client = yield* HttpClient.HttpClient
    const init = Option.getOrUndefined(yield* Effect.serviceOption(FetchHttpClient.RequestInit))
    // A redirect answers no command; fetch would follow it with a GET.
    const withInit = HttpClient.transformResponse(
      client,
      Effect.provideService(FetchHttpClient.RequestInit, { ...init, redirect: "manual" })
    )
    return { connect: (settings) => Effect.succeed(overHttpClient(withInit, settings)) }
  })
)

const overHttpClient = (client: HttpClient.HttpClient, settings: TransportSettings): Connections => {
  const headers = Record.map(settings.headers, Redacted.value)
  const url = (node: string, command: string) => {
    const { host, port } = NodesFile.parseAddress(node, settings.port)
    return `${settings.protocol}://${host.includes(":") ? `[${host}]` : host}:${port}/${command}`
  }
  const tooLarge: Fault = { reason: "BadReply", detail: `a reply of more than ${settings.maxReplyBytes} bytes` }
  const text = (response: HttpClientResponse.HttpClientResponse) => {
    const { "content-encoding": encoding, "content-length": length } = response.headers
    // A body of a known length costs less in one piece. What is compressed has no known length.
    if (encoding === undefined && Number(length) > 0 && Number(length) <= settings.maxReplyBytes) return response.text
    return response.stream.pipe(
      // What fetch says of a reply that cannot have a body, such as a 204.
      Stream.catchAll((error) => (error.reason === "EmptyBody" ? Stream.empty : Stream.fail(error))),
      Stream.mapAccumEffect(0, (size, chunk) =>
        size + chunk.length > settings.maxReplyBytes
          ? Effect.fail(tooLarge)
          : Effect.succeed([size + chunk.length, chunk] as const)
      ),
      Stream.decodeText(),
      Stream.mkString
    )
  }
  return {
    post: (node, command, body) =>
      client.execute(HttpClientRequest.post(url(node, command), { body: httpBody(body), headers })).pipe(
        Effect.flatMap((response) => Effect.map(text(response), (body) => ({ status: response.status, body }))),
        Effect.mapError((error) => ("_tag" in error ? faultOf(error) : error)),
        Effect.timeoutFail({
          duration: settings.attemptTimeout,
          onTimeout: (): Fault => ({ reason: "AttemptTimeout", detail: `no reply in ${settings.attemptTimeout} ms` })
        })
      ),
    release: () => Effect.void
  }
}

const httpBody = (body: JsonText): HttpBody.HttpBody =>
  typeof body === "string" ? HttpBody.text(body, "application/json") : HttpBody.uint8Array(body, "application/json")

/** Clients call it "Decode" when a connection breaks within a body. */
const faultOf = (error: HttpClientError.HttpClientError): Fault =>
  error.reason === "Transport" || error.reason === "Decode"
    ? faultOfSystemError(error.cause)
    : { reason: "BadReply", detail: error.reason }

const reasons: { readonly [code: string]: Fault["reason"] } = {
  ECONNREFUSED: "Refused",
  ConnectionRefused: "Refused",
  ENOTFOUND: "UnknownHost",
  EAI_AGAIN: "UnknownHost",
  EHOSTUNREACH: "Unreachable",
  EHOSTDOWN: "Unreachable",
  ENETUNREACH: "Unreachable",
  ENETDOWN: "Unreachable",
  EADDRNOTAVAIL: "Unreachable",
  EACCES: "Unreachable",
  ETIMEDOUT: "ConnectTimeout",
  UND_ERR_CONNECT_TIMEOUT: "ConnectTimeout"
}

/**
 * What an error of the operating system, or of a library that wraps one, says of a connection. `otherwise` is the reason
 * of codes that are not about connecting.
 */
export const faultOfSystemError = (error: unknown, otherwise: Fault["reason"] = "Reset"): Fault => {
  for (let cause = error, depth = 0; typeof cause === "object" && cause !== null && depth < 5; depth++) {
    if ("code" in cause && typeof cause.code === "string") {
      return { reason: reasons[cause.code] ?? otherwise, detail: cause.code }
    }
    cause = "cause" in cause ? cause.cause : undefined
  }
  return { reason: otherwise, detail: "" }
}
