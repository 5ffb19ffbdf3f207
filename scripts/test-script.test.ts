/** `scripts/test` itself, with stand-ins for npm and tap: whatever happens, its last line tells how it ended. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, copyFileSync, existsSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t, { type Test } from 'tap'
import { testFolder } from '../daemon/testing/folder.ts'
import { until } from '../daemon/testing/until.ts'

/** What the script and `lib.sh` call, besides what they install. */
const TOOLS = 'bash cat cmp cp dirname env grep head id mktemp rm sed sleep tail touch'.split(' ')
/** What `need_apt` looks for. */
const WANTED =
  'make g++ python3 mosquitto mosquitto_pub socat strace faketime openssl chromium ip systemd-notify systemd-analyze nft dnsmasq hostapd udhcpc tc setpriv busybox curl'
const GREEN = '# { total: 7, pass: 6, skip: 1 }'

interface Programs {
  npm?: string
  npx?: string
  /** Commands that are not there. */
  missing?: string[]
}

/** A copy of the script on a machine of its own; the programs are shell. */
function machine(t: Test, { npm = '', npx = `echo '${GREEN}'`, missing = [] }: Programs) {
  const dir = testFolder(t, { bin: {}, scripts: {}, node_modules: { '.shopwire-lock': 'old' }, 'package-lock.json': 'new' })
  const bin = join(dir, 'bin')
  for (const file of ['test', 'lib.sh']) copyFileSync(resolve(import.meta.dirname, file), join(dir, 'scripts', file))
  for (const tool of TOOLS) {
    const at = ['/usr/bin', '/bin'].map((folder) => join(folder, tool)).find((path) => existsSync(path))
    if (at) symlinkSync(at, join(bin, tool))
  }
  const programs = { npm, npx, node: '', ...Object.fromEntries(WANTED.split(' ').map((name) => [name, ''])) }
  for (const [name, lines] of Object.entries(programs)) {
    if (missing.includes(name)) continue
    writeFileSync(join(bin, name), `#!${bin}/bash\n${lines}\n`)
    chmodSync(join(bin, name), 0o755)
  }
  const child = spawn(join(bin, 'bash'), [join(dir, 'scripts/test')], {
    env: { PATH: bin, TMPDIR: dir },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (chunk: string) => (output += chunk))
  const end = once(child, 'close').then(([code]) => ({ code: code as number | null, last: output.trimEnd().split('\n').at(-1), output }))
  return { dir, child, end }
}

t.test('green, red, and a runner that says nothing or contradicts itself', async (t) => {
  t.match(await machine(t, {}).end, { code: 0, last: '6 passed, 0 failed, 1 skipped' })
  t.match(await machine(t, { npx: "echo 'not ok 3 - x'; echo '# { total: 7, pass: 5, fail: 2 }'; exit 1" }).end, {
    code: 1,
    last: '5 passed, 2 failed, 0 skipped',
    output: /not ok 3 - x/,
  })
  t.match(await machine(t, { npx: 'kill -9 $$' }).end, { code: 1, last: '0 passed, 1 failed, 0 skipped' })
  t.match(await machine(t, { npx: 'exit 0' }).end, { code: 1, last: '0 passed, 1 failed, 0 skipped' })
  t.match(await machine(t, { npx: `echo '${GREEN}'; exit 1` }).end, { code: 1, last: '6 passed, 1 failed, 1 skipped' })
})

t.test('what cannot be installed, built or checked is one failure, and the tests are not run', async (t) => {
  const npx = 'touch ran'
  for (const [what, programs] of Object.entries<Programs>({
    'apt-get is not here': { missing: ['socat'] },
    'npm ci fails': { npm: '[ "$1" != ci ] || exit 4' },
    'the build fails': { npm: '[ "$*" != "run --silent build" ]' },
    'a check fails': { npm: '[ "$*" != "run --silent check" ]' },
  })) {
    const { dir, end } = machine(t, { ...programs, npx })
    const { code, last } = await end
    t.ok(code !== 0, what)
    t.equal(last, '0 passed, 1 failed, 0 skipped', what)
    t.notOk(existsSync(join(dir, 'ran')), what)
  }
})

t.test('a run that is stopped half way ends what it started, and is no pass', async (t) => {
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    const npx = `echo '${GREEN}'; trap 'touch ended; exit 1' TERM; touch begun; while :; do sleep 0.1; done`
    const { dir, child, end } = machine(t, { npx })
    await until(() => existsSync(join(dir, 'begun')), 'the tests to begin')
    child.kill(signal)
    const { code, last } = await end
    t.ok(code !== null && code > 128, signal)
    t.equal(last, '0 passed, 1 failed, 0 skipped', signal)
    await until(() => existsSync(join(dir, 'ended')), 'the runner to be ended')
    t.same(
      readdirSync(dir).filter((name) => name.startsWith('tmp.')),
      [],
      'nothing is left behind',
    )
  }
})
