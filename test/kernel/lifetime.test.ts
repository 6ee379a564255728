import { expect, test } from 'vitest'
import { Lifetime } from '../../kernel/lifetime.ts'

test('lifetime: closes in reverse order when closed', async () => {
  const order: string[] = []
  const life = new Lifetime()
  life.onClose(() => order.push('first'))
  life.own({ close: async () => void order.push('second') })
  await life.close()
  expect(order).toEqual(['second', 'first'])
})

test('lifetime: closes the rest when one part fails, and says so', async () => {
  const order: string[] = []
  const life = new Lifetime()
  life.onClose(() => order.push('first'))
  life.onClose(() => {
    throw new Error('stuck')
  })
  await expect(life.close()).rejects.toThrow('closing failed')
  expect(order).toEqual(['first'])
})

test('lifetime: closes once when closed twice, and a late part at once', async () => {
  let closed = 0
  const life = new Lifetime()
  life.onClose(() => closed++)
  await Promise.all([life.close(), life.close()])
  life.onClose(() => closed++)
  await Promise.resolve().then(() => undefined)
  expect(closed).toBe(2)
})
