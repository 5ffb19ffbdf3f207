import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { systemClock } from '../clock.ts'
import { openJournal } from '../journal/journal.ts'
import { createLog } from '../log.ts'
import { bundleScript } from '../testing/bundle.ts'
import { programFolder, testFolder } from '../testing/folder.ts'
import { createDispatch } from './dispatch.ts'

const KILLS = 6
const PROGRAM = fileURLToPath(new URL('testing/printing-gateway.ts', import.meta.url))

interface Answer {
  id: string
  device: string
  command: string
  status: string
}

/** Lets it answer some commands, kills it in the middle of the jammed one and, mostly, of others. */
function runAndKill(program: string, file: string, paper: string, round: number): Promise<Answer[]> {
  const child: ChildProcess = spawn(process.execPath, [program, file, paper, `r${round}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const enough = 20 + round * 7
  let text = ''
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
      if (text.split('\n').length > enough) child.kill('SIGKILL')
    })
    child.once('close', (_code, signal) => {
      if (signal !== 'SIGKILL') return reject(new Error(`the gateway ended by itself: ${signal}`))
      const whole = text.slice(0, text.lastIndexOf('\n')).split('\n')
      resolve(whole.map((line) => JSON.parse(line) as Answer))
    })
  })
}

t.test('kill -9 in the middle of printing, again and again: no receipt twice, every command ends once, answers stand', async (t) => {
  const dir = testFolder(t)
  const file = join(dir, 'journal.sqlite')
  const paper = join(dir, 'paper')
  const program = bundleScript(PROGRAM, join(programFolder(t), 'printing-gateway.mjs'))
  const answers: Answer[] = []
  for (let round = 0; round < KILLS; round++) answers.push(...(await runAndKill(program, file, paper, round)))

  const log = createLog({ level: 'error', clock: systemClock, write: () => {} })
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
  t.teardown(() => journal.close())
  const describe = () => ({ args: { type: 'object' } })
  const dispatch = await createDispatch({
    journal,
    target: { describe, run: async () => 'again' },
    clock: systemClock,
    clockState: () => 'synced',
    log,
  })
  await dispatch.resume()

  const printed = new Map<string, number>()
  for (const line of readFileSync(paper, 'utf8').trim().split('\n')) {
    const id = line.split(' ')[1] ?? ''
    printed.set(id, (printed.get(id) ?? 0) + 1)
  }
  for (const { id, device, command, status } of answers) {
    const again = await dispatch.submit({ id, plugin: 'printer', device, command, from: 'lan' })
    if (again.status !== status || again.result !== id || !printed.has(id)) t.fail(`${id} was answered ${status}, now ${again.status}`)
  }
  for (let round = 0; round < KILLS; round++) {
    const id = `r${round}-jammed`
    const again = await dispatch.submit({ id, plugin: 'printer', device: 'jammed', command: 'print', from: 'lan' })
    t.match(
      again,
      { status: 'unknown', error: { code: 'command-interrupted' } },
      `${id} was cut off: nobody knows, and it is not run again`,
    )
    t.equal(printed.get(id), 1)
  }
  await dispatch.stop()

  const kinds = new Map<string, { target: string; events: string[] }>()
  for (let after = 0; ; ) {
    const events = await journal.read(after, { events: 500 })
    if (events.length === 0) break
    for (const { event, plugin, text, sequence } of events) {
      after = sequence
      if (plugin !== 'command') continue
      const { command, target } = (JSON.parse(text) as { data: { command: string; target: string } }).data
      const one = kinds.get(command) ?? { target, events: [] }
      one.events.push(event)
      kinds.set(command, one)
    }
  }
  for (const [id, { events }] of kinds) if (events.join() !== 'accepted,finished') t.fail(`${id} was journaled as ${events.join()}`)
  for (const [id, times] of printed) {
    if (!kinds.has(id)) t.fail(`${id} was printed and never journaled`)
    if (times > 1 && !kinds.get(id)?.target.endsWith('/status')) t.fail(`${id} was printed ${times} times`)
  }
  t.ok(answers.length >= KILLS * 20, `${answers.length} answers, ${kinds.size} commands, ${KILLS} kills`)
  const unanswered = [...kinds.keys()].filter((id) => !answers.some((one) => one.id === id))
  t.ok(unanswered.length >= KILLS, `${unanswered.length} were cut off in the middle, ${KILLS} of them the jammed ones`)
})
