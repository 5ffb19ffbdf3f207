import t from 'tap'
import { hq, parseDown, parseShopCommand, parseUp, shop } from './topics.ts'

t.test('a till names a device and a command in the topic', async (t) => {
  t.same(parseShopCommand(shop.command('printer', 'receipt', 'print')), { plugin: 'printer', device: 'receipt', command: 'print' })
  for (const topic of [
    'shop/printer/receipt/print',
    'shop/printer/receipt/cmd/print/x',
    'shop/../receipt/cmd/print',
    'shop/printer/Re/cmd/print',
  ])
    t.equal(parseShopCommand(topic), undefined, topic)
})

t.test('a gateway reads its own down topics, a sink everybody’s up topics', async (t) => {
  t.same(parseUp(hq.up('shop-001', 'events')), { gateway: 'shop-001', kind: 'events' })
  t.same(parseDown(hq.down('shop-001', 'ack')), { gateway: 'shop-001', kind: 'ack' })
  t.equal(parseUp(hq.down('shop-001', 'ack')), undefined)
  t.equal(parseUp('shopwire/v1/Shop/up/events'), undefined)
  t.equal(parseDown('shopwire/v1/shop-001/dn/reboot'), undefined)
})
