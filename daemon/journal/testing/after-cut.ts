/** Looks at a journal after a crash: is everything there that was promised, and is the rest whole? */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Connection } from '../connection.ts'
import { dataOf, openIn } from './support.ts'

/** What is wrong, empty when all is well. */
export async function inspect(dir: string, acknowledged: readonly number[], refused: readonly number[] = []): Promise<string[]> {
  const wrong: string[] = []
  const journal = await openIn(dir, { tuning: { synchronous: 'OFF' } })
  try {
    const events = await journal.read(0, { events: 1_000_000 })
    const seen = new Map<number, number>()
    const whole = new Map<number, number>()
    events.forEach((event, index) => {
      if (event.sequence !== index + 1) wrong.push(`sequence ${event.sequence} at place ${index + 1}`)
      const { commit, index: place, of } = dataOf(event) as { commit?: number; index?: number; of?: number }
      if (commit === undefined) wrong.push(`a ${event.type} event`)
      else if ((seen.get(commit) ?? 0) !== place) wrong.push(`commit ${commit} has index ${place} out of order`)
      else seen.set(commit, (seen.get(commit) ?? 0) + 1)
      if (commit !== undefined && of !== undefined) whole.set(commit, of)
    })
    for (const [commit, count] of seen) if (count !== whole.get(commit)) wrong.push(`commit ${commit} is not whole`)
    for (const commit of acknowledged) if (!seen.has(commit)) wrong.push(`commit ${commit} was acknowledged and is lost`)
    for (const commit of refused) if (seen.has(commit)) wrong.push(`commit ${commit} was refused and is there`)
    const last = Math.max(0, ...seen.keys())
    const key = (await journal.space('plugin:test').get('last')) ?? 0
    if (key !== last) wrong.push(`the key says ${String(key)} where the events say ${last}`)
    const chain = await journal.verify()
    if (chain.broken !== undefined || chain.checked !== events.length) wrong.push(`the chain breaks at ${chain.broken}`)
    if (acknowledged.length > 0 && readdirSync(dir).some((name) => name.includes('corrupt'))) wrong.push('the file was taken for damaged')
  } finally {
    await journal.close()
  }
  const connection = await Connection.open(join(dir, 'journal.db'))
  const answer = await connection.value('PRAGMA integrity_check')
  await connection.close()
  if (answer !== 'ok') wrong.push(`integrity: ${String(answer)}`)
  return wrong
}
