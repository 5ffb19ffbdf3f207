import type { Status } from '../http/api.ts'
import type { LinkView } from '../shop.ts'
import { DaemonClient, socketOf } from './client.ts'
import { age, type CliCommand, type Io, paint, parse, stateMark, table } from './io.ts'

/** `shopwire status`: verdict, then devices, links, backlog and version. Exit 0 all well, 1 degraded (2 and 3 are usage and unreachable). */
export const status: CliCommand = async (args, io) => {
  const { values } = parse({ args, options: { config: { type: 'string' }, json: { type: 'boolean' } } })
  const answer = await new DaemonClient(socketOf(values.config, io)).get<Status>('/api/v1/status')
  if (values.json) io.out(JSON.stringify(answer))
  else for (const line of lines(answer, io)) io.out(line)
  return answer.health.ok && answer.health.problems.length === 0 ? 0 : 1
}

function lines(answer: Status, io: Io): string[] {
  const now = Date.parse(answer.at)
  const { problems, ok } = answer.health
  const verdict =
    problems.length === 0 && ok
      ? paint(io, 'blue', '● All working')
      : paint(io, 'yellow', `▲ ${problems.length === 1 ? '1 thing needs' : `${problems.length} things need`} attention`)
  const rows = [
    ...answer.devices.map((one) => [
      `${one.plugin}/${one.device}`,
      one.state,
      one.detail ?? '',
      `for ${age(one.since, now)}`,
      one.lastEvent ? `last event ${age(one.lastEvent, now)} ago` : '',
    ]),
    ...answer.plugins
      .filter((one) => one.status !== 'running')
      .map((one) => [`plugin ${one.name}`, one.status, one.reason ?? '', `for ${age(one.since, now)}`, '']),
    ...answer.links.map((one) => [linkName(one), one.state, one.detail, `for ${age(one.since, now)}`, waiting(one, now)]),
  ]
  return [
    `${verdict}  ${answer.gateway.id}${answer.gateway.store ? ` (store ${answer.gateway.store})` : ''}, shopwire ${answer.gateway.version}, up ${age(new Date(now - answer.uptimeSeconds * 1000).toISOString(), now)}`,
    ...problems.map((one) => `  ${one.what}${one.since ? `, since ${age(one.since, now)}` : ''}${one.fix ? `. ${one.fix}` : ''}`),
    ...table(rows).map((line, at) => line.replace(rows[at]?.[1] ?? '', (word) => stateMark(io, word))),
    `journal  ${answer.journal.head} events, ${(answer.journal.bytes / 2 ** 20).toFixed(1)} MB`,
  ]
}

const linkName = (link: LinkView): string => (link.name === 'hq' ? 'HQ' : 'LAN broker')

function waiting(link: LinkView, now: number): string {
  if (link.backlog === undefined) return ''
  if (link.backlog === 0) return 'nothing waiting'
  return `${link.backlog} waiting${link.oldest ? `, oldest ${age(link.oldest, now)}` : ''}`
}
