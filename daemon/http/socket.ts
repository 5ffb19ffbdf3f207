/** The CLI's way in: a unix socket, whose file mode is the authentication. */
import { chmod, lstat, unlink } from 'node:fs/promises'
import { createServer, type RequestListener, type Server } from 'node:http'
import { connect } from 'node:net'
import { Failure } from '../contract/errors.ts'

/** `sun_path` of `sockaddr_un` holds 108 bytes with its end mark: unix(7). */
const MOST_BYTES = 107

/**
 * Listens on `file` with mode 0600. A socket left behind by a daemon that is gone is removed; one that another daemon
 * answers on is `port-taken`.
 */
export async function listenOnSocket(file: string, handler: RequestListener): Promise<Server> {
  if (Buffer.byteLength(file) > MOST_BYTES)
    throw new Failure('port-taken', `the path of the unix socket is longer than ${MOST_BYTES} bytes: choose a shorter dataDir (${file})`)
  await clearStale(file)
  const server = createServer(handler)
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(new Failure('port-taken', `cannot listen on ${file}: ${error.code ?? error.message}`, [], error)),
    )
    // The file is born with its mode: bind() happens inside this call, and nobody can connect before it is restricted.
    const mask = process.umask(0o177)
    try {
      server.listen(file, resolve)
    } finally {
      process.umask(mask)
    }
  })
  await chmod(file, 0o600)
  return server
}

async function clearStale(file: string): Promise<void> {
  const known = await lstat(file).catch(() => undefined)
  if (!known) return
  if (!known.isSocket()) throw new Failure('port-taken', `${file} is in the way: it is not a socket`)
  if (await answers(file)) throw new Failure('port-taken', `another shopwire daemon runs with this dataDir: it answers on ${file}`)
  await unlink(file).catch(() => {})
}

function answers(file: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(file)
    probe.once('connect', () => {
      probe.destroy()
      resolve(true)
    })
    // ECONNREFUSED: the file is there, nobody listens. Anything else (EACCES, EAGAIN) is not ours to remove.
    probe.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'))
  })
}
