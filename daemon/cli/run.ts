import { findConfig, loadConfig } from '../config.ts'
import { startGateway } from '../gateway.ts'
import { type CliCommand, parse } from './io.ts'

/** `shopwire run`: the daemon, until SIGTERM or SIGINT. */
export const run: CliCommand = async (args, io) => {
  const { values } = parse({ args, options: { config: { type: 'string' } } })
  const file = findConfig(values.config, io.env)
  // From the first moment on: without a handler SIGHUP ends the process.
  let reload = () => {}
  process.on('SIGHUP', () => reload())
  const gateway = await startGateway({ load: () => loadConfig(file, io.env), env: io.env })
  reload = () => void gateway.reload()
  await new Promise<void>((resolve) => {
    if (io.signal.aborted) return resolve()
    io.signal.addEventListener('abort', () => resolve(), { once: true })
  })
  await gateway.stop()
  return 0
}
