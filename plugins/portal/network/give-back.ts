/** A predecessor left the network as it was for the one that follows it, or was killed; and the one that follows does not go on with it. */
import type { Logger } from '../../../daemon/contract/plugin.ts'
import { GuestInterface } from './guest-interface.ts'
import { withdrawJoined } from './joined-dnsmasq.ts'
import { removeTables } from './nft.ts'
import { Shaping } from './shaping.ts'

/** Gives back all that is noted in `folder`; nothing is touched where nothing is. */
export async function giveBack(folder: string, log: Logger): Promise<void> {
  const left = GuestInterface.leftIn(folder)
  if (!left) return
  const { interface: device, address, joinDir } = left
  log.info({ interface: device }, 'what an earlier run did to the network is taken back')
  const before = new GuestInterface({ interface: device, address, isolate: false, dhcp: { mode: 'run', joinDir: '' } }, folder, log)
  before.load()
  if (joinDir !== undefined) await withdrawJoined(joinDir, log)
  await removeTables()
  await new Shaping(device, {}, log).remove()
  await before.restore()
}
