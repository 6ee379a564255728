// regex.ts — regular expressions that cannot stall the data path: RE2's promise for the part of its syntax we take.
//
// A route's regex is config that may come from anyone (threat T19) and meets bytes that come from anyone. JavaScript's
// own engine backtracks: `(a+)+b` is exponential and even `.*.*.*=` is cubic. This one never does: it walks a lazily
// built automaton, O(text × program) at worst, with program, text and cache bounded. Always a full match, as in Envoy
// and Linkerd. Refused, with the place: backreferences, lookaround, \b, possessive and Unicode-property syntax.

/** Longer texts do not match. */
export const REGEX_TEXT_MAX = 8 * 1024
const PATTERN_MAX = 1024
const PROGRAM_MAX = 500
const DEPTH_MAX = 32
const REPEAT_MAX = 255
/** Automaton states kept; past that the rest of a text is walked without them. */
const STATES_MAX = 256
const TOP = 0xffff

export interface LinearRegex {
  /** Does the whole text match? */
  test(text: string): boolean
}

/** Refusal of a pattern; `at` = offset in it. */
export class RegexRefused extends Error {
  readonly at: number

  constructor(message: string, at: number) {
    super(message)
    this.at = at
  }
}

/** Flat list of inclusive pairs. */
type Ranges = number[]
type Node =
  | { readonly kind: 'set'; readonly ranges: Ranges }
  | { readonly kind: 'cat'; readonly parts: Node[] }
  | { readonly kind: 'alt'; readonly options: Node[] }
  | { readonly kind: 'repeat'; readonly body: Node; readonly min: number; readonly max: number }
  | { readonly kind: 'start' }
  | { readonly kind: 'end' }

type Step =
  | { op: 'set'; ranges: Ranges; next: number }
  | { op: 'split'; next: number; other: number }
  | { op: 'start' | 'end'; next: number }
  | { op: 'match' }

/** @throws RegexRefused */
export function compileRegex(pattern: string): LinearRegex {
  if (pattern.length > PATTERN_MAX) throw new RegexRefused(`longer than ${PATTERN_MAX} characters`, PATTERN_MAX)
  const tree = new Parser(pattern).parse()
  return new Automaton(assemble(tree))
}

// ── pattern → tree ──────────────────────────────────────────────────────────────────────────────────────────────────

const DIGIT: Ranges = [48, 57]
const WORD: Ranges = [48, 57, 65, 90, 95, 95, 97, 122]
const SPACE: Ranges = [9, 10, 12, 13, 32, 32]
const ANY: Ranges = [0, 9, 11, TOP]
const CLASSES: Readonly<Record<string, Ranges>> = {
  d: DIGIT,
  w: WORD,
  s: SPACE,
  D: invert(DIGIT),
  W: invert(WORD),
  S: invert(SPACE),
}
const CONTROLS: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, f: 12, v: 11 }

class Parser {
  private at = 0
  private depth = 0
  private ignoreCase = false
  private readonly text: string

  constructor(text: string) {
    this.text = text
  }

  parse(): Node {
    if (this.text.startsWith('(?i)')) {
      this.ignoreCase = true
      this.at = 4
    }
    const node = this.alternatives()
    if (this.at < this.text.length) throw this.refuse('unmatched )')
    return node
  }

  private alternatives(): Node {
    const options = [this.sequence()]
    while (this.take('|')) options.push(this.sequence())
    return options.length === 1 ? options[0]! : { kind: 'alt', options }
  }

  private sequence(): Node {
    const parts: Node[] = []
    while (this.at < this.text.length && this.peek() !== '|' && this.peek() !== ')') parts.push(this.repeated())
    return { kind: 'cat', parts }
  }

  private repeated(): Node {
    const body = this.atom()
    const bounds = this.quantifier()
    if (!bounds) return body
    // Lazy or greedy is the same question when only "does the whole text match" is asked.
    this.take('?')
    if (this.at < this.text.length && '*+?'.includes(this.peek())) throw this.refuse('quantifier after a quantifier')
    return { kind: 'repeat', body, min: bounds[0], max: bounds[1] }
  }

