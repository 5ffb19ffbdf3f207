/** The guests' listener and those who keep it waiting. */
import { execFileSync } from 'node:child_process'
import { connect } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { testFolder } from '../../../daemon/testing/folder.ts'
import { until } from '../../../daemon/testing/until.ts'
import { GuestServer, type ServerOptions } from './server.ts'

async function listening(t: Test, options: Partial<ServerOptions>): Promise<{ server: GuestServer; port: number }> {
  const page = Buffer.alloc(64 * 1024, 'x')
  const server = new GuestServer(
    { address: '127.0.0.1', port: 0, ...options },
    async (_request, response) => {
      response.end(page)
    },
    () => {},
  )
  const port = await server.listen()
  t.teardown(() => server.close())
  return { server, port }
}

function certificate(t: Test): { certFile: string; keyFile: string } {
  const dir = testFolder(t)
  const [certFile, keyFile] = [join(dir, 'cert.pem'), join(dir, 'key.pem')]
  const words = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=a']
  execFileSync('openssl', [...words, '-keyout', keyFile, '-out', certFile], { stdio: 'ignore' })
  return { certFile, keyFile }
}

t.test('a TLS handshake that never comes is not waited for', async (t) => {
  const { server, port } = await listening(t, { tls: certificate(t), handshakeMs: 200 })
  const socket = connect(port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  let closed = false
  socket
    .on('error', () => {})
    .on('close', () => {
      closed = true
    })
  socket.resume()
  await until(() => closed, 'it is shown the door')
  await until(() => server.connections === 0, 'its place is free')
})

t.test('who asks for pages and reads none is not waited for', async (t) => {
  const { server, port } = await listening(t, { stalledMs: 500 })
  const socket = connect(port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  socket.on('error', () => {})
  socket.pause()
  await until(() => server.connections === 1, 'it is connected')
  // More than the buffers of both ends hold.
  socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(100))
  await until(() => server.connections === 0, 'its place is free')
})
