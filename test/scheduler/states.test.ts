// The state table: total, closed, and never a way out of what is final without a redrive.

import { expect, test } from 'vitest'
import { classOf } from '../../scheduler/classes.ts'
import { CLASS_PRIORITY, CLASSES } from '../../scheduler/contract.ts'
import { isTerminal, JOB_EVENTS, JOB_STATES, JOB_TABLE, next, TERMINAL_STATES } from '../../scheduler/states.ts'

test('states: every state has a row, every move leads to a state, every event is known', () => {
  expect(Object.keys(JOB_TABLE).sort()).toEqual([...JOB_STATES].sort())
  for (const state of JOB_STATES) {
    for (const [event, to] of Object.entries(JOB_TABLE[state])) {
      expect(JOB_EVENTS).toContain(event)
      expect(JOB_STATES).toContain(to)
    }
  }
})

test('states: next is total over states × events', () => {
  let moves = 0
  for (const state of JOB_STATES) {
    for (const event of JOB_EVENTS) {
      const to = next(state, event)
      if (to === undefined) continue
      moves++
      expect(JOB_STATES).toContain(to)
    }
  }
  expect(moves).toBe(Object.values(JOB_TABLE).flatMap((row) => Object.keys(row)).length)
})

test('states: a final state is left only by redrive, and succeeded and skipped never', () => {
  for (const state of TERMINAL_STATES) {
    for (const event of JOB_EVENTS) if (event !== 'redrive') expect(next(state, event)).toBeUndefined()
  }
  expect(next('succeeded', 'redrive')).toBeUndefined()
  expect(next('skipped', 'redrive')).toBeUndefined()
})

test('states: every open state can be cancelled, and every state is reachable', () => {
  for (const state of JOB_STATES) if (!isTerminal(state)) expect(next(state, 'cancel')).toBeDefined()
  const reached = new Set<string>(['blocked', 'deferred', 'ready'])
  for (let grew = true; grew; ) {
    const before = reached.size
    for (const state of [...reached]) for (const to of Object.values(JOB_TABLE[state as 'ready'])) reached.add(to)
    grew = reached.size > before
  }
  expect([...reached].sort()).toEqual([...JOB_STATES].sort())
})

test('classes: each class contains its own middle priority', () => {
  for (const name of CLASSES) expect(classOf(CLASS_PRIORITY[name])).toBe(name)
  expect([10, 9, 8, 7, 6, 5, 4, 3, 2, 1].map(classOf)).toEqual([
    ...Array(2).fill('critical'),
    ...Array(2).fill('high'),
    ...Array(3).fill('normal'),
    ...Array(3).fill('low'),
  ])
})
