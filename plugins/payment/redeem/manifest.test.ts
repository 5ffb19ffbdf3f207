/** What plugin.json takes over from here. */
import { existsSync, readFileSync } from 'node:fs'
import t from 'tap'
import type { JsonObject, JsonSchema } from '../../../daemon/contract/json.ts'
import type { Manifest } from '../../../daemon/contract/plugin.ts'
import { PART_URL, Till } from './testing/till.ts'

interface Part {
  config: Record<string, JsonSchema>
  events: Record<string, JsonSchema>
  commands: NonNullable<Manifest['commands']>
  permissions: string[]
}

const part = JSON.parse(readFileSync(PART_URL, 'utf8')) as Part

t.test('a config that is wrong is told where; codes are secrets of their commands', async (t) => {
  const wrong: [JsonObject, RegExp][] = [
    [{ holdSeconds: 0 }, /redeem\.holdSeconds/],
    [{ offline: { valuePerDay: -1 } }, /redeem\.offline\.valuePerDay/],
    [{ withoutPayment: ['member'] }, /redeem\.withoutPayment\.0: must be one of "coupon", "pickup", "claim"/],
    [{ lock: { wrong: 1 } }, /redeem\.lock\.wrong/],
    [{ colour: 1 }, /redeem\.colour: is not known here/],
  ]
  for (const [redeem, message] of wrong)
    await t.rejects(Till.start({ redeem }), { code: 'config-invalid', message }, JSON.stringify(redeem))
  for (const command of ['redeem', 'member']) {
    const properties = part.commands[command]?.args?.properties as Record<string, JsonSchema>
    t.equal(properties.code?.['x-secret'], true, command)
    t.not(part.commands[command]?.repeatable, true, `${command}: its code is masked in what a crash leaves, so it is not run again`)
  }
})

const whole = new URL('../plugin.json', PART_URL)
t.test('plugin.json has the part as it stands here', { skip: existsSync(whole) ? false : 'there is no plugin.json yet' }, async (t) => {
  const manifest = JSON.parse(readFileSync(whole, 'utf8')) as Manifest
  t.match(manifest.config?.properties, part.config)
  t.match(manifest.events, part.events)
  t.match(manifest.commands, part.commands)
  for (const permission of part.permissions)
    t.ok(
      manifest.permissions?.some((one) => one === permission),
      permission,
    )
})
