import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Record from "effect/Record"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { failureOfSystemError } from "../http/SystemError.js"
import { type JsonText, textOf, withheld } from "../model/Exchange.js"
import type { Fault } from "../model/GhostDBError.js"
import * as HttpError from "../model/HttpError.js"
import { format, parseAddress } from "../model/NodeAddress.js"
import * as InFlight from "./InFlight.js"
import { type Connections, Transport, type TransportSettings } from "./Transport.js"

/**
 * A transport over any `HttpClient` of `@effect/platform`: for Bun, Deno and edge runtimes, and for users who want the
 * middleware of their own client. It costs many times what the default transport of `GhostDBLive` does.
 *
 * Connections, and with them the `connections` and `tls` options, are the `HttpClient`'s own business. For options of
 * `fetch`, provide `FetchHttpClient.RequestInit` to this layer.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Transport, never, HttpClient.HttpClient> = Layer.effect(
  Transport,
  Effect.gen(function* () {
    const client = yield* HttpClient.HttpClient
    const init = Option.getOrUndefined(yield* Effect.serviceOption(FetchHttpClient.RequestInit))
    // A redirect answers no command; fetch would follow it with a GET.
    const withInit = HttpClient.transformResponse(
      client,
      Effect.provideService(FetchHttpClient.RequestInit, { ...init, redirect: "manual" })
    )
    return {
      connect: (settings) => Effect.map(InFlight.make, (inFlight) => overHttpClient(withInit, settings, inFlight))
    }
  })
)

const overHttpClient = (
  client: HttpClient.HttpClient,
  settings: TransportSettings,
  inFlight: InFlight.InFlight
): Connections => {
  const headers = Record.map(settings.headers, Redacted.value)
  const url = (node: string, command: string) => {
    const { host, port } = parseAddress(node, settings.port)
    return `${settings.protocol}://${format(host, port)}/${command}`
  }
  const tooLarge: Fault = { reason: "ReplyTooLarge", detail: `a reply of more than ${settings.maxReplyBytes} bytes` }
  const text = (response: HttpClientResponse.HttpClientResponse) => {
    const { "content-encoding": encoding, "content-length": length } = response.headers
    // A body of a known length costs less in one piece. What is compressed has no known length.
    if (encoding === undefined && Number(length) > 0 && Number(length) <= settings.maxReplyBytes) return response.text
    return response.stream.pipe(
      // What fetch says of a reply that cannot have a body, such as a 204.
      Stream.catchAll((error) => (HttpError.reasonOf(error) === "EmptyBody" ? Stream.empty : Stream.fail(error))),
      Stream.mapAccumEffect(0, (size, chunk) =>
        size + chunk.length > settings.maxReplyBytes
          ? Effect.fail(tooLarge)
          : Effect.succeed([size + chunk.length, chunk] as const)
      ),
      Stream.decodeText(),
      Stream.mkString
    )
  }
  const send = (node: string, command: string, body: JsonText) =>
    client.execute(HttpClientRequest.post(url(node, command), { body: httpBody(body), headers })).pipe(
      Effect.flatMap((response) => Effect.map(text(response), (body) => ({ status: response.status, body }))),
      Effect.mapError((error) => ("_tag" in error ? faultOf(error) : error)),
      Effect.timeoutFail({
        duration: settings.attemptTimeout,
        onTimeout: (): Fault => ({ reason: "AttemptTimeout", detail: `no reply in ${settings.attemptTimeout} ms` })
      })
    )
  return {
    post: (node, command, body, deadline) =>
      Effect.suspend(() => {
        const text = textOf(body)
        return text === undefined ? Effect.succeed(withheld) : inFlight.run(node, send(node, command, text), deadline)
      }),
    interrupt: inFlight.interrupt,
    release: inFlight.interrupt
  }
}

const httpBody = (body: JsonText): HttpBody.HttpBody =>
  typeof body === "string" ? HttpBody.text(body, "application/json") : HttpBody.uint8Array(body, "application/json")

/** Clients call it "Decode" when a connection breaks within a body. */
const faultOf = (error: HttpClientError.HttpClientError): Fault => {
  const reason = HttpError.reasonOf(error)
  return reason === "Transport" || reason === "Decode"
    ? failureOfSystemError(HttpError.causeOf(error))
    : { reason: "BadReply", detail: reason }
}
