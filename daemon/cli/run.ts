import { findConfig, loadConfig } from '../config.ts'
import { startGateway } from '../gateway.ts'
import { type CliCommand, parse } from './io.ts'

/** `shopwire run`: the daemon, until SIGTERM or SIGINT. */
export const run: CliCommand = async (args, io) => {
  const { values } = parse({ args, options: { config: { type: 'string' } } })
  const file = findConfig(values.config, io.env)
  const gateway = await startGateway({ load: () => loadConfig(file, io.env), env: io.env })
  const reload = () => void gateway.reload()
  process.on('SIGHUP', reload)
  await new Promise<void>((resolve) => {
    if (io.signal.aborted) return resolve()
    io.signal.addEventListener('abort', () => resolve(), { once: true })
  })
  process.off('SIGHUP', reload)
  await gateway.stop()
  return 0
}
