/** The page of `ghostdb ui`. What comes from nodes is text, and never markup. */
import type { Known, NodeSnapshot, Snapshot } from "../../../Snapshot.js"
import type { Evenness, Lookup, Plan, Started } from "../wire.js"
import { bytes, count, duration, millis, share } from "./format.js"

const byId = (id: string): HTMLElement => {
  const found = document.getElementById(id)
  if (found === null) throw new Error(`the page has no #${id}`)
  return found
}

const form = (id: string): HTMLFormElement => {
  const found = byId(id)
  if (!(found instanceof HTMLFormElement)) throw new Error(`#${id} is no form`)
  return found
}

const field = (id: string, name: string): string => String(new FormData(form(id)).get(name) ?? "").trim()

type Child = Node | string

/** An element with text and other elements in it. */
const element = (tag: string, className: string, ...children: ReadonlyArray<Child>): HTMLElement => {
  const made = document.createElement(tag)
  if (className !== "") made.className = className
  made.append(...children)
  return made
}

const svg = (tag: string, attributes: Readonly<Record<string, string>>): SVGElement => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag)
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value)
  return made
}

/** Sets what is different: the browser draws nothing anew otherwise, and a selection stays. */
const setText = (target: Element, text: string): void => {
  if (target.textContent !== text) target.textContent = text
}

const chartWidth = 240
const chartHeight = 60

/** The line of values from the left to the right; it is broken where a value is not known. */
const linePath = (values: ReadonlyArray<Known>, high: number, width = chartWidth, height = chartHeight): string => {
  let pen = "M"
  return values
    .map((value, i) => {
      if (value === null) {
        pen = "M"
        return ""
      }
      const x = values.length < 2 ? width : (i / (values.length - 1)) * width
      const y = height - 2 - (high > 0 ? Math.min(value / high, 1) : 0) * (height - 4)
      const step = `${pen}${x.toFixed(1)} ${y.toFixed(1)}`
      pen = "L"
      return step
    })
    .join("")
}

const highest = (values: ReadonlyArray<Known>): number =>
  values.reduce<number>((high, value) => Math.max(high, value ?? 0), 0)

// Nodes

const stateText = (node: NodeSnapshot): string =>
  node.status === "dead" ? "dead" : [node.status, node.dialect ?? "", node.leads ? "leader" : ""].join(" ").trim()

interface Row {
  readonly element: HTMLElement
  readonly update: (node: NodeSnapshot, time: number, high: number) => void
}

const makeRow = (name: string): Row => {
  const [state, why, since, time, p99, entries] = Array.from({ length: 6 }, () => document.createElement("span"))
  const path = svg("path", {})
  const spark = svg("svg", {
    class: "spark",
    viewBox: "0 0 160 24",
    preserveAspectRatio: "none",
    "aria-hidden": "true"
  })
  spark.append(path)
  const reason = element("small", "", why!)
  const row = element(
    "tr",
    "",
    element("td", "", name),
    element("td", "", state!, reason),
    element("td", "wide", since!),
    element("td", "number", time!),
    element("td", "wide number", p99!),
    element("td", "wide", spark),
    element("td", "number", entries!)
  )
  return {
    element: row,
    update: (node, now, high) => {
      state!.className = `state ${node.status}`
      setText(state!, stateText(node))
      setText(why!, node.detail ?? "")
      setText(since!, duration(now - node.since))
      setText(time!, millis(node.lastMillis))
      setText(p99!, millis(node.p99Millis))
      setText(entries!, count(node.entries))
      path.setAttribute("d", linePath(node.roundTrips, high, 160, 24))
    }
  }
}

const rows = new Map<string, Row>()

