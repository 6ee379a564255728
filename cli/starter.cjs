// starter.cjs — the first thing that runs, on any Node >= 18: installs what is missing, finds Node >= 24.12, hands over.
//
// CommonJS and the syntax of Node 18 on purpose; it may use nothing that npm has to install first.
// Order: packages (npm ci, install scripts off) → a Node that runs TypeScript → `cli/main.ts` or vitest.
'use strict'

const { spawn, spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')

const ROOT = path.resolve(__dirname, '..')
const NODE_MIN = [24, 12]

function main(argv) {
  ensurePackages()
  const node = findNode()
  const command = argv[0]
  if (command === 'test') return run(node, [vitest(), 'run', ...argv.slice(1)])
  if (command === 'bench') return run(node, [path.join(ROOT, 'bench', 'main.ts'), ...argv.slice(1)])
  if (command === 'proof') return run(node, [path.join(ROOT, 'test', 'proof', 'main.ts'), ...argv.slice(1)])
  return run(node, [path.join(ROOT, 'cli', 'main.ts'), ...argv])
}

/** Installs when node_modules is missing or older than the lockfile. */
function ensurePackages() {
  const installed = path.join(ROOT, 'node_modules', '.package-lock.json')
  const wanted = path.join(ROOT, 'package-lock.json')
  if (fs.existsSync(installed) && fs.statSync(installed).mtimeMs >= fs.statSync(wanted).mtimeMs - 1000) return
  if (fs.existsSync(installed) && sameContent(installed, wanted)) return
  process.stderr.write('fairlead: installing packages (once) …\n')
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm'
  const result = spawnSync(npm, ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: ROOT,
    stdio: ['ignore', 2, 2],
    shell: process.platform === 'win32',
  })
  if (result.status === 0) return
  const why = result.error ? result.error.message : 'npm ci ended with ' + result.status
  fail('could not install the packages (' + why + '). Check the network and run `npm ci` yourself to see more.')
}

/** npm leaves out of the hidden lockfile what this platform does not take; compare what it has. */
function sameContent(installed, wanted) {
  try {
    const have = JSON.parse(fs.readFileSync(installed, 'utf8')).packages
    const want = JSON.parse(fs.readFileSync(wanted, 'utf8')).packages
    return Object.keys(want).every(
      (name) => name === '' || want[name].optional || (have[name] && have[name].version === want[name].version),
    )
  } catch (error) {
    process.stderr.write('fairlead: cannot read the lockfiles (' + error.message + '), installing again\n')
    return false
  }
}

function findNode() {
  if (newEnough(process.versions.node)) return process.execPath
  const platform = { linux: 'linux', win32: 'win' }[process.platform]
  const name = 'node-' + platform + '-' + process.arch
  const binary = path.join(ROOT, 'node_modules', name, 'bin', process.platform === 'win32' ? 'node.exe' : 'node')
  if (fs.existsSync(binary)) return binary
  return fail(
    'this is Node ' +
      process.versions.node +
      ', Fairlead needs ' +
      NODE_MIN.join('.') +
      ' or newer and has no binary for ' +
      process.platform +
      '-' +
      process.arch +
      '. Install Node 24 and try again.',
  )
}

function newEnough(version) {
  const [major, minor] = version.split('.').map(Number)
  return major > NODE_MIN[0] || (major === NODE_MIN[0] && minor >= NODE_MIN[1])
}

function vitest() {
  return path.join(ROOT, 'node_modules', 'vitest', 'vitest.mjs')
}

/** The child gets the terminal; signals that reach only us are passed on; we end as it ended. */
function run(node, args) {
  const env = Object.assign({}, process.env, {
    PATH: path.dirname(node) + path.delimiter + (process.env.PATH || ''),
    FAIRLEAD_NODE: node,
  })
  // `npm start` hands us npm_config_* and friends; children of ours must not inherit the caller's npm settings.
  const child = spawn(node, args, { cwd: process.cwd(), stdio: 'inherit', env })
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  // Ctrl-C reaches the whole foreground group: the child decides what it means, we wait for it.
  process.on('SIGINT', () => undefined)
  child.on('error', (error) => fail('could not start ' + node + ': ' + error.message))
  child.on('exit', (code, signal) => {
    if (signal) process.kill(process.pid, signal)
    else process.exit(code === null ? 1 : code)
  })
}

function fail(message) {
  process.stderr.write('fairlead: ' + message + '\n')
  process.exit(1)
}

main(process.argv.slice(2))
