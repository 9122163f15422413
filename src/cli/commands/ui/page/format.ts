/** How the page writes numbers. Pure. */
import type { Known } from "../../../Snapshot.js"

/** A count; `–` where it is not known. */
export const count = (value: Known): string => (value === null ? "–" : Math.round(value).toLocaleString("en-US"))

/** A latency in milliseconds. */
export const millis = (value: Known): string =>
  value === null
    ? "–"
    : value < 1
      ? `${Math.round(value * 1000)} µs`
      : value < 100
        ? `${value.toFixed(1)} ms`
        : `${Math.round(value)} ms`

const units = ["B", "KiB", "MiB", "GiB", "TiB"] as const

/** Bytes in the unit that suits. */
export const bytes = (value: Known): string => {
  if (value === null) return "–"
  const power = value < 1024 ? 0 : Math.min(Math.floor(Math.log2(value) / 10), units.length - 1)
  return `${(value / 1024 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`
}

/** A time span in its two largest units, given in milliseconds. */
export const duration = (value: number): string => {
  const seconds = Math.max(0, Math.floor(value / 1000))
  if (seconds < 60) return `${seconds} s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`
  return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`
}

/** A share from 0 to 1 in per cent. */
export const share = (value: number): string => `${(value * 100).toFixed(1)} %`
