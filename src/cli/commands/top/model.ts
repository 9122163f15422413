/** What the user of `top` has chosen, and what each key does to it. Pure. */

/** By what the nodes are sorted: `state` puts dead and slow ones first, and leaves the others as the nodes file has them. */
export const sorts = ["state", "node", "time", "entries", "requests"] as const

/** One of {@link sorts}. */
export type Sort = (typeof sorts)[number]

/** The state of the screen. */
export interface Model {
  readonly page: "nodes" | "detail" | "events" | "help"
  readonly sort: Sort
  /** Nodes without this text in their address are left out. */
  readonly filter: string
  /** Whether keys go into the filter. */
  readonly typing: boolean
  readonly paused: boolean
  /** The selected row, from 0; the view keeps it within what there is. */
  readonly selected: number
}

/** How it starts. */
export const initial: Model = {
  page: "nodes",
  sort: "state",
  filter: "",
  typing: false,
  paused: false,
  selected: 0
}

/** A key as the terminal names it, and the character that it types, if it does. */
export interface Key {
  readonly name: string
  readonly character: string | undefined
}

const pageSize = 10

const move = (model: Model, by: number, rows: number): Model => ({
  ...model,
  selected: Math.min(Math.max(model.selected + by, 0), Math.max(rows - 1, 0))
})

const typed = (model: Model, { character, name }: Key): Model => {
  switch (name) {
    case "return":
    case "enter":
      return { ...model, typing: false }
    case "escape":
      return { ...model, typing: false, filter: "" }
    case "backspace":
      return { ...model, filter: model.filter.slice(0, -1) }
    default:
      return character !== undefined && /^[!-~]$/.test(character)
        ? { ...model, filter: model.filter + character, selected: 0 }
        : model
  }
}

const toggled = (model: Model, page: Model["page"]): Model => ({ ...model, page: model.page === page ? "nodes" : page })

/** What a key does, with so many rows to select from; `quit` ends the program. */
export const pressed = (model: Model, key: Key, rows: number): Model | "quit" => {
  if (model.typing) return typed(model, key)
  switch (key.name) {
    case "q":
      return "quit"
    case "escape":
      if (model.page !== "nodes") return { ...model, page: "nodes" }
      return model.filter === "" ? "quit" : { ...model, filter: "" }
    case "up":
    case "k":
      return move(model, -1, rows)
    case "down":
    case "j":
      return move(model, 1, rows)
    case "pageup":
      return move(model, -pageSize, rows)
    case "pagedown":
      return move(model, pageSize, rows)
    case "home":
    case "g":
      return { ...model, selected: 0 }
    case "end":
      return move(model, rows, rows)
    case "s":
      return { ...model, sort: sorts[(sorts.indexOf(model.sort) + 1) % sorts.length] ?? "state", selected: 0 }
    case "p":
    case "space":
      return { ...model, paused: !model.paused }
    case "return":
    case "enter":
      return toggled(model, "detail")
    case "e":
      return toggled(model, "events")
    case "h":
      return toggled(model, "help")
    default:
      if (key.character === "/") return { ...model, page: "nodes", typing: true }
      return key.character === "?" ? toggled(model, "help") : model
  }
}
