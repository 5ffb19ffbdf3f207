import { SerialPort } from 'serialport'
import type { Clock } from '../../../daemon/contract/plugin.ts'
import type { SerialLine } from '../config.ts'
import { LinkError, type OpenLink } from './link.ts'

const GOODBYE_MS = 3_000

export const openSerial =
  (path: string, line: SerialLine, clock: Clock): OpenLink =>
  (events) =>
    new Promise((resolve, reject) => {
      const { baudRate, dataBits, parity, stopBits, flow } = line
      const xon = flow === 'xonxoff'
      const port = new SerialPort({
        path,
        baudRate,
        dataBits,
        parity,
        stopBits,
        rtscts: flow === 'rtscts',
        xon,
        xoff: xon,
        autoOpen: false,
      })
      let gone = false
      const lost = (failure?: Error) => {
        if (gone) return
        gone = true
        events.closed(failure ?? new LinkError('unplugged', `${path} is closed`))
      }
      const close = (done = () => {}) => {
        gone = true
        if (port.isOpen) port.close(() => done())
        else done()
      }
      port.on('data', (bytes: Buffer) => events.data(bytes))
      port.on('drain', () => events.drained())
      port.on('close', () => lost())
      port.on('error', (error) => {
        // An error on the descriptor of an unplugged adapter does not always bring a close event with it.
        lost(error)
        close()
      })
      port.open((error) => {
        if (error)
          return reject(new LinkError(/lock|busy|access denied/i.test(error.message) ? 'busy' : 'unplugged', `${path}: ${error.message}`))
        resolve({
          write: (bytes) => port.write(bytes),
          end: () =>
            new Promise((done) => {
              if (gone) return done()
              const cancel = clock.timer(GOODBYE_MS, () => close(done))
              // Drained: out of the kernel's buffer and on the line.
              port.drain(() => {
                cancel()
                close(done)
              })
            }),
          destroy: () => close(),
        })
      })
    })
