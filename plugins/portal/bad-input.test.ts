/** Everybody in radio range can send whatever they like. Each gets a clear answer, and everyone else goes on being served. */
import { connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { servesOthers, silence } from './silence.testing.ts'
import { ipOf, macOf, Shop } from './testing.ts'

async function shop(t: Test, options: Parameters<typeof Shop.open>[0] = {}): Promise<Shop> {
  const opened = await Shop.open(options)
  t.teardown(() => opened.close())
  return opened
}

interface Line {
  socket: Socket
  /** All that came back, once the other end has closed. */
  ended: Promise<string>
}

function dial(t: Test, one: Shop, from = ipOf(100)): Promise<Line> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port: one.port, localAddress: from })
    t.teardown(() => socket.destroy())
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
    })
    socket.on('error', () => {})
    const ended = new Promise<string>((done) => socket.on('close', () => done(text)))
    socket.on('connect', () => resolve({ socket, ended }))
    socket.on('close', () => resolve({ socket, ended }))
  })
}

async function raw(t: Test, one: Shop, bytes: string | Buffer, from?: string): Promise<string> {
  const { socket, ended } = await dial(t, one, from)
  socket.write(bytes)
  return ended
}

t.test('requests without Host, without User-Agent, with nonsense for a method or a path', async (t) => {
  const one = await shop(t)
  t.match(await raw(t, one, 'GET /generate_204 HTTP/1.1\r\n\r\n'), /^HTTP\/1\.1 302 /)
  t.match(await raw(t, one, 'GET / HTTP/1.0\r\n\r\n'), /^HTTP\/1\.1 302 /)
  t.match(
    await raw(t, one, `GET http://captive.apple.com/hotspot-detect.html HTTP/1.1\r\nHost: captive.apple.com\r\n\r\n`),
    /^HTTP\/1\.1 302 /,
  )
  t.match(await raw(t, one, 'BREW /pot HTTP/1.1\r\n\r\n'), /^HTTP\/1\.1 400 /)
  t.match(await raw(t, one, 'DELETE / HTTP/1.1\r\nHost: a\r\n\r\n'), /^HTTP\/1\.1 405 /)
  t.match(await raw(t, one, 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n'), /^HTTP\/1\.1 (302|400) /)
  t.match(await raw(t, one, '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'), /^HTTP\/1\.1 400 /, 'TLS on the plain port')
  t.match(await raw(t, one, `GET /${'a'.repeat(3_000)} HTTP/1.1\r\nHost: a\r\n\r\n`), /^HTTP\/1\.1 400 /)
  t.match(await raw(t, one, 'CONNECT evil.example:25 HTTP/1.1\r\nHost: evil.example\r\n\r\n'), /^$/, 'no proxy')
  await servesOthers(t, one, 1)
})

t.test('1 MB of headers: 431 and the end of that connection', async (t) => {
  const one = await shop(t)
  const { socket, ended } = await dial(t, one)
  socket.write('GET / HTTP/1.1\r\nHost: a\r\nX-Long: ')
  socket.write('x'.repeat(1_048_576))
  t.match(await ended, /^(HTTP\/1\.1 431 |$)/)
  await servesOthers(t, one, 1)
})

t.test('paths that try to leave the portal find nothing', async (t) => {
  const one = await shop(t)
  const { port } = one
  const paths = [
    '/../../etc/passwd',
    '/t/../../etc/passwd',
    '/%2e%2e/%2e%2e/etc/passwd',
    '/t/aaaaaaaa/en/../../..//etc/passwd',
    '/t/%00/en/',
    '//etc/passwd',
    '/c/../x',
    '/v/aaaaaaaa/fr/',
  ]
  for (const path of paths) {
    const answer = await raw(t, one, `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: close\r\n\r\n`)
    t.match(answer, /^HTTP\/1\.1 404 /, path)
    t.notMatch(answer, /root:/)
  }
})

t.test("forms: another station's token, none, an old one; too large, of another kind, fields twice", async (t) => {
  const one = await shop(t)
  const mine = await one.arrive(1)
  t.match(await one.ask(2, `${mine}connect`, { form: {} }), { status: 303, headers: { location: /n=stale/ } }, "another's token")
  t.match(await one.ask(2, '/t/AAAAAAAAAAAAAAAA/en/connect', { form: {} }), { status: 303 })
  t.match(await one.ask(1, `${mine}connect`, { method: 'GET' }), { status: 302 }, 'nothing happens by following a link')
  t.match(await one.ask(1, `${mine}connect`, { form: 'x'.repeat(5_000) }), { status: 400, headers: { connection: 'close' } })
  t.match(await one.ask(1, `${mine}connect`, { form: 'marketing=yes&marketing=no' }), { status: 400 })
  t.match(await one.ask(1, `${mine}connect`, { form: '{}', headers: { 'content-type': 'application/json' } }), { status: 400 })
  t.match(await one.ask(1, mine, { form: {} }), { status: 405 })
  t.equal(one.network.granted.size, 0)
  one.clock.set('2026-11-25T12:30:00Z')
  const old = await one.ask(1, `${mine}connect`, { form: {} })
  t.match(old, { status: 303, headers: { location: /n=stale/ } })
  const again = new URL(String(old.headers.location))
  t.match((await one.ask(1, again.pathname + again.search)).body, /too old\. Please tap again/)
  t.equal((await one.ask(1, `${again.pathname}connect`, { form: {} })).status, 200)
})

t.test('an endless body that says it is small, and one that says nothing', async (t) => {
  const one = await shop(t)
  const path = await one.arrive(100)
  const head = `POST ${path}connect HTTP/1.1\r\nHost: 127.0.0.1:${one.port}\r\nContent-Type: application/x-www-form-urlencoded\r\n`
  const { socket, ended } = await dial(t, one)
  socket.write(`${head}Transfer-Encoding: chunked\r\n\r\n`)
  for (let at = 0; at < 64 && socket.writable; at++) socket.write(`400\r\n${'a'.repeat(1_024)}\r\n`)
  t.match(await ended, /^HTTP\/1\.1 400 /)
  await servesOthers(t, one, 1)
})

t.test('a body in pieces that grows too large is answered, and not cut off', async (t) => {
  const one = await shop(t)
  const path = await one.arrive(100)
  const { socket, ended } = await dial(t, one)
  socket.write(`POST ${path}connect HTTP/1.1\r\nHost: 127.0.0.1:${one.port}\r\nContent-Type: application/x-www-form-urlencoded\r\n`)
  socket.write('Transfer-Encoding: chunked\r\n\r\n')
  const piece = `400\r\n${'a'.repeat(1_024)}\r\n`
  // Each goes out and is read by itself: the limit is passed long before the end.
  for (let at = 0; at < 8; at++) await new Promise<void>((sent) => socket.write(piece, () => setImmediate(sent)))
  socket.write(`${piece.repeat(32)}0\r\n\r\n`)
  t.match(await ended, /^HTTP\/1\.1 400 /)
  t.equal(one.network.granted.size, 0)
})

t.test('who the request says it is does not matter: only where it comes from', async (t) => {
  const one = await shop(t)
  const headers = { 'x-forwarded-for': ipOf(9), 'x-real-ip': ipOf(9), forwarded: `for=${ipOf(9)}` }
  await one.ask(1, `${await one.arrive(1)}connect`, { form: {}, headers })
  t.same([...one.network.granted.keys()], [macOf(1)])
  t.match(await one.ask(2, `/guest/s/default/?id=${macOf(9)}&ap=02:00:00:00:00:01&ssid=x`), { status: 302 })
  t.notOk(one.network.granted.has(macOf(9)))
})

t.test('a station from outside the guest network gets a page, not a session', async (t) => {
  const one = await shop(t)
  const { send } = await import('./testing.ts')
  t.match(await send(one.port, '127.0.0.1', '/'), { status: 403 })
  t.match(await send(one.port, '127.0.0.1', '/t/AAAAAAAAAAAAAAAA/en/connect', { form: {} }), { status: 403 })
})

t.test('slow-loris: hundreds of requests that never end cost their senders, not the shop', async (t) => {
  const one = await shop(t)
  const lines = await Promise.all(Array.from({ length: 300 }, (_, at) => dial(t, one, ipOf(200 + (at % 20)))))
  for (const { socket } of lines) socket.write('GET / HTTP/1.1\r\nHost: a\r\nX-A: ')
  const drip = setInterval(() => {
    for (const { socket } of lines) if (socket.writable) socket.write('b')
  }, 200)
  t.teardown(() => clearInterval(drip))
  await servesOthers(t, one, 1)
  const answers = await Promise.all(lines.map((line) => line.ended))
  t.ok(
    answers.every((text) => text === '' || text.startsWith('HTTP/1.1 408')),
    'all were shown the door',
  )
  await servesOthers(t, one, 2)
})

t.test('5,000 connections that say nothing, more than are held: shoppers still get in', async (t) => {
  // 10,000 of them: bad-input.soak.test.ts.
  await silence(t, await shop(t), 5_000)
})

t.test('one station that opens a thousand connections has 32', async (t) => {
  const one = await shop(t)
  const lines = await Promise.all(Array.from({ length: 200 }, () => dial(t, one)))
  await one.harness.until(() => lines.filter((line) => line.socket.destroyed).length >= 160, 'the others are refused')
  const status = (await one.harness.command('-', 'status')) as { connections: number }
  t.ok(status.connections <= 32, `${status.connections}`)
  await servesOthers(t, one, 1)
})

t.test("a copied address is noticed by the other phone's name", async (t) => {
  const one = await shop(t)
  await one.tap(1)
  one.network.sighting('seen', macOf(1), { hostname: 'Annas-iPhone' })
  one.network.sighting('seen', macOf(1), { hostname: 'Annas-iPhone' })
  one.network.sighting('seen', macOf(1), { hostname: 'kali' })
  const warned = one.harness.logs.filter((line) => /may be copied/.test(line.message))
  t.equal(warned.length, 1)
  t.notMatch(JSON.stringify(warned), macOf(1))
})