  private quantifier(): [number, number] | undefined {
    if (this.take('*')) return [0, Number.POSITIVE_INFINITY]
    if (this.take('+')) return [1, Number.POSITIVE_INFINITY]
    if (this.take('?')) return [0, 1]
    const counted = /^\{(\d{1,4})(,(\d{0,4}))?\}/.exec(this.text.slice(this.at, this.at + 12))
    if (!counted) return undefined
    const min = Number(counted[1])
    const max = counted[2] === undefined ? min : counted[3] === '' ? Number.POSITIVE_INFINITY : Number(counted[3])
    if (min > max || min > REPEAT_MAX || (max !== Number.POSITIVE_INFINITY && max > REPEAT_MAX)) {
      throw this.refuse(`repetition must be at most ${REPEAT_MAX} and ascending`)
    }
    this.at += counted[0].length
    return [min, max]
  }

  private atom(): Node {
    const char = this.peek()
    if (char === '(') return this.group()
    if (char === '[') return this.set(this.bracket())
    if (char === '\\') return this.set(this.escape())
    if ('*+?'.includes(char)) throw this.refuse(`nothing before ${char}`)
    if (char === '{' && /^\{\d/.test(this.text.slice(this.at, this.at + 2))) throw this.refuse('nothing before {')
    this.at++
    if (char === '.') return { kind: 'set', ranges: ANY }
    if (char === '^') return { kind: 'start' }
    if (char === '$') return { kind: 'end' }
    const code = char.charCodeAt(0)
    return this.set([code, code])
  }

  private group(): Node {
    const opened = this.at
    this.at++
    if (this.peek() === '?') this.groupKind()
    if (++this.depth > DEPTH_MAX) throw this.refuse(`groups nested deeper than ${DEPTH_MAX}`)
    const node = this.alternatives()
    this.depth--
    if (!this.take(')')) throw new RegexRefused('unmatched (', opened)
    return node
  }

  private groupKind(): void {
    const rest = this.text.slice(this.at, this.at + 80)
    if (/^\?<?[=!]/.test(rest)) throw this.refuse('lookaround cannot be matched in linear time')
    const kind = /^\?(?::|P?<[A-Za-z_]\w*>)/.exec(rest)
    if (!kind) throw this.refuse('unknown group; (?:…), (?P<name>…) and a leading (?i) are taken')
    this.at += kind[0].length
  }

  private bracket(): Ranges {
    const opened = this.at
    this.at++
    const negated = this.take('^')
    let ranges: Ranges = []
    let first = true
    while (first || this.peek() !== ']') {
      if (this.at >= this.text.length) throw new RegexRefused('unmatched [', opened)
      if (this.text.startsWith('[:', this.at)) throw this.refuse('POSIX classes are not taken; write a-z0-9')
      ranges = [...ranges, ...this.bracketItem()]
      first = false
    }
    this.at++
    const folded = this.ignoreCase ? foldCase(ranges) : ranges
    return negated ? invert(folded) : folded
  }

  private bracketItem(): Ranges {
    const low = this.bracketUnit()
    if (this.peek() !== '-' || this.text[this.at + 1] === ']' || this.at + 1 >= this.text.length) return low
    this.at++
    const high = this.bracketUnit()
    const single = low.length === 2 && high.length === 2 && low[0] === low[1] && high[0] === high[1]
    if (!single || low[0]! > high[0]!) throw this.refuse('range is not ascending')
    return [low[0]!, high[0]!]
  }

  private bracketUnit(): Ranges {
    if (this.peek() === '\\') return this.escape()
    const code = this.text.charCodeAt(this.at++)
    return [code, code]
  }

  private escape(): Ranges {
    const start = this.at
    const char = this.text[this.at + 1]
    this.at += 2
    if (char === undefined) throw new RegexRefused('lone \\ at the end', start)
    const known = CLASSES[char]
    if (known) return known
    const control = CONTROLS[char]
    if (control !== undefined) return [control, control]
    if (char === 'x') return this.hex(start)
    if (/[1-9k]/.test(char)) throw new RegexRefused('backreferences cannot be matched in linear time', start)
    if (/[A-Za-z0-9]/.test(char)) throw new RegexRefused(`\\${char} is not taken`, start)
    const code = char.charCodeAt(0)
    return [code, code]
  }

  private hex(start: number): Ranges {
    const digits = /^[0-9a-fA-F]{2}/.exec(this.text.slice(this.at, this.at + 2))
    if (!digits) throw new RegexRefused('\\x needs two hex digits', start)
    this.at += 2
    const code = Number.parseInt(digits[0], 16)
    return [code, code]
  }

  private set(ranges: Ranges): Node {
    return { kind: 'set', ranges: this.ignoreCase ? foldCase(ranges) : ranges }
  }

  private peek(): string {
    return this.text[this.at] ?? ''
  }

  private take(char: string): boolean {
    if (this.text[this.at] !== char) return false
    this.at++
    return true
  }

  private refuse(message: string): RegexRefused {
    return new RegexRefused(message, this.at)
  }
}

function invert(ranges: Ranges): Ranges {
  const pairs: [number, number][] = []
  for (let i = 0; i < ranges.length; i += 2) pairs.push([ranges[i]!, ranges[i + 1]!])
  pairs.sort((a, b) => a[0] - b[0])
  const out: Ranges = []
  let from = 0
  for (const [low, high] of pairs) {
    if (low > from) out.push(from, low - 1)
    from = Math.max(from, high + 1)
  }
  if (from <= TOP) out.push(from, TOP)
  return out
}

/** ASCII only, as header and path bytes are. */
function foldCase(ranges: Ranges): Ranges {
  const out = [...ranges]
  for (let i = 0; i < ranges.length; i += 2) {
    const [low, high] = [ranges[i]!, ranges[i + 1]!]
    const upper: [number, number] = [Math.max(low, 65), Math.min(high, 90)]
    const lower: [number, number] = [Math.max(low, 97), Math.min(high, 122)]
    if (upper[0] <= upper[1]) out.push(upper[0] + 32, upper[1] + 32)
    if (lower[0] <= lower[1]) out.push(lower[0] - 32, lower[1] - 32)
  }
  return out
}

// ── tree → program ──────────────────────────────────────────────────────────────────────────────────────────────────

function assemble(tree: Node): { steps: Step[]; start: number } {
  const steps: Step[] = [{ op: 'match' }]
  const add = (step: Step): number => {
    if (steps.length >= PROGRAM_MAX) throw new RegexRefused(`too large (${PROGRAM_MAX} steps after repetition)`, 0)
    return steps.push(step) - 1
  }
  const loop = (body: Node, next: number): number => {
    const split = { op: 'split' as const, next: 0, other: next }
    const at = add(split)
    split.next = build(body, at)
    return at
  }
  const repeat = (node: Node & { kind: 'repeat' }, next: number): number => {
    let at = node.max === Number.POSITIVE_INFINITY ? loop(node.body, next) : next
    if (node.max !== Number.POSITIVE_INFINITY) {
      for (let i = node.min; i < node.max; i++) at = add({ op: 'split', next: build(node.body, at), other: next })
    }
    for (let i = 0; i < node.min; i++) at = build(node.body, at)
    return at
  }
  const build = (node: Node, next: number): number => {
    switch (node.kind) {
      case 'set':
        return add({ op: 'set', ranges: node.ranges, next })
      case 'cat':
        return node.parts.reduceRight((after, part) => build(part, after), next)
      case 'alt':
        return node.options
          .map((option) => build(option, next))
          .reduce((other, option) => add({ op: 'split', next: option, other }))
      case 'repeat':
        return repeat(node, next)
      default:
        return add({ op: node.kind, next })
    }
  }
  return { steps, start: build(tree, 0) }
}

// ── program → lazily built automaton ────────────────────────────────────────────────────────────────────────────────

interface State {
  /** Steps that wait for a character, an end, or have matched; after following everything free. */
  readonly steps: readonly number[]
  readonly accepts: boolean
  readonly next: (State | undefined)[]
}

class Automaton implements LinearRegex {
  private readonly steps: readonly Step[]
  private readonly bounds: readonly number[]
  private readonly first: State
  private readonly states = new Map<string, State>()
  /** Round in which a step was last seen: a set that is emptied by counting up. */
  private readonly seen: Uint32Array
  private round = 0

