import { spawn } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { PluginLab } from '../testing/plugin-lab.ts'

/** A process may go away between two looks at it: one look. */
function alive(pid: number): boolean {
  try {
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ')
  } catch {
    return false
  }
}

/** True once the process has used half a second of processor time more, in hundredths as Linux counts them. */
function busy(pid: number): () => boolean {
  const used = () => Number(readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ')[11])
  const before = used()
  return () => used() - before > 50
}

t.test('kill -9 of the daemon: its plugins end with it, a looping one when the next daemon starts', async (t) => {
  const lab = new PluginLab({ plugins: ['lab'] })
  t.teardown(() => lab.stop())
  const script = join(lab.root, 'daemon.ts')
  const url = (path: string) => JSON.stringify(fileURLToPath(new URL(path, import.meta.url)))
  writeFileSync(
    script,
    `import { createPlugins } from ${url('./plugins.ts')}
     import { systemClock } from ${url('../clock.ts')}
     import { createLog } from ${url('../log.ts')}
     import { Shop } from ${url('../shop.ts')}
     import { MemoryJournal } from ${url('../testing/memory-journal.ts')}
     const shop = new Shop()
     const plugins = createPlugins({ journal: new MemoryJournal(), shop, clock: systemClock,
       log: createLog({ level: 'error', clock: systemClock }), call: async () => null,
       gateway: () => ({ id: 'g-1', store: '', demo: false }), builtinDir: ${JSON.stringify(lab.builtinDir)},
       pluginDirs: [${JSON.stringify(lab.pluginDir)}], runner: { file: ${JSON.stringify(join(lab.root, 'plugin-runner.cjs'))} },
       stateDir: ${JSON.stringify(lab.stateDir)}, sections: {}, limits: { process: { pingMs: 600_000 } } })
     void plugins.start().then(async () => {
       while (shop.plugins()[0]?.status !== 'running') await systemClock.sleep(20)
       const run = (command, args) => plugins.run('lab', { id: 'c', device: '-', command, args, from: 'cli' }, AbortSignal.timeout(240_000))
       const { pid } = await run('info', {})
       if (process.argv[2] === 'loop') void run('crash', { how: 'loop' }).catch(() => {})
       console.log(pid)
     })`,
  )
  const once = async (mode: string): Promise<number> => {
    const daemon = spawn(process.execPath, ['--import=tsx', script, mode], { stdio: ['ignore', 'pipe', 'inherit'] })
    t.teardown(() => void daemon.kill('SIGKILL'))
    let said = ''
    daemon.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
    await lab.until(() => said.endsWith('\n'), 'the plugin to run')
    const pid = Number(said)
    if (mode === 'loop') await lab.until(busy(pid), 'the plugin to loop')
    t.ok(alive(pid))
    const gone = new Promise((resolve) => daemon.once('exit', resolve))
    daemon.kill('SIGKILL')
    await gone
    return pid
  }
  const quiet = await once('quiet')
  await lab.until(() => !alive(quiet), 'the plugin ends')
  const looping = await once('loop')
  await lab.until(busy(looping), 'it to loop on')
  t.ok(alive(looping), 'a loop hears nothing')
  await lab.plugins.start()
  await lab.until(() => !alive(looping), 'the next daemon ends it')
  await lab.until(() => lab.status('lab') === 'running', 'and runs its own')
  t.ok(readdirSync(lab.stateDir).length > 0)
})
