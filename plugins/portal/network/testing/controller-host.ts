/**
 * A controller in a process of its own, so that it can run inside a namespace and under another user. One JSON line a request on stdin,
 * one a result, event or log line on stdout. `node controller-host.ts '{"config":…,"ports":…,"stateDir":…}'`
 *
 * It also answers on the portal's port as a portal would: 302 to the page, which says `portal`.
 */

import { createServer } from 'node:http'
import { createInterface } from 'node:readline'
import { asFailure } from '../../../../daemon/contract/errors.ts'
import type { Logger } from '../../../../daemon/contract/plugin.ts'
import { HeldTimers } from '../../../../daemon/testing/held-timers.ts'
import type { Grant, NetworkConfig } from '../api.ts'
import { createNftablesController, type NftablesPorts } from '../nftables.ts'

interface Setting {
  config: NetworkConfig
  ports: NftablesPorts
  stateDir: string
}

interface Request {
  id: number
  method: 'start' | 'authorise' | 'revoke' | 'usage' | 'stationAt' | 'stop'
  args: unknown[]
}

const { config, ports, stateDir } = JSON.parse(process.argv[2] ?? '') as Setting
const say = (message: object): void => {
  process.stdout.write(`${JSON.stringify(message)}\n`)
}
const level =
  (name: string): Logger['info'] =>
  (fields, message) =>
    say({ log: name, fields, message })
const log: Logger = { debug: level('debug'), info: level('info'), warn: level('warn'), error: level('error') }

const { clock } = new HeldTimers()

let controller: ReturnType<typeof createNftablesController> | undefined
const events = {
  sighting: (sighting: unknown) => say({ event: 'sighting', data: sighting }),
  health: (health: unknown) => say({ event: 'health', data: health }),
  suspect: (suspicion: unknown) => say({ event: 'suspect', data: suspicion }),
}

async function answer({ method, args }: Request): Promise<unknown> {
  controller ??= createNftablesController(config, ports, { clock, log, signal: new AbortController().signal, folder: stateDir })
  switch (method) {
    case 'start':
      return controller.start(events, (args[0] ?? []) as Grant[])
    case 'authorise':
      return controller.authorise(args[0] as Grant[])
    case 'revoke':
      return controller.revoke(args[0] as string[])
    case 'usage':
      return controller.usage()
    case 'stationAt':
      return controller.stationAt(args[0] as string)
    case 'stop':
      return controller.stop(args[0] === true)
  }
}

const page = createServer((request, response) => {
  response.setHeader('connection', 'close')
  if (request.url === '/portal') response.end('portal')
  else response.writeHead(302, { location: 'http://10.66.0.1/portal' }).end()
})
page.listen(ports.http, () => say({ event: 'listening' }))

createInterface(process.stdin).on('line', (line) => {
  const request = JSON.parse(line) as Request
  answer(request).then(
    (result) => say({ id: request.id, result }),
    (error: unknown) => say({ id: request.id, error: asFailure(error).toBody() }),
  )
})
process.stdin.on('end', () => process.exit(0))
