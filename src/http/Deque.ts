/** A double-ended queue in a ring buffer. It gives its memory back once it is empty. */
export class Deque<A> {
  private items: Array<A | undefined> = new Array(minCapacity)
  private first = 0
  private size = 0

  get length(): number {
    return this.size
  }

  push(item: A): void {
    if (this.size === this.items.length) this.resize(2 * this.size)
    this.items[(this.first + this.size) & (this.items.length - 1)] = item
    this.size += 1
  }

  unshift(item: A): void {
    if (this.size === this.items.length) this.resize(2 * this.size)
    this.first = (this.first - 1) & (this.items.length - 1)
    this.items[this.first] = item
    this.size += 1
  }

  shift(): A | undefined {
    if (this.size === 0) return undefined
    const item = this.items[this.first]
    this.items[this.first] = undefined
    this.first = (this.first + 1) & (this.items.length - 1)
    this.size -= 1
    if (this.size === 0 && this.items.length > maxIdleCapacity) this.resize(minCapacity)
    return item
  }

  /** Items from the oldest to the newest. The queue must not change meanwhile. */
  *[Symbol.iterator](): Generator<A> {
    for (let i = 0; i < this.size; i++) {
      const item = this.items[(this.first + i) & (this.items.length - 1)]
      if (item !== undefined) yield item
    }
  }

  /** Keeps the items for which `keep` holds, in their order. */
  retain(keep: (item: A) => boolean): void {
    const { size } = this
    const mask = this.items.length - 1
    let kept = 0
    for (let i = 0; i < size; i++) {
      const at = (this.first + i) & mask
      const item = this.items[at]
      this.items[at] = undefined
      if (item !== undefined && keep(item)) this.items[(this.first + kept++) & mask] = item
    }
    this.size = kept
    if (kept === 0 && this.items.length > maxIdleCapacity) this.resize(minCapacity)
  }

  clear(): void {
    this.size = 0
    this.resize(minCapacity)
  }

  /** `capacity` is a power of two. */
  private resize(capacity: number): void {
    const items = new Array<A | undefined>(capacity)
    for (let i = 0; i < this.size; i++) items[i] = this.items[(this.first + i) & (this.items.length - 1)]
    this.items = items
    this.first = 0
  }
}

const minCapacity = 16

const maxIdleCapacity = 1024
