/**
 * A daemon of journal and dispatch alone, to be killed. `node printing-gateway.mjs JOURNAL PAPER PREFIX` prints each command as a
 * line on PAPER (written at once, as a printer would) and takes commands in endless number; one line each on stdout when it is
 * answered. Before the first of them a job begins on the device `jammed`, `PREFIX-jammed`, that never ends: whenever this
 * process is killed, something is cut off in the middle.
 */
import { appendFileSync } from 'node:fs'
import { systemClock } from '../../clock.ts'
import { openJournal } from '../../journal/journal.ts'
import { createLog } from '../../log.ts'
import { createDispatch } from '../dispatch.ts'

const [, , file = '', paper = '', prefix = ''] = process.argv
const log = createLog({ level: 'error', clock: systemClock, write: () => {} })

async function main(): Promise<void> {
  const journal = await openJournal({
    file,
    identity: () => ({ gateway: 'shop-001', store: '0001' }),
    clock: systemClock,
    clockState: () => 'synced',
    bootId: 'boot',
    maxAgeMs: 86_400_000,
    maxBytes: 2 ** 30,
    log,
  })
  const print = { args: { type: 'object' } }
  const status = { args: { type: 'object' }, repeatable: true }
  let jam = (): void => {}
  const jammed = new Promise<void>((resolve) => {
    jam = resolve
  })
  const dispatch = await createDispatch({
    journal,
    clock: systemClock,
    clockState: () => 'synced',
    log,
    target: {
      describe: (_plugin, _device, command) => (command === 'status' ? status : print),
      run: async (_plugin, { id, device }) => {
        appendFileSync(paper, `${device} ${id}\n`)
        if (device === 'jammed') {
          jam()
          await new Promise(() => {})
        }
        await systemClock.sleep(1)
        return id
      },
    },
  })
  await dispatch.resume()
  void dispatch.submit({ id: `${prefix}-jammed`, plugin: 'printer', device: 'jammed', command: 'print', from: 'lan' })
  await jammed
  let next = 0
  const till = async (device: string): Promise<void> => {
    for (;;) {
      const id = `${prefix}-${next++}`
      const command = next % 5 === 0 ? 'status' : 'print'
      const result = await dispatch.submit({ id, plugin: 'printer', device, command, from: 'lan' })
      process.stdout.write(`${JSON.stringify({ id, device, command, status: result.status })}\n`)
    }
  }
  await Promise.all(['a', 'b', 'c', 'd'].map(till))
}

main().catch((error: unknown) => {
  process.stderr.write(`${String(error)}\n`)
  process.exit(1)
})
