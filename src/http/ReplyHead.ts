/** A reply's head. Where `body` is "length" it stands for all heads that differ from it in the length alone. */
interface Head {
  /** The head up to the digits of its Content-Length, or all of it where no length counts. */
  readonly before: string
  /** What follows the digits, the empty line included. */
  readonly after: string
  readonly status: number
  /** How the body's end is told. */
  readonly body: "length" | "none" | "chunked" | "until close"
  /** Whether the reply is the connection's last. */
  readonly close: boolean
}

export const maxHeadBytes = 16 * 1024

const maxDigits = 15

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/

const fieldValue = /^[^\x00-\x08\x0a-\x1f\x7f]*$/

const statusLine = /^HTTP\/1\.([01]) ([1-9][0-9]{2})(?: [^\x00-\x08\x0a-\x1f\x7f]*)?$/

const contentLength = new RegExp(`^[ \\t]*[0-9]{1,${maxDigits}}[ \\t]*$`)

const chunkedCoding = /^[ \t]*chunked[ \t]*$/i

const closeOption = /(?:^|,)[ \t]*close[ \t]*(?:,|$)/i

const keepAliveOption = /(?:^|,)[ \t]*keep-alive[ \t]*(?:,|$)/i

const versions = ["HTTP/1.1 ", "HTTP/1.0 "]

/** A violation of HTTP, or of a limit, in a few words. */
export class ReplyError {
  constructor(
    readonly detail: string,
    readonly reason: "BadReply" | "ReplyTooLarge" = "BadReply"
  ) {}
}

/** Refuses, as soon as it can be known, what is no HTTP/1.x reply. */
export const checkVersion = (text: string, from: number): void => {
  const start = text.slice(from, from + 9)
  if (!versions.some((version) => version.startsWith(start))) throw new ReplyError("no HTTP/1.1 reply")
}

/** The blanks around the value belong to it. */
export const parseField = (line: string): readonly [name: string, value: string] => {
  const colon = line.indexOf(":")
  const name = line.slice(0, Math.max(colon, 0))
  const value = line.slice(colon + 1)
  // A folded line begins with a blank, and so has no valid name.
  if (!token.test(name) || !fieldValue.test(value)) throw new ReplyError("a malformed header")
  return [name.toLowerCase(), value]
}

export const parseHead = (text: string): Head => {
  const [first = "", ...fields] = text.slice(0, -4).split("\r\n")
  const start = statusLine.exec(first)
  if (start === null) throw new ReplyError("a malformed status line")
  const status = Number(start[2])
  let digits: string | undefined
  let before = text
  let after = ""
  let chunked = false
  let close = false
  let keepAlive = false
  let at = first.length + 2
  for (const field of fields) {
    const [name, value] = parseField(field)
    if (name === "content-length") {
      if (digits !== undefined) throw new ReplyError("more than one Content-Length")
      if (!contentLength.test(value)) throw new ReplyError("a malformed Content-Length")
      digits = value.trim()
      const from = text.indexOf(digits, at + name.length + 1)
      before = text.slice(0, from)
      after = text.slice(from + digits.length)
    } else if (name === "transfer-encoding") {
      if (chunked || !chunkedCoding.test(value)) throw new ReplyError("an unknown Transfer-Encoding")
      chunked = true
    } else if (name === "connection") {
      close ||= closeOption.test(value)
      keepAlive ||= keepAliveOption.test(value)
    }
    at += field.length + 2
  }
  if (chunked && digits !== undefined) throw new ReplyError("both Content-Length and Transfer-Encoding")
  if (chunked && start[1] === "0") throw new ReplyError("Transfer-Encoding in HTTP/1.0")
  close ||= start[1] === "0" && !keepAlive
  if (status < 200 || status === 204 || status === 304) {
    // A 304 may tell the length that another reply would have.
    if (chunked || (status !== 304 && Number(digits ?? 0) > 0)) throw new ReplyError(`a body with status ${status}`)
    return { before: text, after: "", status, body: "none", close }
  }
  if (digits !== undefined) return { before, after, status, body: "length", close }
  return chunked
    ? { before, after, status, body: "chunked", close }
    : { before, after, status, body: "until close", close: true }
}

export const plainHead = parseHead("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

const isDigit = (code: number): boolean => code >= 48 && code <= 57

/** Where the head that begins at `from` ends, if it differs from `head` in the length alone; otherwise -1. */
export const endOfSameHead = (head: Head, text: string, from: number): number => {
  if (!text.startsWith(head.before, from)) return -1
  const first = from + head.before.length
  if (head.body !== "length") return first
  let at = first
  while (at < first + maxDigits && isDigit(text.charCodeAt(at))) at++
  return at > first && text.startsWith(head.after, at) ? at + head.after.length : -1
}

/** The length in a head that differs from `head` in the length alone. */
export const lengthIn = (head: Head, text: string, from: number): number => {
  let length = 0
  for (let at = from + head.before.length; isDigit(text.charCodeAt(at)); at++) {
    length = length * 10 + text.charCodeAt(at) - 48
  }
  return length
}
