import { createServer } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { systemClock } from '../../../kernel/clock.ts'
import { silentLog } from '../../../kernel/log.ts'
import { AppHealth, type AppState } from '../../../proxy/control/app-health.ts'
import { until } from '../../support/until.ts'

function watch(port: number, path = '/readyz') {
  const seen: AppState[] = []
  const health = new AppHealth({
    // Asks 20 times as often.
    clock: { ...systemClock, every: (ms, run) => systemClock.every(ms / 20, run) },
    log: silentLog,
    host: '127.0.0.1',
    port,
    path,
    onChange: (state) => seen.push(state),
  })
  onTestFinished(() => health.close())
  health.start()
  return { health, seen }
}

async function startApp() {
  const app = { status: 200, hang: false, asked: 0 }
  const server = createServer((_request, response) => {
    app.asked++
    if (!app.hang) response.writeHead(app.status).end('ok')
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', () => done()))
  const close = (): Promise<void> => {
    server.closeAllConnections()
    return new Promise((done) => server.close(() => done()))
  }
  onTestFinished(close)
  return { app, close, port: (server.address() as AddressInfo).port }
}

test('app health: follows what the app says', async () => {
  const { app, port } = await startApp()
  const { seen } = watch(port)
  await until(() => seen.at(-1) === 'passing')
  app.status = 503
  await until(() => seen.at(-1) === 'draining')
  app.status = 500
  await until(() => seen.at(-1) === 'failing')
  app.status = 204
  await until(() => seen.at(-1) === 'passing')
  expect(seen).toEqual(['passing', 'draining', 'failing', 'passing'])
})

test.each([301, 404, 401])('app health: counts %i as failing', async (status) => {
  const { app, port } = await startApp()
  app.status = status
  const { health } = watch(port)
  await until(() => health.state === 'failing')
})

test('app health: counts an app that hangs as failing, with one question at a time', async () => {
  const { app, port } = await startApp()
  const { health } = watch(port)
  await until(() => health.state === 'passing')
  app.hang = true
  const before = app.asked
  await until(() => health.state === 'failing', 10_000)
  expect(app.asked - before).toBeLessThanOrEqual(3)
})

test('app health: notices that the app left and came back', async () => {
  const { port, close } = await startApp()
  const { health } = watch(port)
  await until(() => health.state === 'passing')
  await close()
  await until(() => health.state === 'failing')
})

test('app health: without a path asks only whether the port accepts', async () => {
  const server = createTcpServer((socket) => void socket.destroy())
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', () => done()))
  const { health } = watch((server.address() as AddressInfo).port, '')
  await until(() => health.state === 'passing')
  await new Promise<void>((done) => server.close(() => done()))
  await until(() => health.state === 'failing')
})
