/** The contract over `GhostDBLive`: `live.js gdb.conf dead.conf`. */
import process from "node:process"
import { GhostDBLive } from "effect-ghostdb/GhostDBLive"
import { contract } from "../contract.js"

const [live = "", dead = ""] = process.argv.slice(2)
console.log(JSON.stringify(await contract({ live: GhostDBLive(live), dead: GhostDBLive(dead) })))
