// What a package says about its licence, and what its licence file says.

import { describe, expect, test } from 'vitest'
import { declaredLicence, installScripts, licenceNote } from '../../../workers/audit/licence.ts'
import { recogniseLicence } from '../../../workers/audit/licence-text.ts'
import { licencesOf } from '../../../workers/audit/spdx.ts'

const manifest = (fields: object) => ({ name: 'a', version: '1.0.0', ...fields })

describe('declared licence', () => {
  test.each([
    [{ license: 'MIT' }, 'MIT', false],
    [{ license: ' Apache-2.0 ' }, 'Apache-2.0', false],
    [{ license: 'UNLICENSED' }, 'UNLICENSED', false],
    [{ license: { type: 'BSD-3-Clause', url: 'x' } }, 'BSD-3-Clause', true],
    [{ licenses: [{ type: 'MIT' }, { type: 'Apache-2.0' }] }, '(MIT OR Apache-2.0)', true],
    [{ licenses: ['MIT'] }, 'MIT', true],
    [{}, 'NONE', false],
    [{ license: '' }, 'NONE', false],
    [{ license: 7 }, 'NONE', false],
    [{ license: {} }, 'NONE', false],
    [{ license: { type: 7 } }, 'NONE', false],
    [{ licenses: [] }, 'NONE', false],
    [{ licenses: 'MIT' }, 'MIT', true],
  ])('field: reads %j as %s', (fields, licence, legacy) => {
    expect(declaredLicence(manifest(fields))).toEqual({ licence, legacy })
  })
})

describe('licence expression', () => {
  test.each([
    ['MIT', ['MIT']],
    ['(MIT OR Apache-2.0)', ['MIT', 'Apache-2.0']],
    ['(MIT AND (ISC OR 0BSD)) OR GPL-2.0+', ['MIT', 'ISC', '0BSD', 'GPL-2.0+']],
    ['Apache-2.0 WITH LLVM-exception', ['Apache-2.0']],
    ['LicenseRef-Own', ['LicenseRef-Own']],
  ])('expression: names its licences when it is %s', (text, ids) => {
    expect(licencesOf(text)).toEqual(ids)
  })

  test.each([
    '',
    'mit licence',
    'SEE LICENSE IN LICENSE.md',
    'MIT/Apache-2.0',
    'MIT, ISC',
    'MIT OR',
    'OR MIT',
    '(MIT',
    'MIT)',
    '()',
    'Apache 2.0',
    'MIT WITH',
    'MIT or ISC',
    `(${'('.repeat(600)}MIT`,
  ])('expression: is refused when it is %j', (text) => {
    expect(licencesOf(text)).toBeUndefined()
  })
})

describe('licence note', () => {
  test.each([
    ['MIT', false, 'MIT', 'ok'],
    ['MIT', false, null, 'ok'],
    ['(MIT OR Apache-2.0)', false, 'Apache-2.0', 'ok'],
    ['GPL-3.0-or-later', false, 'GPL-3.0', 'ok'],
    ['UNLICENSED', false, null, 'ok'],
    ['NONE', false, 'MIT', 'missing'],
    ['MIT', true, 'MIT', 'odd'],
    ['Apache 2.0', false, 'Apache-2.0', 'odd'],
    ['MIT', false, 'Apache-2.0', 'differs'],
    ['UNLICENSED', false, 'MIT', 'differs'],
  ] as const)('note: %s (old form: %s) beside a file of %s is %s', (licence, legacy, text, note) => {
    expect(licenceNote({ licence, legacy }, text)).toBe(note)
  })
})

describe('install scripts', () => {
  test('scripts: are those that run on the installing machine', () => {
    const scripts = { postinstall: 'node x', preinstall: 'a', install: '', test: 'vitest', build: 'tsc' }
    expect(installScripts(manifest({ scripts }))).toEqual(['preinstall', 'postinstall'])
  })
  test.each([undefined, null, 'node x', { postinstall: 7 }, []])(
    'scripts: are none when the field is %j',
    (scripts) => {
      expect(installScripts(manifest({ scripts }))).toEqual([])
    },
  )
})

describe('licence text', () => {
  const grant = 'Permission is hereby granted, free of charge, to any person obtaining a copy\nof this software'
  const bsd = 'Redistribution and use in source and binary forms … Redistributions in binary form must reproduce'
  const isc =
    'Permission to use, copy, modify, and/or distribute this software for any\npurpose with or without fee is hereby granted'
  test.each([
    ['MIT', `The MIT License\n\n${grant} …\nThe above copyright notice and this permission notice shall be included`],
    ['MIT', `# MIT\n> ${grant}\n> **The above copyright notice** and this permission notice`],
    ['MIT-0', `${grant} without restriction`],
    ['ISC', `${isc}, provided that the above copyright notice and this`],
    ['0BSD', `${isc}.`],
    ['Apache-2.0', '                 Apache License\n           Version 2.0, January 2004'],
    ['BSD-2-Clause', bsd],
    ['BSD-3-Clause', `${bsd} … Neither the name … may be used to endorse or promote products derived`],
    ['BSD-4-Clause', `${bsd} … All advertising materials mentioning features … endorse or promote products`],
    ['MPL-2.0', 'Mozilla Public License Version 2.0\n====='],
    ['CC0-1.0', 'Creative Commons Legal Code\n\nCC0 1.0 Universal'],
    ['Unlicense', 'This is free and unencumbered software released into the public domain.'],
    ['BlueOak-1.0.0', '# Blue Oak Model License\n\nVersion 1.0.0'],
    ['GPL-3.0', 'GNU GENERAL PUBLIC LICENSE\n   Version 3, 29 June 2007'],
    ['LGPL-3.0', 'GNU LESSER GENERAL PUBLIC LICENSE\n Version 3'],
    [
      'Zlib',
      "This software is provided 'as-is', without any express or implied warranty. … must not be misrepresented",
    ],
  ])('text: is %s by the phrases that it must keep', (id, text) => {
    expect(recogniseLicence(text)).toBe(id)
  })

  test('text: is the licence that begins first when the file holds several', () => {
    const own = `${grant} … the above copyright notice and this permission notice`
    expect(recogniseLicence(`${own}\n---\nApache License\nVersion 2.0, January 2004`)).toBe('MIT')
    expect(recogniseLicence(`Apache License\nVersion 2.0, January 2004\n---\n${own}`)).toBe('Apache-2.0')
  })

  test.each(['', 'All rights reserved.', 'Licensed under MIT', 'Apache License', 'Permission to use'])(
    'text: is nobody’s when it only says %j',
    (text) => {
      expect(recogniseLicence(text)).toBeNull()
    },
  )
})
