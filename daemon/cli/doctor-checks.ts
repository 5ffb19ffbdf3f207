/** What is looked at, in the order in which things depend on each other. */
import { constants } from 'node:fs'
import { access, stat, statfs } from 'node:fs/promises'
import { connect } from 'node:net'
import { dirname, join, resolve } from 'node:path'
import { asFailure } from '../contract/errors.ts'
import type { Json, JsonObject } from '../contract/json.ts'
import type { DeviceView } from '../shop.ts'
import { type Check, type Finding, type Outcome, worstOf } from './doctor.ts'
import type { Facts } from './doctor-facts.ts'
import { certificateFindings, pathToHq } from './doctor-hq.ts'
import { age } from './io.ts'

const MB = 2 ** 20
const LOW_BYTES = 100 * MB
const EMPTY_BYTES = 20 * MB
const LOW_INODES = 1_000
const REACH_MS = 2_000
/** HQ may be away for a night; longer than that somebody should know. */
const OLD_BACKLOG_MS = 12 * 3_600_000
const EARLIEST_MS = Date.UTC(2024, 0, 1)

const command = (facts: Facts, text: string): string => `${text}${facts.file === undefined ? '' : ` --config ${facts.file}`}`

const config: Check = {
  name: 'config',
  needs: [],
  async run(facts) {
    const where = facts.file ?? 'no config file; the embedded default'
    const fix = `edit ${facts.file ?? '/etc/shopwire/shopwire.yaml'}, then: ${command(facts, 'shopwire check')}`
    const problems = facts.problems.map((one): Finding => ({ state: 'fail', fact: `${one.path}: ${one.message}`, fix }))
    const { config } = facts
    if (!config && problems.length === 0) return { state: 'fail', fact: `${where} cannot be used`, fix }
    const plugins = Object.keys(config?.plugins ?? {})
    const devices = Object.values(config?.plugins ?? {}).flatMap((section) => Object.keys(devicesOf(section)))
    return worstOf(
      problems,
      `${where}: gateway ${config?.gateway.id}, ${count(plugins.length, 'plugin')}, ${count(devices.length, 'device')}`,
      (bad) => `${where}: ${bad} problems`,
    )
  },
}

const storage: Check = {
  name: 'storage',
  needs: [],
  async run({ dataDir, status, config }) {
    const folder = await firstThere(resolve(dataDir))
    const disk = await statfs(folder)
    const free = status?.journal.freeBytes ?? disk.bavail * disk.bsize
    const findings: Finding[] = []
    try {
      await access(folder, constants.W_OK)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      findings.push(
        code === 'EROFS'
          ? {
              state: 'fail',
              fact: `${folder} is mounted read-only: the card may be failing`,
              fix: 'sudo dmesg | grep -i -E "mmc|ext4|i/o error"; put in a new card',
            }
          : {
              state: 'fail',
              fact: `${folder} cannot be written (${code})`,
              fix: `sudo chown -R shopwire:shopwire ${folder}   # or run the doctor with sudo`,
            },
      )
    }
    if (status?.journal.fault !== undefined)
      findings.push({
        state: 'fail',
        fact: `the journal cannot store: ${status.journal.fault}`,
        fix: 'df -h; sudo journalctl -u shopwire -n 50',
      })
    const spend = `sudo du -xh --max-depth=2 ${folder} /var | sort -h | tail`
    if (free < EMPTY_BYTES) findings.push({ state: 'fail', fact: `only ${megabytes(free)} free in ${folder}`, fix: spend })
    else if (free < LOW_BYTES) findings.push({ state: 'warn', fact: `only ${megabytes(free)} free in ${folder}`, fix: spend })
    if (disk.files > 0 && disk.ffree < LOW_INODES)
      findings.push({ state: 'warn', fact: `only ${disk.ffree} more files fit in ${folder}`, fix: `df -i ${folder}` })
    const journal = status ? `, journal ${megabytes(status.journal.bytes)} of ${megabytes(config?.journal.maxBytes ?? 0)}` : ''
    return worstOf(findings, `${megabytes(free)} free in ${folder}${journal}`, (bad) => `${bad} problems`)
  },
}