const showNodes = ({ nodes, time }: Snapshot): void => {
  const body = byId("nodes").querySelector("tbody")!
  const names = new Set(nodes.map(({ node }) => node))
  for (const [name, row] of rows) {
    if (names.has(name)) continue
    row.element.remove()
    rows.delete(name)
  }
  const high = highest(nodes.flatMap(({ roundTrips }) => roundTrips))
  nodes.forEach((node, i) => {
    let row = rows.get(node.node)
    if (row === undefined) {
      row = makeRow(node.node)
      rows.set(node.node, row)
      body.insertBefore(row.element, body.children[i] ?? null)
    }
    row.update(node, time, high)
  })
}

// Events

let lastEvents = ""

const showEvents = ({ events }: Snapshot): void => {
  const last = JSON.stringify([events.length, events.at(-1)])
  if (last === lastEvents) return
  lastEvents = last
  const lines = events
    .toReversed()
    .map(({ at, detail, kind, node }) =>
      element(
        "li",
        "",
        element("time", "", new Date(at).toLocaleTimeString()),
        element("b", kind === "dead" || kind === "live" ? kind : "", kind),
        `${node} ${detail}`
      )
    )
  byId("events").replaceChildren(...(lines.length > 0 ? lines : [element("li", "note", "Nothing since this began.")]))
}

// Charts

interface Line {
  readonly values: ReadonlyArray<Known>
  readonly className: string
}

interface Chart {
  readonly update: (lines: ReadonlyArray<Line>, text: string) => void
  /** Bars behind the lines, where there are any. */
  readonly bars: (values: ReadonlyArray<Known>) => void
}

const makeChart = (title: string): Chart => {
  const label = document.createElement("span")
  const bars = svg("path", { class: "bars" })
  const drawn = svg("g", {})
  const drawing = svg("svg", {
    viewBox: `0 0 ${chartWidth} ${chartHeight}`,
    preserveAspectRatio: "none",
    role: "img",
    "aria-label": title
  })
  drawing.append(bars, drawn)
  byId("charts").append(element("figure", "", element("figcaption", "", title, label), drawing))
  return {
    update: (lines, text) => {
      setText(label, text)
      const high = highest(lines.flatMap(({ values }) => values))
      while (drawn.children.length > lines.length) drawn.lastChild?.remove()
      lines.forEach(({ className, values }, i) => {
        const path = drawn.children[i] ?? drawn.appendChild(svg("path", {}))
        path.setAttribute("class", className)
        path.setAttribute("d", linePath(values, high))
      })
    },
    bars: (values) => {
      bars.setAttribute("d", barsPath(values, highest(values)))
      bars.setAttribute("stroke-width", String(Math.max(1, Math.min(24, 120 / values.length))))
    }
  }
}

/** A bar for each value, from the left to the right. */
const barsPath = (values: ReadonlyArray<Known>, high: number): string =>
  values
    .map((value, i) => {
      const x = ((i + 0.5) / values.length) * chartWidth
      return `M${x.toFixed(1)} ${chartHeight}V${(chartHeight * (1 - (high > 0 ? (value ?? 0) / high : 0))).toFixed(1)}`
    })
    .join("")

const charts = {
  requests: makeChart("Requests a second"),
  hits: makeChart("Hits and misses a second"),
  memory: makeChart("Heap of each node"),
  entries: makeChart("Entries of each node"),
  roundTrip: makeChart("Median round trip")
}

type Values = ReadonlyArray<Known>

const lines = (nodes: ReadonlyArray<NodeSnapshot>, values: (node: NodeSnapshot) => Values, className = "") =>
  nodes.map((node): Line => ({ values: values(node), className }))

/** The sum of the last values that are known; null where none is. */
const sumOfLast = (all: ReadonlyArray<Values>): Known => {
  const last = all.flatMap((values) => values.at(-1) ?? [])
  return last.length === 0 ? null : last.reduce((a, b) => a + b)
}

