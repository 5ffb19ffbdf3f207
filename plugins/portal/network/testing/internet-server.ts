/**
 * The web as a phone meets it in a test. `node internet-server.ts HTTP-PORT [HTTPS-PORT KEY CERT]`
 *
 * - `/generate_204` answers 204; `/hotspot-detect.html` and the other probes answer 200 with Apple's word
 * - `/bytes?n=N` sends N bytes; `/endless` sends until it is cut; a POST counts what comes
 * - anything else says who asked for what, as JSON
 */
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'

const [httpPort = '80', httpsPort, keyFile, certFile] = process.argv.slice(2)
const block = Buffer.alloc(16_384, 'x')

function answer(request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? '/', 'http://internet.example')
  response.on('error', () => {})
  if (request.method === 'POST') {
    let bytes = 0
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length
    })
    request.on('end', () => response.end(JSON.stringify({ bytes })))
    return
  }
  switch (url.pathname) {
    case '/generate_204':
      response.writeHead(204, { connection: 'close' }).end()
      return
    case '/hotspot-detect.html':
      response.end('<HTML><HEAD><TITLE>Success</TITLE></HEAD><BODY>Success</BODY></HTML>')
      return
    case '/bytes':
      response.end(Buffer.alloc(Math.min(Number(url.searchParams.get('n') ?? 0), 64 << 20), 'x'))
      return
    case '/endless':
      drip(response)
      return
    default:
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify({ host: request.headers.host, path: url.pathname, from: request.socket.remoteAddress }))
  }
}

/** 16 KiB every 10 ms: fast enough to be seen as live, slow enough for a shared machine. */
function drip(response: ServerResponse): void {
  const timer = setInterval(() => {
    if (response.writableLength < 1 << 20) response.write(block)
  }, 10)
  response.on('close', () => clearInterval(timer))
}

const servers = [createServer(answer).listen(Number(httpPort))]
if (httpsPort && keyFile && certFile)
  servers.push(createTlsServer({ key: readFileSync(keyFile), cert: readFileSync(certFile) }, answer).listen(Number(httpsPort)))
await Promise.all(servers.map((one) => new Promise((resolve) => one.once('listening', resolve))))
process.stdout.write('ready\n')
