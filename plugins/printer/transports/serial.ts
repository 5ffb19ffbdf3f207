import { SerialPort } from 'serialport'
import type { Clock } from '../../../daemon/contract/plugin.ts'
import type { PrinterConfig } from '../config.ts'
import type { LineFault } from '../jobs/print-state.ts'
import { type OpenPort, PortFault } from './port.ts'

type Line = Pick<PrinterConfig, 'baudRate' | 'dataBits' | 'parity' | 'stopBits' | 'flow'>

const GOODBYE_MS = 2_000

export const openSerial =
  (path: string, line: Line, clock: Clock): OpenPort =>
  (events) =>
    new Promise((resolve, reject) => {
      const { baudRate, dataBits, parity, stopBits } = line
      const xon = line.flow === 'xonxoff'
      const port = new SerialPort({
        path,
        baudRate,
        dataBits,
        parity,
        stopBits,
        rtscts: line.flow === 'rtscts',
        xon,
        xoff: xon,
        autoOpen: false,
      })
      let closing = false
      let gone = false
      const gotAway = () => {
        if (gone) return
        gone = true
        if (!closing) events.closed('unplugged')
      }
      port.on('data', (bytes: Buffer) => events.data(bytes))
      port.on('close', gotAway)
      port.on('error', () => {
        // An error on the descriptor of an unplugged adapter does not always bring a close event with it.
        gotAway()
        if (port.isOpen) port.close(() => {})
      })
      port.open((error) => {
        if (error) return reject(asFault(error, path))
        resolve({
          chunk: Math.max(64, Math.min(4096, Math.floor(baudRate / 10))),
          write: (bytes) =>
            new Promise((done, failed) => {
              if (gone) return failed(new PortFault('unplugged', `${path} is closed`))
              const onClose = () => failed(new PortFault('unplugged', `${path} is closed`))
              port.once('close', onClose)
              const finish = (problem: Error | null | undefined) => {
                port.off('close', onClose)
                if (problem) failed(problem)
                else done()
              }
              // Drained: out of the kernel's buffer, so that time limits count from when the printer has it.
              port.write(Buffer.from(bytes), (problem) => (problem ? finish(problem) : port.drain(finish)))
            }),
          close: () =>
            new Promise((done) => {
              closing = true
              if (!port.isOpen) return done()
              const cancel = clock.timer(GOODBYE_MS, done)
              port.close(() => {
                cancel()
                done()
              })
            }),
        })
      })
    })

function asFault(error: Error, path: string): PortFault {
  const fault: LineFault = /lock|busy|access denied/i.test(error.message) ? 'busy' : 'unplugged'
  return new PortFault(fault, `${path}: ${error.message}`, error)
}
