// licence-text.ts — which licence does a file's text hold?
//
// By phrases that the licence itself requires to be kept, not by whole-text distance: copies differ in white space,
// quotes, wrapping and copyright lines. When a file holds several, the one that begins first is the package's own.

interface Mark {
  readonly id: string
  /** All must stand in the text; the first of them tells where the licence begins. */
  readonly all: readonly string[]
  /** None may stand within `WINDOW` characters after the first phrase. */
  readonly none?: readonly string[]
}

/** How far a licence's phrases may stand from its beginning. */
const WINDOW = 40_000
const MIT_GRANT = 'permission is hereby granted, free of charge, to any person obtaining a copy of'
const MIT_NOTICE = 'the above copyright notice and this permission notice'
const ISC_GRANT = 'permission to use, copy, modify, and/or distribute this software for any purpose with or without fee'
const OLD_ISC_GRANT =
  'permission to use, copy, modify, and distribute this software for any purpose with or without fee'
const ISC_NOTICE = 'provided that the above copyright notice'
const BSD_GRANT = 'redistribution and use in source and binary forms'
const ENDORSE = 'endorse or promote products'
const ADVERTISE = 'all advertising materials mentioning features'
const THIRD_CLAUSE = 'redistributions in binary form must reproduce'

const MARKS: readonly Mark[] = [
  { id: 'Apache-2.0', all: ['apache license version 2.0, january 2004'] },
  { id: 'Apache-2.0', all: ['licensed under the apache license, version 2.0'] },
  { id: 'MIT', all: [MIT_GRANT, MIT_NOTICE] },
  { id: 'MIT-0', all: [MIT_GRANT], none: [MIT_NOTICE] },
  { id: 'ISC', all: [ISC_GRANT, ISC_NOTICE] },
  { id: 'ISC', all: [OLD_ISC_GRANT, ISC_NOTICE] },
  { id: '0BSD', all: [ISC_GRANT], none: [ISC_NOTICE] },
  { id: 'BSD-4-Clause', all: [BSD_GRANT, THIRD_CLAUSE, ADVERTISE] },
  { id: 'BSD-3-Clause', all: [BSD_GRANT, THIRD_CLAUSE, ENDORSE], none: [ADVERTISE] },
  { id: 'BSD-2-Clause', all: [BSD_GRANT, THIRD_CLAUSE], none: [ENDORSE, ADVERTISE] },
  { id: 'MPL-2.0', all: ['mozilla public license version 2.0'] },
  { id: 'MPL-2.0', all: ['subject to the terms of the mozilla public license, v. 2.0'] },
  { id: 'CC0-1.0', all: ['cc0 1.0 universal'] },
  { id: 'CC-BY-4.0', all: ['creative commons attribution 4.0 international'] },
  { id: 'Unlicense', all: ['this is free and unencumbered software released into the public domain'] },
  { id: 'BlueOak-1.0.0', all: ['blue oak model license', 'version 1.0.0'] },
  { id: 'BSL-1.0', all: ['boost software license - version 1.0'] },
  { id: 'EPL-2.0', all: ['eclipse public license - v 2.0'] },
  { id: 'Artistic-2.0', all: ['the artistic license 2.0'] },
  { id: 'AGPL-3.0', all: ['gnu affero general public license version 3'] },
  { id: 'LGPL-3.0', all: ['gnu lesser general public license version 3'] },
  { id: 'LGPL-2.1', all: ['gnu lesser general public license version 2.1'] },
  { id: 'GPL-3.0', all: ['gnu general public license version 3'] },
  { id: 'GPL-2.0', all: ['gnu general public license version 2'] },
  { id: 'Python-2.0', all: ['python software foundation license version 2'] },
  { id: 'WTFPL', all: ['do what the fuck you want to public license'] },
  { id: 'Zlib', all: ["this software is provided 'as-is', without any express or implied warranty", 'misrepresented'] },
]

/** SPDX identifier, or null when the text is none that we know. */
export function recogniseLicence(text: string): string | null {
  const plain = normalise(text)
  let best: { id: string; at: number } | undefined
  for (const mark of MARKS) {
    const at = beginning(plain, mark)
    if (at >= 0 && (best === undefined || at < best.at)) best = { id: mark.id, at }
  }
  return best?.id ?? null
}

/** Where the marked licence begins in `plain`, or -1. */
function beginning(plain: string, mark: Mark): number {
  const at = plain.indexOf(mark.all[0]!)
  if (at < 0) return -1
  const rest = plain.slice(at, at + WINDOW)
  const fits = mark.all.every((phrase) => rest.includes(phrase)) && !mark.none?.some((phrase) => rest.includes(phrase))
  return fits ? at : -1
}

/** Lower case, one space between words, straight quotes, no comment or Markdown signs. */
function normalise(text: string): string {
  return text
    .toLowerCase()
    .replace(/[\u2018\u2019`]/g, "'")
    .replace(/[\u201c\u201d]/g, '"')
    .replace(/[#*_>=|]+|\/\/|--+/g, ' ')
    .replace(/\s+/g, ' ')
}
