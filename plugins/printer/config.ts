import type { ModelName } from './protocol/models.ts'

export type Encoding =
  | 'gb18030'
  | 'cp936'
  | 'big5'
  | 'cp950'
  | 'shiftjis'
  | 'cp932'
  | 'ksc5601'
  | 'cp949'
  | 'multilingual'
  | 'cp437'
  | 'cp852'
  | 'cp858'
  | 'cp860'
  | 'cp863'
  | 'cp865'
  | 'cp866'
  | 'cp1252'
  | 'tis620'

/** One entry of `plugins.printer.devices`, defaults filled in from plugin.json, which says what each means. */
export interface PrinterConfig {
  port: string
  baudRate: number
  dataBits: 7 | 8
  parity: 'none' | 'even' | 'odd'
  stopBits: 1 | 2
  flow: 'none' | 'rtscts' | 'xonxoff'
  model: ModelName
  encoding: Encoding
  width: number
  cut: boolean
  spacing: boolean
  drawer: { pin: 2 | 5; onMs: number; offMs: number }
  statusMode: 'auto' | 'required' | 'none'
  /** Absent: kept open on serial and USB, opened for each job on TCP. */
  keepOpen?: boolean
  pollMs: number
  holdMs: number
  recoverMs: number
  lostMs: number
  staleMs: number
  history: number
}
