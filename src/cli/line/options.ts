/** The options and arguments that commands share. */
import * as Args from "@effect/cli/Args"
import * as HelpDoc from "@effect/cli/HelpDoc"
import * as Options from "@effect/cli/Options"
import * as ValidationError from "@effect/cli/ValidationError"
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import { defaults } from "../../model/GhostDBConfig.js"
import * as values from "./values.js"

/** An option with a value, which `parse` reads. */
export const setting = <A>(name: string, placeholder: string, description: string, parse: values.Parser<A>) =>
  Options.text(name).pipe(
    Options.withPseudoName(placeholder),
    Options.withDescription(description),
    Options.mapEffect((text) =>
      Either.mapLeft(parse(text), (expected) =>
        ValidationError.invalidValue(HelpDoc.p(`--${name} is ${expected}, not ${JSON.stringify(text)}`))
      )
    )
  )

/** An option without a value. */
export const flag = (name: string, description: string) =>
  Options.boolean(name).pipe(Options.withDescription(description))

/** The last TCP port. */
export const maxPort = 65535
const path = (name: string, description: string) =>
  Options.text(name).pipe(Options.withPseudoName("FILE"), Options.withDescription(description), Options.optional)

const replicas = setting(
  "replicas",
  "N",
  `points that each node has on the ring, as for all clients of the cluster (default ${defaults.replicas})`,
  values.whole(1, 65536)
).pipe(Options.withDefault(defaults.replicas))

const nodes = Options.text("nodes").pipe(
  Options.withPseudoName("NODES"),
  Options.withDescription(
    "a nodes file with an address a line, its URL, - for standard input, or host:port,host:port (default $GHOSTDB_NODES, then ./gdb.conf)"
  ),
  Options.withFallbackConfig(Config.nonEmptyString("GHOSTDB_NODES")),
  Options.withDefault("./gdb.conf")
)

/** The options of all commands on a cluster. */
export const connection = {
  nodes,
  port: setting(
    "port",
    "PORT",
    `the port of nodes whose address names none (default ${defaults.port})`,
    values.whole(1, maxPort)
  ).pipe(Options.withDefault(defaults.port)),
  replicas,
  timeout: setting(
    "timeout",
    "TIME",
    `how long one command may take, retries and failovers included (default ${Duration.format(defaults.deadline)})`,
    values.duration
  ).pipe(Options.withDefault(Duration.millis(defaults.deadline))),
  tls: flag("tls", "speak HTTPS"),
  ca: path("ca", "speak HTTPS, and trust the certificate authorities in this PEM file"),
  cert: path("cert", "speak HTTPS, and present the certificate in this PEM file; with --key"),
  key: path("key", "the private key of --cert"),
  insecure: flag("insecure", "speak HTTPS, and trust any certificate"),
  header: Options.text("header").pipe(
    Options.withPseudoName("HEADER"),
    Options.withDescription("a header of each request, such as 'X-Tenant: a'; may be given several times"),
    Options.optional
  )
}

/** {@link connection} of the commands that probe nodes, where the timeout is each node's. */
export const probing = {
  ...connection,
  timeout: setting("timeout", "TIME", "how long a node may take to answer (default 1s)", values.duration).pipe(
    Options.withDefault(Duration.seconds(1))
  )
}

/** `--interval` */
export const interval = setting("interval", "TIME", "how often each node is asked (default 1s)", values.duration).pipe(
  Options.withDefault(Duration.seconds(1))
)

/** Addresses: with commas between them, or the option several times. */
export const nodeList = (name: string, description: string) =>
  Options.text(name).pipe(Options.withPseudoName("NODE"), Options.withDescription(description), Options.optional)

/** `--json` */
export const json = flag("json", "one JSON document on standard output")

/** The argument KEY. */
export const key = Args.text({ name: "key" }).pipe(Args.withDescription("The key"))
