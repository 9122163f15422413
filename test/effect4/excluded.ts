/** Files that the second package does not have, each with the reason. */
export const excluded: Readonly<Record<string, string>> = {
  "src/cli/": "the command is bundled with an Effect of its own: both packages have the same bundle",
  "test/effect4/": "this program",
  "test/cli/": "the command is the main line's",
  "test/ui/": "the command is the main line's",
  "test/bench/": "compares the main line with other clients",
  "test/real/": "runs the main line on real servers",
  "test/package/": "packs the main line",
  "test/setup.ts": "restores what layer of @effect/vitest changes; the functions here change nothing",
  "test/architecture.test.ts": "the rooms are those of the main line's sources",
  "test/entry-points.test.ts": "reads the graph of the main line's modules",
  "test/types.test.ts": "compiles by the main line's configurations",
  "test/docs/": "runs the main line's documents",
  "src/adapters/README.md": "its programs are those of Effect 3",
  "test/adapters/effect-suites.test.ts":
    "the suites of Effect 3's services; those of Effect 4 are in the tests of the adapters",
  "test/http/ReplyParser.against-undici.test.ts": "the undici of @effect/platform-node 4 needs Node.js 22",
  "test/transport/HttpClientTransport.test.ts": "the same undici",
  "test/cache/store.test-d.ts": "schemas that Effect 4 declares otherwise",
  "test/client/layers.test-d.ts": "configuration that Effect 4 types otherwise",
  "test/discovery/removals.test.ts": "makes events of a file system, whose constructors are gone",
  "test/discovery/watch-file.test.ts": "makes events of a file system, whose constructors are gone",
  "test/model/GhostDBConfig.test.ts": "runs schedules by Schedule.run",
  "test/pressure/processes.test.ts": "memory and signals of processes of the main line",
  "test/fixtures/heap.ts": "a part of programs of that test",
  "test/fixtures/nodes-come-and-go.ts": "a program of that test",
  "test/fixtures/stops-reading.ts": "a program of that test",
  "test/fixtures/interrupted-without-leader.ts": "a program of that test",
  "test/client/open-telemetry.test.ts": "tests @effect/opentelemetry, which Effect 4 has built in",
  "examples/opentelemetry.ts": "the same",
  "examples/http-server.ts": "a router of Effect 3",
  "examples/persisted-cache.ts":
    "its requests are schemas of Effect 3; test/adapters/Persistence.test.ts shows those of Effect 4"
}

/** Tests that Effect 4 gives no means for, by their names. */
export const tests: Readonly<Record<string, string>> = {
  "no timer while nothing is in flight": "the test clock of Effect 4 does not tell who sleeps",
  "a query ends with the last who waits for it":
    "Effect 4 does not interrupt a resolver that runs, with a cache or without one"
}
