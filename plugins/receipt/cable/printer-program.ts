/** A printer in a namespace of its own: takes one client, reads only while it has paper, tells what it got. Commands come a line each. */
import { createHash } from 'node:crypto'
import { createServer, type Socket } from 'node:net'
import { createInterface } from 'node:readline'

export interface Heard {
  /** Bytes of each connection, and their SHA-256. */
  jobs: { bytes: number; hash: string; open: boolean }[]
}

let paper = true
let client: Socket | undefined
const jobs: { bytes: number; hash: ReturnType<typeof createHash>; open: boolean }[] = []

const tell = (): void => {
  const heard: Heard = { jobs: jobs.map(({ bytes, hash, open }) => ({ bytes, hash: hash.copy().digest('hex'), open })) }
  process.stdout.write(`${JSON.stringify(heard)}\n`)
}

createServer({ pauseOnConnect: true }, (socket) => {
  socket.on('error', () => {})
  if (client) {
    socket.resetAndDestroy()
    return
  }
  client = socket
  const job = { bytes: 0, hash: createHash('sha256'), open: true }
  jobs.push(job)
  socket.on('data', (bytes: Buffer) => {
    job.bytes += bytes.length
    job.hash.update(bytes)
    tell()
  })
  socket.on('close', () => {
    job.open = false
    client = undefined
    tell()
  })
  if (paper) socket.resume()
  tell()
}).listen(9100, '0.0.0.0', tell)

createInterface({ input: process.stdin }).on('line', (line) => {
  paper = line === 'paper'
  if (paper) client?.resume()
  else client?.pause()
})
process.stdin.on('end', () => process.exit(0))