const showCharts = ({ entries, medianMillis, nodes, requestsPerSecond, totals }: Snapshot): void => {
  charts.requests.update(
    lines(nodes, ({ requests }) => requests),
    count(requestsPerSecond)
  )
  const [hits, misses] = [nodes.map(({ hits }) => hits), nodes.map(({ misses }) => misses)]
  charts.hits.update(
    [...lines(nodes, ({ hits }) => hits), ...lines(nodes, ({ misses }) => misses, "misses")],
    `${count(sumOfLast(hits))} / ${count(sumOfLast(misses))}`
  )
  charts.memory.update(
    lines(nodes, ({ heap }) => heap),
    bytes(highest(nodes.map(({ heapBytes }) => heapBytes)) || null)
  )
  charts.entries.update([], count(entries))
  charts.entries.bars(nodes.map(({ entries }) => entries))
  charts.roundTrip.update([{ values: totals.map(({ millis }) => millis), className: "" }], millis(medianMillis))
  const ages = nodes.flatMap(({ rowAgeMillis }) => rowAgeMillis ?? [])
  setText(
    byId("age"),
    ages.length === 0
      ? "No node has written a row of metrics yet."
      : `Requests, hits, misses and heap are what the nodes wrote down ${duration(Math.min(...ages))} to ${duration(Math.max(...ages))} ago.`
  )
}

// Requests

const post = async <A>(path: string, body: unknown): Promise<A> => {
  const response = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body)
  })
  const document = await response.json()
  if (!response.ok) throw new Error(typeof document.error === "string" ? document.error : `HTTP ${response.status}`)
  return document
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

// The ring

const shareRow = (name: string, before: number, after: number | undefined, most: number): HTMLElement => {
  const bar = document.createElement("progress")
  bar.max = most
  bar.value = after ?? before
  bar.setAttribute("aria-label", `share of ${name}`)
  const cells = [element("td", "", name), element("td", "number", share(before))]
  if (after !== undefined) cells.push(element("td", "number", share(after)))
  return element("tr", "", ...cells, element("td", "wide", bar))
}

const tableOf = (titles: ReadonlyArray<string>, body: ReadonlyArray<HTMLElement>): HTMLElement =>
  element(
    "table",
    "",
    element(
      "thead",
      "",
      element(
        "tr",
        "",
        ...titles.map((title, i) =>
          element("th", title === "" ? "wide" : i > 0 && title !== "To" ? "number" : "", title)
        )
      )
    ),
    element("tbody", "", ...body)
  )

const evennessText = (evenness: ReadonlyArray<Evenness>): string =>
  evenness.map(({ imbalance, replicas }) => `${replicas}: ${imbalance.toFixed(2)}x`).join(", ")

const showPlan = ({ evenness, imbalance, moved, moves, placement, shares }: Plan): void => {
  const changes = shares.some(({ after, before }) => after !== before)
  const most = Math.max(...shares.flatMap(({ after, before }) => [after, before]))
  const raft = placement === "ring" ? "" : " In a raft cluster every node holds every key."
  setText(
    byId("plan-note"),
    changes
      ? `${share(moved)} of the keys move, and are misses until they are stored again. The largest share becomes ${imbalance.toFixed(2)}x the mean.${raft}`
      : `The largest share is ${imbalance.toFixed(2)}x the mean. By replicas: ${evennessText(evenness)}. All clients must use the same number.${raft}`
  )
  const tables = [
    tableOf(
      changes ? ["Node", "Before", "After", ""] : ["Node", "Share", ""],
      shares.map(({ after, before, node }) => shareRow(node, before, changes ? after : undefined, most))
    )
  ]
  if (changes) {
    const cells = moves
      .slice(0, 20)
      .map((move) =>
        element(
          "tr",
          "",
          element("td", "", move.from),
          element("td", "", move.to),
          element("td", "number", share(move.share))
        )
      )
    tables.push(tableOf(["From", "To", "Share"], cells))
  }
  byId("shares").replaceChildren(...tables)
}

