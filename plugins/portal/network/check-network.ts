import { Failure, type Problem } from '../../../daemon/contract/errors.ts'
import type { NetworkConfig } from './api.ts'
import { guestSubnet, networkOf } from './guest-subnet.ts'

/** What the schema cannot say. Interface names and walled names go into rules and files, so their letters are limited. */
export function checkNetwork(config: NetworkConfig): void {
  const problems: Problem[] = []
  const wrong = (key: string, message: string): void => {
    problems.push({ path: `plugins.portal.network.${key}`, message })
  }
  // IFNAMSIZ is 16 with its ending zero.
  if (!isDevice(config.interface))
    wrong('interface', `"${config.interface}" is no interface name: 1 to 15 letters, digits, ".", "_" or "-"`)
  if (!isDevice(config.uplink)) wrong('uplink', `"${config.uplink}" is neither auto nor an interface name`)
  if (config.uplink === config.interface) wrong('uplink', `guests and the internet cannot share the interface ${config.interface}`)
  config.protect.forEach((one, index) => {
    if (networkOf(one) === undefined && !/^[0-9a-f:]+(\/\d{1,3})?$/i.test(one))
      wrong(`protect[${index}]`, `"${one}" is no network such as 192.168.1.0/24`)
  })
  config.walledGarden.forEach((name, index) => {
    if (!/^(\*?\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/i.test(name))
      wrong(`walledGarden[${index}]`, `"${name}" is no host name; names of other scripts are given in their xn-- form`)
  })
  config.dhcp.dns.forEach((server, index) => {
    if (!/^[0-9a-fA-F:.]+(#\d{1,5})?$/.test(server)) wrong(`dhcp.dns[${index}]`, `"${server}" is no address of a resolver`)
  })
  for (const key of ['downKbps', 'upKbps'] as const) {
    const value = config[key]
    if (value !== undefined && (!Number.isInteger(value) || value < 1)) wrong(key, `${value} is no speed: whole kbit/s from 1 on`)
  }
  if (problems.length > 0)
    throw new Failure('config-invalid', problems.map(({ path, message }) => `${path}: ${message}`).join('; '), problems)
  guestSubnet(config.address, config.dhcp)
}

const isDevice = (name: string): boolean => /^[A-Za-z0-9._-]{1,15}$/.test(name)
