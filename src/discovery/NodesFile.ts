/**
 * The nodes file: one node address a line, from a file or a URL that is watched.
 *
 * An address is an IPv4 address, a host name or an IPv6 address in brackets, each with an optional `:port`. It is kept
 * exactly as written, because the ring hashes it: `10.0.0.1` and `10.0.0.1:7991` are two nodes to the ring.
 */
export { type Endpoint, parseAddress } from "../model/NodeAddress.js"
export { type Parsed, parse, validate, type Warning } from "./Parse.js"
export { isUrl, type Watched } from "./Watched.js"
export { readFile, type WatchFileOptions, watchFile } from "./WatchFile.js"
export { redact, type WatchUrlOptions, watchUrl } from "./WatchUrl.js"