  constructor({ steps, start }: { steps: Step[]; start: number }) {
    this.steps = steps
    this.bounds = boundariesOf(steps)
    this.seen = new Uint32Array(steps.length)
    this.first = this.stateOf(this.close([start], true))
  }

  test(text: string): boolean {
    if (text.length > REGEX_TEXT_MAX) return false
    let state = this.first
    for (let i = 0; i < text.length; i++) {
      if (state.steps.length === 0) return false
      const code = text.charCodeAt(i)
      const letter = this.letterOf(code)
      const known = state.next[letter]
      if (!known && this.states.size >= STATES_MAX) return this.simulate(state.steps, text, i)
      state = known ?? this.learn(state, code, letter)
    }
    return state.accepts
  }

  /** Without the cache, for the rest of a text: slower, still linear. */
  private simulate(from: readonly number[], text: string, at: number): boolean {
    let steps = from
    for (let i = at; i < text.length && steps.length > 0; i++) steps = this.advance(steps, text.charCodeAt(i))
    return this.accepts(steps)
  }

  private learn(state: State, code: number, letter: number): State {
    const next = this.stateOf(this.advance(state.steps, code))
    state.next[letter] = next
    return next
  }

  private stateOf(steps: number[]): State {
    const key = steps.sort((a, b) => a - b).join()
    let state = this.states.get(key)
    if (!state) {
      state = { steps, accepts: this.accepts(steps), next: [] }
      this.states.set(key, state)
    }
    return state
  }