const clock: Check = {
  name: 'clock',
  needs: [],
  async run({ now, clockSet }) {
    const time = new Date(now).toISOString()
    const fix = 'sudo timedatectl set-ntp true; timedatectl timesync-status'
    if (now < EARLIEST_MS) return { state: 'fail', fact: `it says ${time}: it was never set`, fix }
    if (clockSet === false) return { state: 'warn', fact: `${time}, not confirmed by a time server: events are marked unsynced`, fix }
    return { state: 'ok', fact: clockSet ? `${time}, set by a time server` : time }
  },
}

const service: Check = {
  name: 'service',
  needs: [],
  async run(facts) {
    const { status, statusFault, dataDir } = facts
    if (status) {
      const fact = `shopwire ${status.gateway.version}, up ${age(new Date(facts.now - status.uptimeSeconds * 1_000).toISOString(), facts.now)}`
      const findings = status.plugins
        .filter((one) => one.status === 'quarantined' || one.status === 'backoff')
        .map((one): Finding => {
          const fix = one.status === 'quarantined' ? `shopwire plugin reload ${one.name}` : 'sudo journalctl -u shopwire -n 50'
          return { state: 'fail', fact: `plugin ${one.name}: ${one.status}${one.reason === undefined ? '' : `, ${one.reason}`}`, fix }
        })
      if (findings.length === 0 && !status.health.ok)
        findings.push({ state: 'fail', fact: `${fact}, but it makes no progress`, fix: 'sudo systemctl restart shopwire' })
      return worstOf(findings, `${fact}, ${count(status.plugins.length, 'plugin')} running`, (bad) => `${bad} plugins do not run`)
    }
    const socket = join(dataDir, 'shopwire.sock')
    const denied = (statusFault?.cause as { code?: unknown } | undefined)?.code === 'EACCES'
    if (denied) return { state: 'fail', fact: `this user may not open ${socket}`, fix: 'sudo shopwire doctor' }
    const active = (await facts.run('systemctl', ['is-active', 'shopwire']))?.trim()
    const fix =
      active === undefined
        ? command(facts, 'shopwire run')
        : active === 'active'
          ? 'sudo systemctl restart shopwire'
          : 'sudo systemctl start shopwire; sudo journalctl -u shopwire -n 50'
    return {
      state: 'fail',
      fact: `${statusFault?.message ?? `no daemon answers at ${socket}`}${active === undefined ? '' : ` (systemd says: ${active})`}`,
      fix,
    }
  },
}

/** What devices of any kind say for themselves, and what helps. */
const PAPER = /^(paper|cover|near-end|no-paper)/
const MENDS: Record<string, string> = {
  unplugged: 'plug it in, then: shopwire discover',
  'permission-denied': 'sudo usermod -aG dialout,lp,input shopwire && sudo systemctl restart shopwire',
  'port-busy': 'sudo fuser -v PORT   # another program holds it',
  unreachable: 'is it switched on and on the network? shopwire discover',
}

const devices: Check = {
  name: 'devices',
  needs: ['config'],
  async run({ status, config, now }) {
    if (!status) {
      const ports = Object.entries(config?.plugins ?? {}).flatMap(([plugin, section]) =>
        Object.entries(devicesOf(section)).map(([device, settings]) => ({ name: `${plugin}/${device}`, settings: asObject(settings) })),
      )
      const findings = await Promise.all(ports.map(({ name, settings }) => portFinding(name, settings)))
      return worstOf(
        findings.filter((one) => one !== undefined),
        `${count(ports.length, 'port')} there (looked at directly)`,
        (bad) => `${bad} of ${ports.length} ports cannot be reached`,
      )
    }
    const findings = status.devices
      .filter((one) => one.state !== 'online' && !PAPER.test(one.detail ?? ''))
      .map((one) => deviceFinding(one, now))
    const found = status.found.filter((one) => one.plugin !== undefined && one.configuredAs === undefined).length
    const more = found === 0 ? '' : `; ${found} found and not configured (shopwire discover)`
    if (status.devices.length === 0) return { state: 'warn', fact: `no device is configured${more}`, fix: 'shopwire discover' }
    return worstOf(
      findings,
      `${status.devices.length} of ${status.devices.length} online${more}`,
      (bad) => `${bad} of ${status.devices.length} do not work`,
    )
  },
}

function deviceFinding(device: DeviceView, now: number): Finding {
  const detail = device.detail ?? device.state
  return {
    state: 'fail',
    fact: `${device.plugin}/${device.device}: ${detail}, for ${age(device.since, now)}`,
    fix: MENDS[detail] ?? 'sudo journalctl -u shopwire -n 50',
  }
}

