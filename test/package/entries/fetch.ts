/** The contract over `FetchTransport`: `fetch.js NODE,NODE,… NODE,…`. */
import process from "node:process"
import { Layer } from "effect"
import * as Client from "effect-ghostdb/Client"
import * as FetchTransport from "effect-ghostdb/FetchTransport"
import { contract } from "../contract.js"

const [live = "", dead = ""] = process.argv.slice(2)
const client = (nodes: string) => Layer.provide(Client.layer({ nodes: nodes.split(",") }), FetchTransport.layer)
console.log(JSON.stringify(await contract({ live: client(live), dead: client(dead) })))
