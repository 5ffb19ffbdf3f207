/** nmcli's own manners: options, fields, escapes, messages and exit codes of 1.42, as far as this plugin and node-wifi use them. */
import { escaped } from '../nmcli/terse.ts'
import { type NetworkManagerSimulator, newProfile } from './network-manager.ts'
import { frequencyOf, type SimulatedPoint, type SimulatedProfile } from './scene.ts'

export interface Answer {
  out: string
  err: string
  code: number
}

const ok = (out = ''): Answer => ({ out, err: '', code: 0 })
const no = (code: number, err: string): Answer => ({ out: '', err: `Error: ${err}\n`, code })

interface Call {
  rest: string[]
  fields: string[] | undefined
  values: boolean
  escape: boolean
  secrets: boolean
  waitSeconds: number | undefined
}

/** `args` are Latin-1: one character a byte, since an argument is bytes. `secret`: the `passwd-file`'s content. */
export async function answer(nm: NetworkManagerSimulator, args: readonly string[], secret: string | undefined): Promise<Answer> {
  const call = options(args)
  if ('code' in call) return call
  if (nm.scene.faults.notRunning) return no(8, 'NetworkManager is not running.')
  const [object, command, ...rest] = call.rest
  if (object === 'general' && (command === undefined || command === 'status')) return general(nm, call)
  if (object === 'device' && command === 'show' && rest.length === 0) return deviceShow(nm, call)
  if (object === 'device' && command === 'wifi') return wifiList(nm, call, rest)
  if (object !== 'connection') return no(2, `argument '${object ?? ''}' not understood. Try passing --help instead.`)
  if (command === 'show' && rest[0] === 'uuid' && rest.length === 2) return connectionShow(nm, call, rest[1] ?? '')
  if (!['add', 'modify', 'delete', 'up'].includes(command ?? ''))
    return no(2, `argument '${command ?? ''}' not understood. Try passing --help instead.`)
  if (nm.scene.faults.notAuthorized && command !== 'up') return no(1, `Failed to ${command} connection: Insufficient privileges`)
  if (command === 'add') return connectionAdd(nm, rest)
  const uuid = rest[0] === 'uuid' ? rest[1] : undefined
  const profile = nm.scene.profiles.find((one) => one.uuid === uuid)
  if (command === 'up') return connectionUp(nm, call, profile, rest, secret)
  if (!profile)
    return no(
      10,
      command === 'delete' ? `cannot delete unknown connection(s): uuid '${uuid ?? ''}'.` : `unknown connection '${uuid ?? ''}'.`,
    )
  if (command === 'modify') return connectionModify(nm, profile, rest.slice(2))
  nm.delete(profile.uuid)
  return ok(`Connection '${profile.id}' (${profile.uuid}) successfully deleted.\n`)
}

function options(args: readonly string[]): Call | Answer {
  const call: Call = { rest: [], fields: undefined, values: false, escape: true, secrets: false, waitSeconds: undefined }
  let at = 0
  for (; at < args.length && args[at]?.startsWith('-'); at++) {
    const value = () => args[++at] ?? ''
    switch (args[at]) {
      case '-t':
      case '--terse':
        break
      case '-f':
      case '--fields':
        call.fields = value().toUpperCase().split(',')
        break
      case '-g':
      case '--get-values':
        call.fields = value().split(',')
        call.values = true
        break
      case '-e':
      case '--escape':
        call.escape = value() === 'yes'
        break
      case '-s':
      case '--show-secrets':
        call.secrets = true
        break
      case '-w':
      case '--wait':
        call.waitSeconds = Number(value())
        break
      default:
        return no(2, `Option '${args[at]}' is unknown, try 'nmcli -help'.`)
    }
  }
  call.rest = args.slice(at)
  return call
}

function table(what: string, call: Call, records: Record<string, string>[], all: readonly string[]): Answer {
  const fields = call.fields ?? all
  const unknown = fields.find((field) => !all.includes(field))
  if (unknown !== undefined) return no(2, `'${what}': invalid field '${unknown}'; allowed fields: ${all.join(',')}`)
  return ok(records.map((record) => `${fields.map((field) => escaped(record[field] ?? '')).join(':')}\n`).join(''))
}

function general(nm: NetworkManagerSimulator, call: Call): Answer {
  const { radios } = nm.scene
  const word = (on: boolean) => (radios.length === 0 ? 'missing' : on ? 'enabled' : 'disabled')
  const record = {
    RUNNING: 'running',
    STATE: 'connected',
    CONNECTIVITY: 'full',
    'WIFI-HW': word(radios.some(({ hardware }) => hardware)),
    // Software's switch is there whether or not there is a radio.
    WIFI: radios.every(({ on }) => on) ? 'enabled' : 'disabled',
  }
  return table('general status', call, [record], Object.keys(record))
}

const STATES: Readonly<Record<number, string>> = {
  10: 'unmanaged',
  20: 'unavailable',
  30: 'disconnected',
  50: 'connecting (configuring)',
  70: 'connecting (getting IP configuration)',
  100: 'connected',
}