const plan = async (): Promise<void> => {
  try {
    showPlan(
      await post("ring", {
        add: field("plan", "add"),
        remove: field("plan", "remove"),
        replicas: field("plan", "replicas")
      })
    )
  } catch (error) {
    setText(byId("plan-note"), messageOf(error))
  }
}

// A key

const answer = (...children: ReadonlyArray<Child>): void => byId("answer").replaceChildren(...children)

const lookUp = async (): Promise<void> => {
  try {
    const { asked, found, leader, owner, standIn, value } = await post<Lookup>("lookup", { key: field("key", "key") })
    const place =
      owner === null
        ? `Every node holds every key; ${leader === null ? "no node leads" : `leader: ${leader}`}.`
        : `Owner: ${owner}${standIn === null ? "" : `; stand-in: ${standIn}`}.`
    const where = `${found ? "Found" : "Not found"} on ${asked}. ${place}`
    answer(
      element("p", "", found ? `${where} No server says when an entry expires.` : where),
      ...(found ? [element("pre", "", value)] : [])
    )
  } catch (error) {
    answer(element("p", "dead", messageOf(error)))
  }
}

const confirmed = (question: string): Promise<boolean> =>
  new Promise((resolve) => {
    const dialog = byId("confirm")
    if (!(dialog instanceof HTMLDialogElement)) return resolve(false)
    setText(byId("question"), question)
    dialog.returnValue = "no"
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true })
    dialog.showModal()
  })

const write = async (path: string, body: unknown): Promise<void> => {
  try {
    const { result } = await post<{ readonly result: string }>(path, body)
    answer(element("p", "", result))
  } catch (error) {
    answer(element("p", "dead", messageOf(error)))
  }
}

const onSubmit = (id: string, run: () => Promise<void>): void =>
  form(id).addEventListener("submit", (event) => {
    event.preventDefault()
    void run()
  })

onSubmit("plan", plan)
onSubmit("key", lookUp)
onSubmit("write", () =>
  write("put", { key: field("key", "key"), value: field("write", "value"), ttl: field("write", "ttl") })
)
byId("delete").addEventListener("click", () => void write("delete", { key: field("key", "key") }))
byId("flush").addEventListener("click", async () => {
  if (await confirmed("Empty every node, for all its clients?")) await write("flush", {})
})

// The theme, and what comes from the server

const root = document.documentElement
const dark = matchMedia("(prefers-color-scheme: dark)")
const followSystem = () => {
  root.dataset.theme = dark.matches ? "dark" : "light"
}
followSystem()
dark.addEventListener("change", followSystem)
byId("theme").addEventListener("click", () => {
  root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark"
})

const summary = ({ entries, live, nodes, placement, requestsPerSecond }: Snapshot): string =>
  [
    `${live} of ${nodes.length} live`,
    `${count(entries)} entries`,
    requestsPerSecond === null ? "" : `${count(requestsPerSecond)} requests a second`,
    placement === "ring" ? "" : placement
  ]
    .filter((text) => text !== "")
    .join(" · ")

const source = new EventSource("events")
source.addEventListener("started", ({ data }) => {
  const { nodes, writes }: Started = JSON.parse(data)
  setText(byId("source"), nodes)
  form("write").hidden = !writes
  void plan()
})
source.addEventListener("snapshot", ({ data }) => {
  const snapshot: Snapshot = JSON.parse(data)
  setText(byId("summary"), summary(snapshot))
  byId("summary").className = snapshot.live < snapshot.nodes.length ? "dead" : "live"
  document.title =
    snapshot.live < snapshot.nodes.length ? `${snapshot.nodes.length - snapshot.live} dead · GhostDB` : "GhostDB"
  showNodes(snapshot)
  showEvents(snapshot)
  showCharts(snapshot)
})
source.addEventListener("error", () => {
  setText(byId("summary"), "ghostdb ui does not answer: what is below is old")
  byId("summary").className = "dead"
})
