/** An Effect client for GhostDB, the distributed in-memory key/value cache. */

import "./install-effect@3.js"

export type { Invalidation } from "./adapters/Invalidations.js"
export * as Invalidations from "./adapters/Invalidations.js"
export type { NearCacheOptions, NearCacheService, NearCacheStats } from "./adapters/NearCache.js"
export { NearCache } from "./adapters/NearCache.js"
export * as Resolver from "./adapters/Resolver.js"
export type { CacheEvent } from "./cache/CacheEvents.js"
export { LoadTimeout } from "./cache/LoadTimeout.js"
export type { LockOptions } from "./cache/Lock.js"
export type { KeyResult } from "./cache/ManyKeys.js"
export type { StoreOf } from "./cache/Store.js"
export type {
  CachedOptions,
  CallDecodeError,
  DecodeError,
  ExactFreshnessOptions,
  Expiry,
  FailureOptions,
  FreshnessOptions,
  GetOrElseOptions,
  Instance,
  JsonEncoded,
  NeedsExactExpiry,
  NotJsonEncoded,
  OnDecodeError,
  OnOutage,
  OptionsByExpiry,
  OutageError,
  PlainObject,
  StoreKeyOptions,
  StoreOptions,
  TimeoutError,
  TimeoutOptions,
  Written,
  WrittenOf
} from "./cache/StoreOptions.js"
export type { ClientOptions } from "./client/Client.js"
export * as Client from "./client/Client.js"
export * as Monitor from "./cluster/Monitor.js"
export * as Probe from "./cluster/Probe.js"
export * as NodesFile from "./discovery/NodesFile.js"
export type { Store } from "./GhostDB.js"
export { GhostDB } from "./GhostDB.js"
export { GhostDBLive } from "./GhostDBLive.js"
export type { InjectedFault, InjectOptions, NodeFault, TestClusterOptions, TestClusterService } from "./GhostDBTest.js"
export { GhostDBTest, TestCluster } from "./GhostDBTest.js"
export { Dialect } from "./model/Dialect.js"
export type { GhostDBOptions, TlsOptions } from "./model/GhostDBConfig.js"
export * as GhostDBConfig from "./model/GhostDBConfig.js"
export type { Fault } from "./model/GhostDBError.js"
export { FailureReason, KeyError, NodeFailure, NodesFileError, NoMoreServers } from "./model/GhostDBError.js"
export type { DataCommands, DeleteResult, FlushResult, GhostDBService, StoreResult } from "./model/GhostDBService.js"
export type { Json, NotJson, Storable, ToJson } from "./model/Json.js"
export type { Metrics } from "./model/Metrics.js"
export { SnitchMetrics, WatchdogMetrics } from "./model/Metrics.js"
export type { DeadNode, LiveNode, Placement, Topology } from "./model/Topology.js"
export type { DurationLike, DurationText, Ttl } from "./model/Ttl.js"
export * as Ring from "./ring/Ring.js"
export * as RingPlan from "./ring/RingPlan.js"
export * as CacheNode from "./server/CacheNode.js"
export * as NodeServer from "./server/NodeServer.js"
export * as RaftGroup from "./server/RaftGroup.js"
export * as ClientMetrics from "./telemetry/ClientMetrics.js"
export * as FetchTransport from "./transport/FetchTransport.js"
export * as HttpClientTransport from "./transport/HttpClientTransport.js"
export * as SocketTransport from "./transport/SocketTransport.js"
export * as Transport from "./transport/Transport.js"
