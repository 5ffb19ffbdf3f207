/** What a plugin leaves behind in the daemon when it is reloaded over and over. */
import { readdirSync, readFileSync } from 'node:fs'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Test } from 'tap'
import { PluginLab } from './plugin-lab.ts'

const handles = (): number => readdirSync('/proc/self/fd').length
const children = (): number =>
  readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8')
    .split(' ')
    .filter((one) => one !== '').length

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** Bytes of the heap after whatever can be collected was. */
function memory(): number {
  collect()
  collect()
  return process.memoryUsage().heapUsed
}

/** Bytes a reload may leave behind: what the journal of the test itself and its log keep of each. */
const EACH = 24 * 1024

export async function reloadMany(t: Test, times: number): Promise<void> {
  const lab = await PluginLab.start({ plugins: ['lab'], limits: { watch: { pollMs: 600_000 } } })
  t.teardown(() => lab.stop())
  const once = async (n: number): Promise<void> => {
    const { sequences } = await lab.lab('emit', { count: 5, from: n * 5 })
    t.equal((sequences as number[]).length, 5)
    // Emitted and not waited for: what is under way when the reload begins is stored, too.
    await lab.lab('emit', { count: 5, from: 1_000_000 + n * 5, await: false })
    if (n % 3 === 0) lab.drop('lab', 'lab', (text, file) => (file === 'plugin.json' ? text : text.replaceAll('1.0.0', `1.0.${n}`)))
    await lab.plugins.reload('lab')
  }
  const warm = Math.min(10, times)
  for (let n = 0; n < warm; n++) await once(n)
  const before = { handles: handles(), children: children(), memory: memory() }
  for (let n = warm; n < times; n++) await once(n)
  await lab.lab('info')
  await lab.until(() => children() <= before.children, 'no process is left over')
  await lab.until(() => handles() <= before.handles + 2, 'no handle is left over')
  const grown = memory() - before.memory
  t.ok(grown < 8 * 1024 * 1024 + (times - warm) * EACH, `memory grew by ${Math.round(grown / 1024)} KiB`)
  t.comment(`${times} reloads: ${handles() - before.handles} handles, ${Math.round(grown / 1024 / Math.max(1, times - warm))} KiB each`)
  const numbers = lab.events('lab.measured').map((one) => Number(one.data.n))
  t.equal(numbers.filter((n) => n < 1_000_000).length, times * 5, 'everything acknowledged is there')
  t.equal(numbers.filter((n) => n >= 1_000_000).length, times * 5, 'and what was under way, each once')
}
