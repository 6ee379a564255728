// starter.cjs — the first thing that runs, on any Node >= 18: installs what is missing, finds Node >= 24.12, hands over.
//
// CommonJS and the syntax of Node 18 on purpose; it may use nothing that npm has to install first.
// Order: packages (npm ci, install scripts off) → a Node that runs TypeScript → `cli/main.ts`, vitest, bench or proof.
'use strict'

const { spawn, spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')

const ROOT = path.resolve(__dirname, '..')
const NODE_MIN = [24, 12]
/** What of npm's settings says where packages come from; a test that installs needs it. The rest is noise of `npm start`. */
const NPM_KEPT =
  /^npm_config_(@.*|.*registry|cache|userconfig|globalconfig|proxy|https_proxy|https-proxy|noproxy|cafile|ca|strict_ssl)$/i

function main(argv) {
  ensurePackages()
  const node = findNode()
  const [command, ...rest] = argv
  if (command === 'test') return run(node, [path.join(ROOT, 'node_modules', 'vitest', 'vitest.mjs'), 'run', ...rest])
  if (command === 'bench') return run(node, [path.join(ROOT, 'bench', 'main.ts'), ...rest])
  if (command === 'proof') return run(node, [path.join(ROOT, 'test', 'proof', 'main.ts'), ...rest])
  if (command === 'lint') return run(biome(), rest)
  return run(node, [path.join(ROOT, 'cli', 'main.ts'), ...argv], { ipc: true })
}

/** Installs when node_modules is missing, or holds something else than the lockfile wants, or not our Node. */
function ensurePackages() {
  const installed = path.join(ROOT, 'node_modules', '.package-lock.json')
  const wanted = path.join(ROOT, 'package-lock.json')
  if (fs.existsSync(installed) && haveNode() && (notOlder(installed, wanted) || sameContent(installed, wanted))) return
  process.stderr.write('fairlead: installing packages (once) …\n')
  if (npm('ci').status === 0) return
  // `npm ci` also refuses a good lockfile when the registry at hand lacks a package of another platform (a mirror).
  // `npm install --no-save` takes the versions of the lockfile as well and leaves it as it is.
  const second = npm('install', '--no-save')
  if (second.status === 0) return
  process.stderr.write(second.stderr || '')
  const why = second.error ? second.error.message : `npm install ended with ${second.status}`
  fail(`could not install the packages (${why}). Check the network and run \`npm ci\` yourself to see more.`)
}

/** Whatever the user's npm is set to: no install scripts, and everything that the lockfile names. */
function npm(...command) {
  const flags = ['--ignore-scripts', '--include=dev', '--include=optional', '--engine-strict=false']
  return spawnSync(
    process.platform === 'win32' ? 'npm.cmd' : 'npm',
    [...command, ...flags, '--no-audit', '--no-fund', '--loglevel=error'],
    { cwd: ROOT, stdio: ['ignore', 2, 'pipe'], encoding: 'utf8', shell: process.platform === 'win32' },
  )
}

const notOlder = (file, than) => fs.statSync(file).mtimeMs >= fs.statSync(than).mtimeMs - 1000

/** npm leaves out of the hidden lockfile what this platform does not take; compare what it has. */
function sameContent(installed, wanted) {
  try {
    const have = JSON.parse(fs.readFileSync(installed, 'utf8')).packages
    const want = JSON.parse(fs.readFileSync(wanted, 'utf8')).packages
    return Object.keys(want).every(
      (name) => name === '' || want[name].optional || (have[name] && have[name].version === want[name].version),
    )
  } catch (error) {
    process.stderr.write(`fairlead: cannot read the lockfiles (${error.message}), installing again\n`)
    return false
  }
}

/** Our own Node, or the one that came as a package; none on a platform that has no such package. */
function haveNode() {
  return newEnough(process.versions.node) || packagedNode() === undefined || fs.existsSync(packagedNode())
}

function packagedNode() {
  const platform = { linux: 'linux', win32: 'win' }[process.platform]
  const name = `node-${platform}-${process.arch}`
  const { optionalDependencies } = JSON.parse(fs.readFileSync(path.join(ROOT, 'package.json'), 'utf8'))
  if (!optionalDependencies[name]) return undefined
  return path.join(ROOT, 'node_modules', name, 'bin', process.platform === 'win32' ? 'node.exe' : 'node')
}

function findNode() {
  if (newEnough(process.versions.node)) return process.execPath
  const binary = packagedNode()
  if (binary !== undefined && fs.existsSync(binary)) return binary
  const here = `${process.platform}-${process.arch}`
  return fail(
    `this is Node ${process.versions.node}, Fairlead needs ${NODE_MIN.join('.')} or newer and has no binary for ${here}. ` +
      'Install Node 24 (https://nodejs.org) and try again.',
  )
}

/** The linter's binary comes from its platform package; its main package wants platforms that not every registry has. */
function biome() {
  const file = path.join(ROOT, 'node_modules', '@biomejs', `cli-${process.platform}-${process.arch}`, 'biome')
  return fs.existsSync(file) ? file : fail(`there is no linter for ${process.platform}-${process.arch} here`)
}

function newEnough(version) {
  const [major, minor] = version.split('.').map(Number)
  return major > NODE_MIN[0] || (major === NODE_MIN[0] && minor >= NODE_MIN[1])
}

/** The environment without what `npm start` put into it; the Node that we found comes first in PATH. */
function environment(node) {
  const kept = Object.entries(process.env).filter(
    ([name]) => (!/^npm_/i.test(name) && name !== 'INIT_CWD') || NPM_KEPT.test(name),
  )
  // Compiled code is kept between starts; it halves the time to the first line.
  const env = Object.assign(
    { NODE_COMPILE_CACHE: path.join(ROOT, 'node_modules', '.cache', 'fairlead') },
    Object.fromEntries(kept),
  )
  const pathName = Object.keys(env).find((name) => name.toUpperCase() === 'PATH') || 'PATH'
  env[pathName] = path.dirname(node) + path.delimiter + (env[pathName] || '')
  return env
}

/**
 * The child gets the terminal; we end as it ended. With `ipc` it learns by the end of the channel that we died. Every
 * signal is passed on: the child takes a Ctrl-C that reaches it twice (by the terminal and by us) for one.
 */
function run(node, args, options) {
  const stdio = ['inherit', 'inherit', 'inherit']
  if (options?.ipc) stdio.push('ipc')
  const child = spawn(node, args, { cwd: process.cwd(), stdio, env: environment(node) })
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP']
  const passOn = (signal) => {
    // vitest takes a second Ctrl-C for impatience, and the terminal has given it the first one already.
    const twice = signal === 'SIGINT' && stdio.length === 3 && process.stdin.isTTY
    if (!twice) child.kill(signal)
  }
  for (const signal of signals) process.on(signal, passOn)
  child.on('error', (error) => fail(`could not start ${node}: ${error.message}. Install Node 24 and try again.`))
  child.on('exit', (code, signal) => {
    for (const name of signals) process.off(name, passOn)
    if (signal) process.kill(process.pid, signal)
    else process.exit(code === null ? 1 : code)
  })
}

function fail(message) {
  process.stderr.write(`fairlead: ${message}\n`)
  process.exit(1)
}

main(process.argv.slice(2))
