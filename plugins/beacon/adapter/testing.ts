/** An adapter's plug in the test's own process. */
import { SimulatedController } from '../simulator/controller.ts'
import { AdapterFault, type AdapterLink, type LinkEvents, type OpenLink } from './link.ts'

/** A USB port in this process. */
export class Port implements AdapterLink {
  readonly name = 'hci0'
  readonly controller = new SimulatedController()
  absent: AdapterFault | undefined
  opened = 0
  #on: LinkEvents | undefined

  async open(on: LinkEvents): Promise<OpenLink> {
    if (this.absent) throw this.absent
    this.opened += 1
    this.#on = on
    this.controller.power()
    this.controller.attach((packet) => {
      if (this.#on === on) on.packet(packet)
    })
    return {
      isUp: () => this.#on === on,
      setFilter: () => {},
      write: (packet) => queueMicrotask(() => this.controller.receive(packet)),
      close: () => {
        if (this.#on === on) this.#on = undefined
      },
    }
  }

  unplug(): void {
    this.absent = new AdapterFault('no-adapter', 'pulled')
    const on = this.#on
    this.#on = undefined
    on?.lost(new AdapterFault('unplugged', 'pulled'))
  }

  plug(): void {
    this.absent = undefined
  }
}