/** A port without its daemon: is the node there and may it be read, does the address answer? */
async function portFinding(name: string, settings: JsonObject): Promise<Finding | undefined> {
  for (const value of Object.values(settings)) {
    if (typeof value !== 'string') continue
    const node = /^(?:hid:)?(\/dev\/.+)$/.exec(value)?.[1]
    if (node !== undefined) {
      const code = await access(node, constants.R_OK).then(
        () => undefined,
        (error: NodeJS.ErrnoException) => error.code,
      )
      if (code === 'ENOENT')
        return { state: 'fail', fact: `${name}: ${node} is not there`, fix: 'plug it in, then: shopwire discover; ls -l /dev/serial/by-id' }
      if (code !== undefined)
        return {
          state: 'fail',
          fact: `${name}: ${node} may not be read (${code})`,
          fix: 'sudo usermod -aG dialout,lp,input shopwire   # or run the doctor with sudo',
        }
    }
    const [, host, port] = /^tcp:\/\/(\[[^\]]+\]|[^:/]+)(?::(\d+))?/.exec(value) ?? []
    if (host !== undefined && !(await answers(host.replace(/^\[|\]$/g, ''), Number(port ?? 9100))))
      return { state: 'fail', fact: `${name}: ${value} does not answer`, fix: `ping -c 3 ${host}; nc -vz ${host} ${port ?? 9100}` }
  }
  return undefined
}

function answers(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port })
    const end = (answer: boolean) => () => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(REACH_MS, end(false)).once('error', end(false)).once('connect', end(true))
  })
}

const printer: Check = {
  name: 'printer',
  needs: ['service'],
  async run({ status, manifests, now }) {
    // Whatever takes the command `print` has paper.
    const printing = new Set(manifests.filter((one) => one.commands && 'print' in one.commands).map((one) => one.name))
    const printers = status?.devices.filter((one) => printing.has(one.plugin) || PAPER.test(one.detail ?? '')) ?? []
    if (printers.length === 0) return { state: 'ok', fact: 'no printer is configured' }
    const findings = printers
      .filter((one) => one.detail !== undefined && PAPER.test(one.detail))
      .map(
        (one): Finding => ({
          state: one.state === 'online' ? 'warn' : 'fail',
          fact: `${one.plugin}/${one.device}: ${one.detail}, for ${age(one.since, now)}`,
          fix: /cover/.test(one.detail ?? '')
            ? 'close the cover'
            : `load a new roll, then: shopwire cmd ${one.plugin} ${one.device} print '{"receipt":"test"}'`,
        }),
      )
    const unknown = printers.filter((one) => one.state === 'offline').length
    return worstOf(
      findings,
      `${printers.length - unknown} of ${printers.length} with paper${unknown === 0 ? '' : `, ${unknown} offline`}`,
      (bad) => `${bad} of ${printers.length} printers want a hand`,
    )
  },
}

/** The command with which a plugin looks at itself: `{findings: [{state: ok | warn | fail, fact, fix?}]}`. */
export const SELF_CHECK = 'self-check'

const plugins: Check = {
  name: 'plugins',
  needs: ['service'],
  async run({ status, manifests, command }) {
    const able = manifests
      .filter(
        ({ name, commands = {} }) => SELF_CHECK in commands && status?.plugins.some((one) => one.name === name && one.status === 'running'),
      )
      .map(({ name }) => name)
    const looked = await Promise.all(
      able.map(async (name) => {
        const findings = await command(name, SELF_CHECK).then(findingsOf, (error: unknown): Finding[] => [
          { state: 'fail', fact: `could not look at itself: ${asFailure(error).message}`, fix: 'sudo journalctl -u shopwire -n 50' },
        ])
        return findings.map((one): Finding => ({ ...one, fact: `${name}: ${one.fact}` }))
      }),
    )
    const fine = looked.flatMap((findings) => findings.filter((one) => one.state === 'ok').map((one) => one.fact))
    return worstOf(looked.flat(), fine.join('; ') || 'none that looks at itself is running', (bad) => `${bad} problems`)
  },
}

/** A plugin may be anybody's: what is not a finding is left out. */
function findingsOf(result: Json): Finding[] {
  const { findings } = asObject(result)
  return (Array.isArray(findings) ? findings : []).map(asObject).flatMap(({ state, fact, fix }): Finding[] => {
    if ((state !== 'ok' && state !== 'warn' && state !== 'fail') || typeof fact !== 'string') return []
    return [{ state, fact, ...(typeof fix === 'string' ? { fix } : {}) }]
  })
}

