/** The demo's till: what a real one would do, by rules. */
import t from 'tap'
import type { CloudEvent } from '../contract/event.ts'
import type { Json, JsonObject } from '../contract/json.ts'
import type { DaemonClient } from './client.ts'
import { DemoTill } from './demo-till.ts'

const event = (type: string, data: JsonObject) => ({ type, data }) as unknown as CloudEvent
const scan = (code: string, kind = 'product') => event('shopwire.scanner.scan', { code, kind })

t.test('three products are a sale; its payment comes back paid, and one receipt of that sale is asked for', async (t) => {
  const asked: { path: string; body: Json }[] = []
  const argsOf = (at: number) => (asked[at] as unknown as { body: { args: { amount: number; receipt: string } } }).body.args
  const client = {
    call: async (_method: string, path: string, body: Json) => void asked.push({ path, body }),
  } as unknown as DaemonClient
  const till = new DemoTill(
    [
      {
        on: 'shopwire.scanner.scan',
        where: { kind: 'product' },
        basket: 3,
        command: ['payment', '-', 'open'],
        args: { order: '{number}', amount: '{amount}', till: 'till-1' },
      },
      {
        on: 'shopwire.payment.paid',
        command: ['printer', 'receipt', 'print'],
        id: 'receipt-{data.payment}',
        args: { receipt: '{number}\n{items}\n{total} {data.channel} {unknown}' },
      },
    ],
    client,
  )
  for (const code of ['111', '222']) till.hear(scan(code))
  till.hear(scan('28…', 'pay'))
  t.same(asked, [], 'two products and a pay code are no sale')
  till.hear(scan('333'))
  const { amount } = argsOf(0)
  t.equal(typeof amount, 'number', 'a value that is one word keeps its type')
  t.same(asked[0], { path: '/api/v1/cmd/payment/-/open', body: { args: { order: 'D-0001', amount, till: 'till-1' } } })

  till.hear(event('shopwire.payment.paid', { payment: 'p1', order: 'D-0001', channel: 'alipay' }))
  t.match(asked[1], { path: '/api/v1/cmd/printer/receipt/print', body: { id: 'receipt-p1' } })
  const { receipt } = argsOf(1)
  t.match(receipt, new RegExp(`^D-0001\n(.+ \\| ¥\\d+\\.\\d\\d\n){3}¥${(amount / 100).toFixed(2)} alipay \\{unknown\\}$`))
})
