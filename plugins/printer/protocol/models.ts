/** How makes of printers differ, as data. */

export interface Model {
  /** Command set of receiptline. `epson` uses `GS 8 L` graphics, `generic` the older `GS v 0` that every clone knows. */
  command: 'epson' | 'generic' | 'citizen' | 'sii' | 'fit' | 'impact'
  /** Tells changes by itself once asked to (`GS a`). */
  asb: boolean
  /** Knows `DLE DC4 8`, clear buffers: rids it of the rest of a job whose line was cut. */
  clearBuffer: boolean
  /** Knows `DLE DC4 1`: kicks the drawer even while there is no paper. */
  realtimeDrawer: boolean
  /** Dots per column of font A. */
  charWidth: number
}

export const MODELS = {
  generic: { command: 'generic', asb: false, clearBuffer: false, realtimeDrawer: false, charWidth: 12 },
  epson: { command: 'epson', asb: true, clearBuffer: true, realtimeDrawer: true, charWidth: 12 },
  bixolon: { command: 'generic', asb: true, clearBuffer: false, realtimeDrawer: true, charWidth: 12 },
  citizen: { command: 'citizen', asb: true, clearBuffer: false, realtimeDrawer: true, charWidth: 12 },
  /** mC-Print, TSP100IV and others, switched to their ESC/POS mode. */
  star: { command: 'generic', asb: true, clearBuffer: false, realtimeDrawer: true, charWidth: 12 },
  xprinter: { command: 'generic', asb: false, clearBuffer: false, realtimeDrawer: false, charWidth: 12 },
  seiko: { command: 'sii', asb: true, clearBuffer: false, realtimeDrawer: true, charWidth: 12 },
  fujitsu: { command: 'fit', asb: true, clearBuffer: false, realtimeDrawer: true, charWidth: 12 },
  /** TM-U220 and other dot-matrix kitchen printers. */
  impact: { command: 'impact', asb: true, clearBuffer: false, realtimeDrawer: true, charWidth: 12 },
} as const satisfies Record<string, Model>

export type ModelName = keyof typeof MODELS
