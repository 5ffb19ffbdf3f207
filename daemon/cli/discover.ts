import type { Found } from '../discovery/api.ts'
import { DaemonClient, socketOf } from './client.ts'
import { type CliCommand, paint, parse } from './io.ts'

/** `shopwire discover`: what is plugged in or announced, what seems to drive it, and the lines to paste. */
export const discover: CliCommand = async (args, io) => {
  const { values } = parse({ args, options: { config: { type: 'string' }, json: { type: 'boolean' } } })
  const found = await new DaemonClient(socketOf(values.config, io)).get<Found[]>('/api/v1/discovery')
  if (values.json) {
    io.out(JSON.stringify(found))
    return 0
  }
  if (found.length === 0) io.out('Nothing found: no serial port, USB printer or scanner, and nothing announced on the network.')
  for (const one of found) {
    io.out(`${paint(io, 'bold', one.label)}  ${one.port}`)
    if (one.configuredAs !== undefined) io.out(`  in use as ${one.configuredAs}`)
    else if (one.plugin === undefined) io.out('  no plugin knows it')
    else {
      io.out(`  looks like a ${one.plugin} (${one.confidence ?? 0} % sure). To use it, put this into the config:`)
      for (const line of (one.snippet ?? '').trimEnd().split('\n')) io.out(`    ${line}`)
    }
  }
  return 0
}
