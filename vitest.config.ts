import { defineConfig } from 'vitest/config'

// Tests run under the same Node that runs the product; each file is a process of its own (real sockets, real children).
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 20_000,
    hookTimeout: 30_000,
    reporters: ['default'],
  },
})
