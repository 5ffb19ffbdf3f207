import { resolve } from 'node:path'
import type { PluginView } from '../shop.ts'
import { DaemonClient, socketOf } from './client.ts'
import { age, type CliCommand, parse, table, UsageError } from './io.ts'

const USAGE = 'shopwire plugin list | load DIR | unload NAME | reload NAME'

/** `shopwire plugin …`: hot control of plugins on the running daemon. */
export const plugin: CliCommand = async (args, io) => {
  const { values, positionals } = parse({
    args,
    allowPositionals: true,
    options: { config: { type: 'string' }, json: { type: 'boolean' } },
  })
  const [action, target, ...rest] = positionals
  if (rest.length > 0 || (action !== 'list') === (target === undefined)) throw new UsageError(USAGE)
  const client = new DaemonClient(socketOf(values.config, io))
  const done = (answer: unknown, line: string) => {
    io.out(values.json ? JSON.stringify(answer) : line)
    return 0
  }
  switch (action) {
    case 'list': {
      const plugins = await client.get<PluginView[]>('/api/v1/plugins')
      if (values.json) return done(plugins, '')
      const rows = plugins.map((one) => [
        one.name,
        one.version,
        one.status,
        `for ${age(one.since, Date.now())}`,
        `${one.restarts} restarts`,
        one.reason ?? '',
      ])
      for (const line of table(rows)) io.out(line)
      if (rows.length === 0) io.out('no plugins: none is named under "plugins:" in the config')
      return 0
    }
    case 'load':
      return done(await client.call('POST', '/api/v1/plugins/load', { dir: resolve(target ?? '') }), `loaded ${target}`)
    case 'unload':
      return done(await client.call('DELETE', `/api/v1/plugins/${encodeURIComponent(target ?? '')}`), `unloaded ${target}`)
    case 'reload':
      return done(await client.call('POST', `/api/v1/plugins/${encodeURIComponent(target ?? '')}/reload`, {}), `reloaded ${target}`)
    default:
      throw new UsageError(USAGE)
  }
}
