/**
 * A priority queue: the least comes out first, and equals in the order in which they came in.
 *
 * Mutable, because the simulation spends its time here.
 */

interface Item<A> {
  readonly key: number
  readonly order: number
  readonly value: A
}

const before = (a: Item<unknown>, b: Item<unknown>): boolean => a.key < b.key || (a.key === b.key && a.order < b.order)

/** A binary heap by a number. */
export class Heap<A> {
  private readonly items: Array<Item<A>> = []
  private pushed = 0

  get size(): number {
    return this.items.length
  }

  /** The least key there is; `Infinity` where there is nothing. */
  get least(): number {
    return this.items[0]?.key ?? Infinity
  }

  push(key: number, value: A): void {
    const { items } = this
    const item: Item<A> = { key, order: this.pushed++, value }
    let at = items.length
    items.push(item)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!before(item, items[parent]!)) break
      items[at] = items[parent]!
      at = parent
    }
    items[at] = item
  }

  pop(): A | undefined {
    const { items } = this
    const top = items[0]
    const last = items.pop()
    if (top === undefined || last === undefined) return undefined
    if (items.length === 0) return top.value
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= items.length) break
      if (child + 1 < items.length && before(items[child + 1]!, items[child]!)) child++
      if (!before(items[child]!, last)) break
      items[at] = items[child]!
      at = child
    }
    items[at] = last
    return top.value
  }
}
