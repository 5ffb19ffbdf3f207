/** Bytes from vendors' manuals that the capture is held against. Source of each: Epson ESC/POS Command Reference, the clause named. */

export interface GoldenCommand {
  clause: string
  hex: string
}

/** Commands with data that looks like text and commands itself: `41` is A, `0a` a line feed, `1d56` half a cut. */
export const WITH_DATA: readonly GoldenCommand[] = [
  { clause: 'GS v 0, 1 byte across, 8 dots down', hex: '1d763000 0100 0800 410a1d564100420a' },
  { clause: 'GS ( L, function 112: 8 x 2 dots', hex: '1d284c 0c00 30 70 30 01 01 31 0800 0200 1b69' },
  { clause: 'GS ( L, function 50', hex: '1d284c 0200 30 32' },
  { clause: 'GS 8 L, function 112: 8 x 3 dots', hex: '1d384c 0d000000 30 70 30 01 01 31 0800 0300 0a1d56' },
  { clause: 'ESC *, m = 33: 2 columns of 24 dots', hex: '1b2a21 0200 1d56000a1b69' },
  { clause: 'ESC *, m = 0: 3 columns of 8 dots', hex: '1b2a00 0300 1b6d0a' },
  { clause: 'GS *, 1 x 1: 8 bytes', hex: '1d2a 01 01 1d56411d56420a0a' },
  { clause: 'FS q, 2 images of 1 x 1', hex: '1c71 02 01000100 1d5600410a1b6900 01000100 0a0a0a0a1d564100' },
  { clause: 'GS k, function A: CODE39, ends with NUL', hex: '1d6b 04 2a31322a 00' },
  { clause: 'GS k, function B: CODE128, 10 bytes', hex: '1d6b 49 0a 7b424e6f2e31323334 35'.replaceAll(' ', '') },
  { clause: 'GS ( k, function 180: stores 5 bytes', hex: '1d286b 0800 31 50 30 1d56000a1b' },
  { clause: 'GS ( A, test print', hex: '1d2841 0200 00 02' },
  { clause: 'FS 2, one 24 x 24 character', hex: `1c32 fea1 ${'1d5600'.repeat(24)}` },
  { clause: 'ESC &, y = 3, one character 2 dots wide', hex: '1b26 03 41 41 02 1d560a1b6900' },
  { clause: 'ESC D, stops at 8 and 16', hex: '1b44 08 10 00' },
  { clause: 'DLE EOT, n = 1', hex: '100401' },
  { clause: 'DLE DC4, function 8', hex: '1014 08 01031401060208' },
  { clause: 'ESC W, page mode area', hex: '1b57 0000 0000 4100 0a00' },
  { clause: 'GS ^, macro', hex: '1d5e 01 0a 00' },
  { clause: 'ESC c 5, panel buttons', hex: '1b6335 00' },
]

/** Each cuts. */
export const CUTS: readonly GoldenCommand[] = [
  { clause: 'GS V, function A, m = 0', hex: '1d5600' },
  { clause: 'GS V, function A, m = 48', hex: '1d5630' },
  { clause: 'GS V, function A, m = 1', hex: '1d5601' },
  { clause: 'GS V, function B, m = 65', hex: '1d564110' },
  { clause: 'GS V, function B, m = 66', hex: '1d564200' },
  { clause: 'GS V, function C, m = 97', hex: '1d566103' },
  { clause: 'GS V, function D, m = 104', hex: '1d566803' },
  { clause: 'ESC i (obsolete)', hex: '1b69' },
  { clause: 'ESC m (obsolete)', hex: '1b6d' },
]

export const bytesOf = ({ hex }: GoldenCommand): Buffer => Buffer.from(hex.replaceAll(' ', ''), 'hex')
