// wire.ts — the words of `fairlead-mux/1`: frame types, limits, error codes (docs/mux.md is the specification).
//
// A frame is `u16 length, u8 type, u8 flags, u32 stream` and `length` bytes. Frames are made as Latin-1 text: what one turn
// of the event loop says leaves as one string, without a Buffer per frame (as http1/outbox.ts does, and for its reason).
// Limits belong to the version of the protocol: nothing is negotiated, so nothing can be negotiated badly.

export const MUX_PROTOCOL = 'fairlead-mux/1'
export const PROTOCOL_VERSION = 1

export const FRAME_HEAD_BYTES = 8

export const HELLO = 1
export const REQUEST = 2
export const RESPONSE = 3
export const DATA = 4
export const CREDIT = 5
export const RESET = 6
export const PING = 7
export const PONG = 8
export const GOAWAY = 9

/** The one flag: this DATA frame is the last of a body whose length was not declared. */
export const END = 1

export const HEAD_PAYLOAD_MAX = 40 * 1024
export const DATA_PAYLOAD_MAX = 16 * 1024
const HELLO_PAYLOAD_MAX = 1024

/** Longest payload by frame type; -1 = there is no such type. */
export const PAYLOAD_MAX = Int32Array.of(
  -1,
  HELLO_PAYLOAD_MAX,
  HEAD_PAYLOAD_MAX,
  HEAD_PAYLOAD_MAX,
  DATA_PAYLOAD_MAX,
  4,
  1,
  8,
  8,
  5,
)

/** Fields of one head: 100 of the client and what two sidecars add. */
export const MUX_FIELDS_MAX = 128

export const STREAMS_MAX = 256
export const STREAM_ID_MAX = 0x7fff_ffff
/** Bytes of bodies that may be under way unasked. */
export const STREAM_CREDIT = 64 * 1024
export const CONNECTION_CREDIT = 4 * 1024 * 1024
/** What a stream is topped up to once it has shown that its reader keeps up. */
export const STREAM_CREDIT_GROWN = 256 * 1024
export const CREDIT_MAX = 0x7fff_ffff

/** By number. */
export const CODES = [
  'NONE',
  'PROTOCOL',
  'TOO_LARGE',
  'OVER_CREDIT',
  'REFUSED',
  'CANCELLED',
  'BAD_HEAD',
  'BAD_BODY',
  'BROKEN',
  'STALLED',
  'FLOOD',
  'TIMEOUT',
  'ENDPOINT_MISMATCH',
  'VERSION',
  'DRAINING',
] as const
export type MuxCode = (typeof CODES)[number]

export const codeNumber = (code: MuxCode): number => CODES.indexOf(code)
/** Numbers that this version does not know count as PROTOCOL. */
export const codeName = (number: number): MuxCode => CODES[number] ?? 'PROTOCOL'

/** The peer broke the protocol: the connection ends with GOAWAY and this code. */
export class MuxError extends Error {
  readonly code: MuxCode

  constructor(code: MuxCode, message: string) {
    super(message)
    this.name = 'MuxError'
    this.code = code
  }
}

const SMALL = 4096
const CHARS = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte))
const PAIRS = Array.from({ length: SMALL }, (_, value) => CHARS[value >> 8]! + CHARS[value & 255]!)

export const u8 = (value: number): string => CHARS[value]!
export const u16 = (value: number): string => (value < SMALL ? PAIRS[value]! : CHARS[value >> 8]! + CHARS[value & 255]!)
export const u32 = (value: number): string => u16(value >>> 16) + u16(value & 0xffff)

export const readU16 = (bytes: Uint8Array, at: number): number => (bytes[at]! << 8) | bytes[at + 1]!
export const readU32 = (bytes: Uint8Array, at: number): number =>
  ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0

export function frameHead(length: number, type: number, flags: number, stream: number): string {
  return u16(length) + PAIRS[(type << 8) | flags]! + u32(stream)
}

export const creditFrame = (stream: number, bytes: number): string => frameHead(4, CREDIT, 0, stream) + u32(bytes)
export const resetFrame = (stream: number, code: MuxCode): string =>
  frameHead(1, RESET, 0, stream) + u8(codeNumber(code))
export const goAwayFrame = (last: number, code: MuxCode): string =>
  frameHead(5, GOAWAY, 0, 0) + u32(last) + u8(codeNumber(code))