  private accepts(steps: readonly number[]): boolean {
    return this.close([...steps], false, true).some((at) => this.steps[at]!.op === 'match')
  }

  private advance(steps: readonly number[], code: number): number[] {
    const targets: number[] = []
    for (const at of steps) {
      const step = this.steps[at]!
      if (step.op === 'set' && holds(step.ranges, code)) targets.push(step.next)
    }
    return this.close(targets, false)
  }

  /** Everything reachable from `stack` without reading a character. `^` only at the start, `$` only at the end. */
  private close(stack: number[], atStart: boolean, atEnd = false): number[] {
    const round = this.nextRound()
    const kept: number[] = []
    while (stack.length > 0) {
      const at = stack.pop()!
      if (this.seen[at] === round) continue
      this.seen[at] = round
      const step = this.steps[at]!
      if (step.op === 'split') stack.push(step.next, step.other)
      else if (step.op === 'start') {
        if (atStart) stack.push(step.next)
      } else {
        kept.push(at)
        if (step.op === 'end' && atEnd) stack.push(step.next)
      }
    }
    return kept
  }

  private nextRound(): number {
    if (this.round === 0xffffffff) {
      this.seen.fill(0)
      this.round = 0
    }
    return ++this.round
  }

  /** Characters that no step tells apart share a letter; so a state has few ways out. */
  private letterOf(code: number): number {
    let low = 0
    let high = this.bounds.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.bounds[middle]! <= code) low = middle + 1
      else high = middle
    }
    return low
  }
}

function boundariesOf(steps: readonly Step[]): number[] {
  const bounds = new Set<number>()
  for (const step of steps) {
    if (step.op !== 'set') continue
    for (let i = 0; i < step.ranges.length; i += 2) bounds.add(step.ranges[i]!).add(step.ranges[i + 1]! + 1)
  }
  return [...bounds].sort((a, b) => a - b)
}

function holds(ranges: Ranges, code: number): boolean {
  for (let i = 0; i < ranges.length; i += 2) if (code >= ranges[i]! && code <= ranges[i + 1]!) return true
  return false
}
