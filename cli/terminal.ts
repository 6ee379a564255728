// terminal.ts — what commands write: data on stdout, messages on stderr, colour only for people (clig.dev).
//
// Colour is off when the stream is no terminal, NO_COLOR is set, TERM=dumb, or --no-color is given; JSON never has it.

export interface Stream {
  readonly isTTY?: boolean
  readonly columns?: number
  write(text: string): unknown
}

export interface Terminal {
  /** Is stderr a terminal that a line can be rewritten on? */
  readonly live: boolean
  /** Width of stderr. */
  readonly columns: number
  /** A line of data. */
  say(line: string): void
  /** One JSON document. */
  json(value: unknown): void
  /** A message. */
  note(line: string): void
  /** Replaces the last live line; only when `live`. */
  redraw(line: string): void
  bold(text: string): string
  dim(text: string): string
  red(text: string): string
  green(text: string): string
}

export interface TerminalOptions {
  readonly out: Stream
  readonly err: Stream
  readonly env: Readonly<Record<string, string | undefined>>
  readonly noColor?: boolean
}

const COLUMNS_DEFAULT = 100

export function openTerminal({ out, err, env, noColor = false }: TerminalOptions): Terminal {
  const plain = noColor || Boolean(env['NO_COLOR']) || env['TERM'] === 'dumb'
  const paint =
    (code: number) =>
    (text: string): string =>
      plain || !out.isTTY || !err.isTTY ? text : `\x1b[${code}m${text}\x1b[0m`
  let drawn = false
  const clear = (): void => {
    if (drawn) err.write('\r\x1b[2K')
    drawn = false
  }
  const live = Boolean(err.isTTY) && env['TERM'] !== 'dumb'
  const columns = err.columns ?? COLUMNS_DEFAULT
  return {
    live,
    columns,
    say(line) {
      clear()
      out.write(`${line}\n`)
    },
    json: (value) => void out.write(`${JSON.stringify(value, null, 2)}\n`),
    note(line) {
      clear()
      err.write(`${line}\n`)
    },
    redraw(line) {
      if (!live) return
      clear()
      err.write(line.slice(0, columns - 1))
      drawn = true
    },
    bold: paint(1),
    dim: paint(2),
    red: paint(31),
    green: paint(32),
  }
}

/** Rows as aligned columns, two spaces between; the last column is not padded. */
export function columnsOf(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = []
  for (const row of rows) {
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length)
  }
  const pad = (cell: string, i: number): string => cell.padEnd(widths[i]!)
  return rows.map((row) => row.map(pad).join('  ').trimEnd())
}
