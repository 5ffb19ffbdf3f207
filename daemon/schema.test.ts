import t from 'tap'
import { check, mask, SchemaSet } from './schema.ts'

const charge = {
  name: 'till',
  version: '1.0.0',
  api: '1',
  entry: 'plugin.js',
  events: {
    scan: { type: 'object', properties: { code: { type: 'string', 'x-secret': true }, kind: { type: 'string' } } },
    seen: { type: 'object', 'x-bulk': true },
  },
  commands: {
    charge: {
      args: {
        type: 'object',
        required: ['amount'],
        properties: { amount: { type: 'integer', minimum: 1 }, code: { type: 'string', 'x-secret': true } },
      },
    },
  },
}

t.test('a pay code keeps its first 2 and last 4 digits wherever it is written down', async (t) => {
  const schemas = new SchemaSet(charge)
  t.same(schemas.maskEvent('scan', { code: '134567890123456789', kind: 'pay' }), { code: '13************6789', kind: 'pay' })
  t.same(schemas.maskEvent('scan', { code: 'secret', kind: 'x' }), { code: '***', kind: 'x' })
  const data = { any: 'thing' }
  t.equal(schemas.maskEvent('seen', data), data, 'nothing secret: not even copied')
  t.equal(schemas.bulk('seen'), true)
  t.equal(schemas.bulk('scan'), false)
})

t.test('secrets are found inside lists, maps and nested objects', async (t) => {
  const schema = {
    type: 'object',
    properties: { users: { type: 'array', items: { type: 'object', properties: { hash: { 'x-secret': true } } } } },
    additionalProperties: { type: 'object', properties: { token: { 'x-secret': true } } },
  }
  t.same(mask(schema, { users: [{ name: 'a', hash: 'h' }], other: { token: 't', x: 1 } }), {
    users: [{ name: 'a', hash: '***' }],
    other: { token: '***', x: 1 },
  })
})

t.test('a problem names the path, what is wrong and what is allowed', async (t) => {
  const schemas = new SchemaSet(charge)
  t.same(schemas.args('charge', { amount: 0 }), [{ path: 'args.amount', message: 'must be >= 1' }])
  t.same(schemas.args('charge', {}), [{ path: 'args.amount', message: 'is missing' }])
  t.same(schemas.event('sold', {}), [{ path: 'sold', message: 'is not an event of till; declared are scan, seen' }])
  t.same(schemas.config({ devices: {} }), [{ path: 'plugins.till.devices', message: 'is not known here' }])
  t.same(check({ type: 'object', propertyNames: { pattern: '^[a-z]+$' } }, { 'Till 1': 1 }).length > 0, true)
})
