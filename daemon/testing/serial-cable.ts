/** A serial cable: two pseudo-terminals that socat joins. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const LOOK_MS = 10
const LOOKS_MOST = 6_000

export class SerialCable {
  readonly dir = mkdtempSync(join(tmpdir(), 'shopwire-cable-'))
  /** What the gateway opens: a name as udev gives in `/dev/serial/by-id`. */
  readonly gateway = join(this.dir, 'usb-Device-if00')
  /** The end that the simulated device opens. */
  readonly device = join(this.dir, 'device')
  #socat: ChildProcess | undefined

  /** Plugged in, and taken away when the test is over. */
  static async plugged(t: { teardown(done: () => Promise<void>): unknown }): Promise<SerialCable> {
    const cable = new SerialCable()
    t.teardown(() => cable.remove())
    await cable.plug()
    return cable
  }

  async plug(): Promise<void> {
    const ends = [`pty,raw,echo=0,link=${this.gateway}`, `pty,raw,echo=0,link=${this.device}`]
    this.#socat = spawn('socat', ends, { stdio: 'ignore' })
    for (let looks = 0; !existsSync(this.gateway) || !existsSync(this.device); looks++) {
      if (looks > LOOKS_MOST) throw new Error('socat made no terminals')
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
    }
  }

  async unplug(): Promise<void> {
    const socat = this.#socat
    this.#socat = undefined
    if (!socat || socat.exitCode !== null || socat.signalCode !== null) return
    const gone = once(socat, 'exit')
    socat.kill('SIGKILL')
    await gone
    for (const link of [this.gateway, this.device]) rmSync(link, { force: true })
  }

  async remove(): Promise<void> {
    await this.unplug()
    rmSync(this.dir, { recursive: true, force: true })
  }
}
