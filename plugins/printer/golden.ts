/** Bytes from vendors' manuals, which encoder and decoder are held against. Source of each: Epson ESC/POS Command Reference, the clause named. */

export interface Golden {
  clause: string
  hex: string
}

/** What this plugin sends. */
export const COMMANDS = {
  init: { clause: 'ESC @', hex: '1b40' },
  statusPrinter: { clause: 'DLE EOT, n = 1', hex: '100401' },
  statusOffline: { clause: 'DLE EOT, n = 2', hex: '100402' },
  statusError: { clause: 'DLE EOT, n = 3', hex: '100403' },
  statusPaper: { clause: 'DLE EOT, n = 4', hex: '100404' },
  mark: { clause: 'GS r, n = 1', hex: '1d7201' },
  partialCut: { clause: 'GS V, function B, m = 66', hex: '1d564200' },
  drawer: { clause: 'ESC p, m = 0, 100 ms on, 200 ms off', hex: '1b70003264' },
  drawerNow: { clause: 'DLE DC4, fn = 1, m = 0, 100 ms', hex: '1014010001' },
  clearBuffers: { clause: 'DLE DC4, fn = 8', hex: '10140801031401060208' },
  autoStatus: { clause: 'GS a, bits 0 to 3', hex: '1d610f' },
} as const satisfies Record<string, Golden>

/** `DLE EOT` 1 to 4 as answered in each condition: 0x12 is "nothing to report" in all four. */
export const STATUS = {
  ready: { clause: 'DLE EOT', hex: '12121212' },
  paperLow: { clause: 'DLE EOT n = 4, bits 2, 3', hex: '1212121e' },
  paperOut: { clause: 'DLE EOT n = 1 bit 3, n = 2 bit 5, n = 4 bits 2, 3, 5, 6', hex: '1a32127e' },
  coverOpen: { clause: 'DLE EOT n = 1 bit 3, n = 2 bit 2', hex: '1a161212' },
  feedButton: { clause: 'DLE EOT n = 1 bits 3, 6, n = 2 bit 3', hex: '5a1a1212' },
  cutter: { clause: 'DLE EOT n = 1 bit 3, n = 2 bit 6, n = 3 bit 3', hex: '1a521a12' },
  unrecoverable: { clause: 'DLE EOT n = 3 bit 5', hex: '1a523212' },
  overheated: { clause: 'DLE EOT n = 3 bit 6', hex: '1a525212' },
  drawerPinHigh: { clause: 'DLE EOT n = 1 bit 2', hex: '16121212' },
} as const satisfies Record<string, Golden>

/** Automatic Status Back, four bytes. */
export const ASB = {
  ready: { clause: 'GS a', hex: '1000000f' },
  coverOpen: { clause: 'GS a, first byte bits 3, 5', hex: '3800000f' },
  paperOut: { clause: 'GS a, first byte bit 3, third byte bits 0 to 3', hex: '18000f0f' },
  paperLow: { clause: 'GS a, third byte bits 0, 1', hex: '1000030f' },
  cutter: { clause: 'GS a, first byte bit 3, second byte bit 3', hex: '1808000f' },
} as const satisfies Record<string, Golden>

/** A till's own bytes: QR code "hello", model 2, size 4, level M (`GS ( k` functions 165, 167, 169, 180, 181). */
export const QR_HELLO: Golden = {
  clause: 'GS ( k',
  hex: '1d286b04003141320 01d286b03003143041d286b03003145311d286b080031503068656c6c6f1d286b0300315130'.replaceAll(' ', ''),
}

/** `你好，苹果 ￥12.50` in GB18030. */
export const CHINESE: Golden = { clause: 'FS &, GB18030-2005', hex: 'c4e3bac3a3acc6bbb9fb20a3a431322e3530' }

export const bytesOf = (golden: Golden): Buffer => Buffer.from(golden.hex, 'hex')
