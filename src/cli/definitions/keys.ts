/** The commands on keys: options and help. */
import * as Args from "@effect/cli/Args"
import * as Options from "@effect/cli/Options"
import type { Ttl } from "../../model/Ttl.js"
import { define, lazily } from "../define.js"
import { connection, flag, json, key, setting } from "../line/options.js"
import * as values from "../line/values.js"

const stored = {
  key,
  value: Args.text({ name: "value" }).pipe(
    Args.withDescription("The value as JSON; standard input where it is left out"),
    Args.optional
  ),
  string: flag("string", "store the text as it is, as a string"),
  ttl: setting("ttl", "TIME", "how long the entry lives: 5m, 2h, seconds, or -1 forever (default -1)", values.ttl).pipe(
    Options.withDefault<Ttl>(-1)
  ),
  json,
  connection
}

const storeDetails = [
  "VALUE is JSON; without it the value comes from standard input. With --string it is text, line feeds and all."
]

/** `ghostdb get` */
export const get = define({
  name: "get",
  arguments: "KEY",
  summary: "The value of a key, as JSON",
  details: ["Control characters in it are shown escaped."],
  examples: ["get AMZN", "get greeting --string", "get AMZN --json | jq .value"],
  config: { key, string: flag("string", "a string value as plain text"), json, connection },
  run: lazily(
    () => import("../commands/keys.js"),
    (_) => _.get
  )
})

/** `ghostdb put` */
export const put = define({
  name: "put",
  arguments: "KEY [VALUE]",
  summary: "Stores a value, over the one that is there",
  details: storeDetails,
  examples: [
    `put AMZN '{"price": 3107.3}' --ttl 5m`,
    "put greeting 'Hello, world' --string",
    "put page --string --ttl 1h < page.html",
    "put balance -5"
  ],
  config: stored,
  run: lazily(
    () => import("../commands/keys.js"),
    (_) => _.store("put")
  )
})

/** `ghostdb add` */
export const add = define({
  name: "add",
  arguments: "KEY [VALUE]",
  summary: "Stores a value where the key has none",
  details: storeDetails,
  examples: ["add lock:backup true --ttl 10m"],
  config: stored,
  run: lazily(
    () => import("../commands/keys.js"),
    (_) => _.store("add")
  )
})

/** `ghostdb delete` */
export const remove = define({
  name: "delete",
  arguments: "KEY",
  summary: "Removes a key",
  details: [],
  examples: ["delete AMZN"],
  config: { key, json, connection },
  run: lazily(
    () => import("../commands/keys.js"),
    (_) => _.remove
  )
})
