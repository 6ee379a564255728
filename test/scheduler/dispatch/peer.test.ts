// The identity of a caller, as our own sidecar writes it.

import { expect, test } from 'vitest'
import { parsePeer } from '../../../scheduler/dispatch/peer.ts'

const id = 'spiffe://fairlead.local/ns/default/sa/worker'

test.each([
  [`URI=${id}`],
  [`By=spiffe://fairlead.local/ns/default/sa/scheduler;Hash=ab12;Subject="";URI=${id}`],
  [`By=x;Subject="CN=a;URI=spiffe://evil/ns/x/sa/y,O=b";URI=${id}`],
  [`URI=spiffe://fairlead.local/ns/other/sa/first,By=x;URI=${id}`],
  [`URI="${id}"`],
])('peer: %s is the worker', (header) => {
  expect(parsePeer(header)).toEqual({ namespace: 'default', service: 'worker' })
})

test.each([
  [undefined, 'UNAUTHENTICATED'],
  ['', 'UNAUTHENTICATED'],
  [[`URI=${id}`, `URI=${id}`], 'UNAUTHENTICATED'],
  ['By=spiffe://fairlead.local/ns/default/sa/worker', 'FORBIDDEN'],
  [`URI=${id};URI=${id}`, 'FORBIDDEN'],
  [`URI=${id},`, 'FORBIDDEN'],
  [`URI=${id},By=x`, 'FORBIDDEN'],
  ['URI=https://fairlead.local/ns/default/sa/worker', 'FORBIDDEN'],
  ['URI=spiffe://fairlead.local/ns/default/sa/worker/extra', 'FORBIDDEN'],
  ['URI=spiffe://fairlead.local/sa/worker', 'FORBIDDEN'],
  ['URI=spiffe://fairlead.local/ns/default/sa/', 'FORBIDDEN'],
  ['URI=spiffe://fairlead.local/ns/default/sa/Worker', 'FORBIDDEN'],
  [`Subject="URI=${id}"`, 'FORBIDDEN'],
])('peer: %j is refused', (header, code) => {
  expect(() => parsePeer(header)).toThrow(expect.objectContaining({ code }))
})