function deviceShow(nm: NetworkManagerSimulator, call: Call): Answer {
  const { radios, links, wired, points } = nm.scene
  const blocks = radios.map(({ name }) => {
    const state = nm.stateOf(name)
    const link = links[name]
    const point = state === 100 ? points.find(({ bssid }) => bssid === link?.bssid) : undefined
    return device(
      name,
      'wifi',
      state,
      link?.uuid ?? '',
      point && { address: point.address ?? '192.168.1.50/24', gateway: point.gateway ?? '192.168.1.1' },
    )
  })
  const cable = wired ? { address: '10.0.0.20/24', gateway: '10.0.0.1' } : undefined
  blocks.push(device('eth0', 'ethernet', wired ? 100 : 20, wired ? '11111111-1111-4111-8111-111111111111' : '', cable))
  blocks.push(device('lo', 'loopback', 10, '', { address: '127.0.0.1/8', gateway: '' }))
  const wanted = call.fields
  const shown = blocks.map((lines) => lines.filter(([name]) => !wanted || wanted.includes(name.replace(/\[\d+\]$/, ''))))
  return ok(shown.map((lines) => lines.map(([name, value]) => `${name}:${value}\n`).join('')).join('\n'))
}

function device(
  name: string,
  type: string,
  state: number,
  uuid: string,
  ip: { address: string; gateway: string } | undefined,
): [string, string][] {
  const lines: [string, string][] = [
    ['GENERAL.DEVICE', name],
    ['GENERAL.TYPE', type],
    ['GENERAL.STATE', `${state} (${STATES[state] ?? 'unknown'})`],
    ['GENERAL.CON-UUID', uuid],
  ]
  if (ip) {
    const isSix = (text: string) => text.includes(':')
    if (!isSix(ip.address)) lines.push(['IP4.ADDRESS[1]', ip.address])
    lines.push(['IP4.GATEWAY', isSix(ip.gateway) ? '' : ip.gateway], ['IP6.ADDRESS[1]', 'fe80::ba27:ebff:fe00:1/64'])
    if (isSix(ip.address)) lines.push(['IP6.ADDRESS[2]', ip.address])
    lines.push(['IP6.GATEWAY', isSix(ip.gateway) ? ip.gateway : ''])
  }
  return lines
}

const WIFI_FIELDS = [
  'NAME',
  'SSID',
  'SSID-HEX',
  'BSSID',
  'MODE',
  'CHAN',
  'FREQ',
  'RATE',
  'SIGNAL',
  'BARS',
  'SECURITY',
  'WPA-FLAGS',
  'RSN-FLAGS',
  'DEVICE',
  'ACTIVE',
  'IN-USE',
  'DBUS-PATH',
]

function wifiList(nm: NetworkManagerSimulator, call: Call, rest: readonly string[]): Answer {
  const words = [...rest]
  let only: string | undefined
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    if (word === 'list') continue
    else if (word === 'ifname') only = words.shift()
    else if (word === '--rescan') words.shift()
    else return no(2, `'device wifi': argument '${word}' not understood. Try passing --help instead.`)
  }
  const radios = nm.scene.radios.filter(({ name }) => only === undefined || name === only)
  if (only !== undefined && radios.length === 0) return no(10, `Device '${only}' not found.`)
  const records = radios
    .filter(({ name }) => nm.stateOf(name) > 20)
    .flatMap(({ name }) => nm.heard(name).map((point) => record(point, name, nm.scene.links[name]?.bssid === point.bssid)))
  return table('device wifi', call, records, WIFI_FIELDS)
}

function record(point: SimulatedPoint, radio: string, active: boolean): Record<string, string> {
  const words = point.security.split(' ')
  const flags = (on: boolean) =>
    on ? `pair_ccmp group_ccmp ${words.includes('802.1X') ? '802.1X' : words.includes('WPA3') ? 'sae' : 'psk'}` : '(none)'
  return {
    NAME: 'AP',
    SSID: displayed(point.ssid),
    'SSID-HEX': point.ssid.toUpperCase(),
    BSSID: point.bssid.toUpperCase(),
    MODE: 'Infra',
    CHAN: String(point.channel),
    FREQ: `${frequencyOf(point.channel)} MHz`,
    RATE: '130 Mbit/s',
    SIGNAL: String(point.quality),
    BARS: '***',
    SECURITY: point.security,
    'WPA-FLAGS': flags(words.includes('WPA1')),
    'RSN-FLAGS': flags(words.some((word) => word === 'WPA2' || word === 'WPA3')),
    DEVICE: radio,
    ACTIVE: active ? 'yes' : 'no',
    'IN-USE': active ? '*' : ' ',
  }
}

/** libnm guesses at what is not UTF-8, and control characters are dropped (seen with 1.42). */
function displayed(ssid: string): string {
  const bytes = Buffer.from(ssid, 'hex')
  const text = bytes.toString('utf8')
  return (Buffer.from(text, 'utf8').equals(bytes) ? text : bytes.toString('latin1')).replace(/[\u0000-\u001f\u007f-\u009f]/g, '')
}

