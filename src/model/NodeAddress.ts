/**
 * Where to connect to. `host` has no brackets.
 *
 * @category models
 * @since 0.1.0
 */
export interface Endpoint {
  readonly host: string
  readonly port: number
}

// -----------------------------------------------------------------------------
// Addresses
// -----------------------------------------------------------------------------

const octet = "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)"

const ipv4 = new RegExp(`^${octet}(?:\\.${octet}){3}$`)

const label = /^(?!-)[\w-]{1,63}(?<!-)$/

/** As URL parsers and resolvers see it: a name that ends in a number is an IPv4 address. */
const endsInNumber = /(?:^|\.)(?:\d+|0[xX][\da-fA-F]*)\.?$/

const isIPv6 = (text: string): boolean => {
  const halves = text.split("::")
  const groups = halves.flatMap((half) => (half === "" ? [] : half.split(":")))
  const last = groups.at(-1)
  // the last two groups may be written as an IPv4 address, at the very end only
  const mapped = last !== undefined && ipv4.test(last) && text.endsWith(last)
  const size = groups.length + (mapped ? 1 : 0)
  return (
    (halves.length === 1 ? size === 8 : halves.length === 2 && size <= 7) &&
    (mapped ? groups.slice(0, -1) : groups).every((group) => /^[\da-f]{1,4}$/i.test(group))
  )
}

/** What is wrong with a host that is not in brackets. */
const hostProblem = (host: string): string | undefined => {
  if (host === "") return "the host is missing"
  if (endsInNumber.test(host)) return ipv4.test(host) ? undefined : "not an IPv4 address, although it ends in a number"
  if (host.includes("\0") || host.includes("\ufffd")) return "not UTF-8 text"
  const name = host.endsWith(".") ? host.slice(0, -1) : host
  if (name.length > 253) return "a host name has at most 253 characters"
  return name.split(".").every((part) => label.test(part))
    ? undefined
    : "not a host name: it is made of letters, digits, hyphens and underscores in labels of 1 to 63, separated by dots"
}

const portProblem = (port: string | undefined): string | undefined =>
  port === undefined || (/^[1-9]\d{0,4}$/.test(port) && Number(port) <= 65535)
    ? undefined
    : "a port is a whole number from 1 to 65535"

/** What is wrong with an address, in plain words. */
export const addressProblem = (address: string): string | undefined => {
  if (/[\s,;]/.test(address)) return "one address a line"
  if (/[/@?]/.test(address)) return "an address is a host or host:port, without a scheme, a user or a path"
  const inBrackets = /^\[([^[\]]*)\](?::(.*))?$/.exec(address)
  if (inBrackets !== null) {
    const [, host = "", port] = inBrackets
    return isIPv6(host) ? portProblem(port) : "not an IPv6 address"
  }
  if (/[[\]]/.test(address)) return "an IPv6 address is written [address] or [address]:port"
  const [host = "", port, more] = address.split(":")
  return more === undefined
    ? (hostProblem(host) ?? portProblem(port))
    : "an IPv6 address goes in brackets, as in [::1] or [::1]:7991"
}

/**
 * The host and the port of an address, `defaultPort` where the address has none. The address must be one that
 * {@link parse} or {@link validate} let pass.
 *
 * @category reading
 * @since 0.1.0
 */
export const parseAddress = (address: string, defaultPort: number): Endpoint => {
  const colon = address.lastIndexOf(":")
  const hasPort = colon > address.lastIndexOf("]")
  const host = hasPort ? address.slice(0, colon) : address
  return {
    host: host.startsWith("[") ? host.slice(1, -1) : host,
    port: hasPort ? Number(address.slice(colon + 1)) : defaultPort
  }
}

/** The address of a host and a port: an IPv6 address goes in brackets. */
export const format = (host: string, port: number): string => `${host.includes(":") ? `[${host}]` : host}:${port}`
