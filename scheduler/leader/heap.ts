// heap.ts — a binary heap whose items know their place, so that any of them can be removed in O(log n).

export interface HeapRules<T> {
  before(a: T, b: T): boolean
  indexOf(item: T): number
  /** -1 when the item leaves. */
  setIndex(item: T, index: number): void
}

export class Heap<T> {
  readonly #items: T[] = []
  readonly #rules: HeapRules<T>

  constructor(rules: HeapRules<T>) {
    this.#rules = rules
  }

  get size(): number {
    return this.#items.length
  }

  peek(): T | undefined {
    return this.#items[0]
  }

  push(item: T): void {
    this.#items.push(item)
    this.#up(this.#items.length - 1, item)
  }

  pop(): T | undefined {
    const top = this.#items[0]
    if (top !== undefined) this.remove(top)
    return top
  }

  /** Nothing happens when the item is in no heap. */
  remove(item: T): void {
    const index = this.#rules.indexOf(item)
    if (index < 0) return
    this.#rules.setIndex(item, -1)
    const last = this.#items.pop()!
    if (last === item) return
    this.#up(index, last)
    this.#down(this.#rules.indexOf(last), last)
  }

  #up(from: number, item: T): void {
    let index = from
    while (index > 0) {
      const parentIndex = (index - 1) >> 1
      const parent = this.#items[parentIndex]!
      if (!this.#rules.before(item, parent)) break
      this.#put(index, parent)
      index = parentIndex
    }
    this.#put(index, item)
  }

  #down(from: number, item: T): void {
    const size = this.#items.length
    let index = from
    for (;;) {
      let child = 2 * index + 1
      if (child >= size) break
      if (child + 1 < size && this.#rules.before(this.#items[child + 1]!, this.#items[child]!)) child++
      if (!this.#rules.before(this.#items[child]!, item)) break
      this.#put(index, this.#items[child]!)
      index = child
    }
    this.#put(index, item)
  }

  #put(index: number, item: T): void {
    this.#items[index] = item
    this.#rules.setIndex(item, index)
  }
}