function connectionShow(nm: NetworkManagerSimulator, call: Call, uuid: string): Answer {
  const profile = nm.scene.profiles.find((one) => one.uuid === uuid)
  if (!profile) return no(10, `${uuid} - no such connection profile.`)
  const all: Record<string, string | undefined> = {
    'connection.uuid': profile.uuid,
    'connection.id': profile.id,
    '802-11-wireless.ssid': displayed(profile.ssid),
    '802-11-wireless.mode': profile.mode ?? 'infrastructure',
    '802-11-wireless-security.psk': call.secrets && !nm.scene.faults.notAuthorized ? profile.psk : profile.keyMgmt && '<hidden>',
  }
  const values = (call.fields ?? []).map((field) => all[field]).filter((value) => value !== undefined)
  return ok(values.map((value) => `${call.escape ? escaped(value) : value}\n`).join(''))
}

function connectionAdd(nm: NetworkManagerSimulator, rest: readonly string[]): Answer {
  const profile = newProfile('', 'wlan0')
  const wrong = set(profile, rest)
  if (wrong) return wrong
  nm.add(profile)
  return ok(`Connection '${profile.id}' (${profile.uuid}) successfully added.\n`)
}

function connectionModify(nm: NetworkManagerSimulator, profile: SimulatedProfile, pairs: readonly string[]): Answer {
  const wrong = set(profile, pairs)
  nm.settle()
  return wrong ?? ok()
}

/** Properties and their values in pairs; undefined: all were taken. */
function set(profile: Omit<SimulatedProfile, 'used'>, pairs: readonly string[]): Answer | undefined {
  for (let at = 0; at < pairs.length; at += 2) {
    const [name, value] = [pairs[at] ?? '', pairs[at + 1]]
    if (value === undefined) return no(2, `value for '${name}' is missing.`)
    switch (name) {
      case 'type':
        if (value !== 'wifi') return no(2, `bad connection type: ${value}`)
        break
      case 'con-name':
        profile.id = value
        break
      case 'ifname':
        profile.iface = value
        break
      case 'ssid':
        if (value.length > 32) return no(2, `failed to modify 802-11-wireless.ssid: '${value}' is not valid.`)
        profile.ssid = Buffer.from(value, 'latin1').toString('hex')
        break
      case 'connection.uuid':
        profile.uuid = value
        break
      case 'connection.interface-name':
        profile.iface = value
        break
      case 'connection.autoconnect':
        profile.autoconnect = value === 'yes'
        break
      case 'connection.autoconnect-priority':
        profile.priority = Number(value)
        break
      case '802-11-wireless.hidden':
        profile.hidden = value === 'yes'
        break
      case '802-11-wireless-security.key-mgmt':
        profile.keyMgmt = value
        break
      default:
        return no(2, `invalid property '${name}': '${name}' is not a property.`)
    }
  }
  return undefined
}

async function connectionUp(
  nm: NetworkManagerSimulator,
  call: Call,
  profile: SimulatedProfile | undefined,
  rest: readonly string[],
  secretFile: string | undefined,
): Promise<Answer> {
  const [, uuid = '', ...more] = rest
  if (!profile) return no(10, `unknown connection '${uuid}'.`)
  if (nm.scene.faults.notAuthorized) return no(4, 'Connection activation failed: Not authorized to control networking.')
  const iface = more[more.indexOf('ifname') + 1] ?? profile.iface
  if (nm.stateOf(iface) <= 20)
    return no(4, `Connection activation failed: No suitable device found for this connection (device ${iface} not available).`)
  if (profile.iface !== iface)
    return no(
      4,
      `Connection activation failed: Connection '${profile.id}' is not available on device ${iface} because profile is not compatible with device (mismatching interface name)`,
    )
  const secret = secretFile === undefined ? undefined : passwd(secretFile)
  const waitSeconds = call.waitSeconds ?? 90
  const waitMs = waitSeconds * nm.times.waitSecondMs
  const activated = nm.activate(profile.uuid, iface, secret)
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<'late'>((resolve) => {
    if (nm.takes(iface) > waitMs) timer = setTimeout(() => resolve('late'), waitMs)
  })
  const outcome = await Promise.race([activated, late])
  clearTimeout(timer)
  if (outcome === 'up')
    return ok('Connection successfully activated (D-Bus active path: /org/freedesktop/NetworkManager/ActiveConnection/5)\n')
  if (outcome === 'late') return no(3, `Timeout expired (${waitSeconds} seconds)`)
  const failed = no(4, `Connection activation failed: ${outcome}`)
  return {
    ...failed,
    err: `${failed.err}Hint: use 'journalctl -xe NM_CONNECTION=${profile.uuid} + NM_DEVICE=${iface}' to get more details.\n`,
  }
}

/** nmcli's way of reading a passwd-file: blanks at the ends go, backslash escapes are read. */
function passwd(file: string): string | undefined {
  const value = /^\s*(?:802-11-wireless-security|wifi-sec|wifi)\.psk\s*[:=](.*)$/m.exec(file)?.[1]
  return value?.trim().replace(/\\([0-7]{1,3})/g, (_all, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
}