const link: Check = {
  name: 'link',
  needs: ['service'],
  async run({ status, config }) {
    const lan = status?.links.find((one) => one.name === 'lan')
    if (!lan || lan.state === 'off')
      return { state: 'warn', fact: 'the shop has no MQTT broker: tills cannot connect', fix: 'set lan.listen or lan.url in the config' }
    if (lan.state === 'online') return { state: 'ok', fact: `LAN broker: ${lan.detail}` }
    const { url, listen } = config?.lan ?? {}
    return {
      state: 'fail',
      fact: `LAN broker ${lan.state}: ${lan.detail}`,
      fix:
        url === undefined
          ? `sudo ss -ltnp | grep ':${listen?.split(':').at(-1) ?? '1883'} '   # what holds the port?`
          : `mosquitto_sub -L ${url.replace(/\/?$/, '')}/x -W 3   # does that broker answer?`,
    }
  },
}

const hq: Check = {
  name: 'HQ',
  needs: ['config'],
  async run({ status, config, now }) {
    if (!config?.hq) return { state: 'ok', fact: 'stand-alone shop: there is no hq in the config' }
    const findings = certificateFindings(config.hq, config.gateway.id, now)
    const state = status?.links.find((one) => one.name === 'hq')
    if (state?.state !== 'online' && findings.every((one) => one.state !== 'fail')) {
      const blocked = await pathToHq(config.hq)
      if (blocked) findings.push(blocked)
      // The way is free, and still the link is not up: the broker says why.
      else if (state)
        findings.push({
          state: 'warn',
          fact: `${config.hq.url} can be reached, but the link is ${state.state}: ${state.detail}`,
          fix: 'sudo journalctl -u shopwire -n 50   # does HQ know this gateway id and its certificate or password?',
        })
    }
    return worstOf(
      findings,
      state?.state === 'online' ? `online: ${state.detail}` : `${config.hq.url} can be reached`,
      (bad) => `${bad} problems`,
    )
  },
}

const backlog: Check = {
  name: 'backlog',
  needs: ['service'],
  async run({ status, config, now }): Promise<Outcome> {
    if (!config?.hq) return { state: 'ok', fact: 'nothing to send: there is no hq in the config' }
    const { backlog: waiting = 0, oldest } = status?.links.find((one) => one.name === 'hq') ?? {}
    const dropped = status?.journal.dropped ?? 0
    const findings: Finding[] = []
    if (dropped > 0)
      findings.push({
        state: 'warn',
        fact: `${dropped} events were dropped before HQ had them: the journal was full`,
        fix: 'raise journal.maxSize in the config, or mend the link to HQ',
      })
    if (waiting > 0 && oldest !== undefined && now - Date.parse(oldest) > OLD_BACKLOG_MS)
      findings.push({
        state: 'warn',
        fact: `${waiting} events wait for HQ, the oldest for ${age(oldest, now)}`,
        fix: 'see HQ above: nothing is lost, they are sent when it is back',
      })
    return worstOf(
      findings,
      waiting === 0
        ? 'nothing waits to be sent'
        : `${waiting} events wait to be sent${oldest === undefined ? '' : `, the oldest for ${age(oldest, now)}`}`,
      (bad) => `${bad} problems`,
    )
  },
}

export const CHECKS: readonly Check[] = [config, storage, clock, service, devices, printer, plugins, link, hq, backlog]

/** The folder, or the nearest one above that exists: before its first start a gateway has none. */
async function firstThere(folder: string): Promise<string> {
  const there = await stat(folder).then(
    () => true,
    () => false,
  )
  return there || folder === dirname(folder) ? folder : firstThere(dirname(folder))
}

const megabytes = (bytes: number): string => (bytes >= 10_240 * MB ? `${Math.round(bytes / 2 ** 30)} GB` : `${Math.round(bytes / MB)} MB`)
const count = (number: number, word: string): string => `${number} ${word}${number === 1 ? '' : 's'}`
const devicesOf = (section: JsonObject): JsonObject => asObject(section.devices)

function asObject(value: unknown): JsonObject {
  return value !== null && typeof value === 'object' && !Array.isArray(value) ? (value as JsonObject) : {}
}
