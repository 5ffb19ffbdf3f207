/**
 * Keyboard layouts: what a key of a keyboard-class scanner means depends on the layout the scanner is set to type for. Each level is
 * one string, a character a key, in the order of `KEYS`; a space means nothing. Key codes: linux/input-event-codes.h.
 */

/** Left of 1, then the number row, the rows below it, the key left of Enter, the one beside the left Shift of ISO keyboards. */
export const KEYS: readonly number[] = [41, ...range(2, 13), ...range(16, 27), ...range(30, 40), 43, 86, ...range(44, 53)]

export interface Layout {
  plain: string
  shift: string
  /** Level 3 by key's plain character. */
  altgr: Readonly<Record<string, string>>
  /** Characters that wait for the next key; followed by a space they stand for themselves. */
  dead: string
}

export const LAYOUTS = {
  us: {
    plain: "`1234567890-=qwertyuiop[]asdfghjkl;'\\\\zxcvbnm,./",
    shift: '~!@#$%^&*()_+QWERTYUIOP{}ASDFGHJKL:"||ZXCVBNM<>?',
    altgr: {},
    dead: '',
  },
  uk: {
    plain: "`1234567890-=qwertyuiop[]asdfghjkl;'#\\zxcvbnm,./",
    shift: '¬!"£$%^&*()_+QWERTYUIOP{}ASDFGHJKL:@~|ZXCVBNM<>?',
    altgr: { '`': '¦', '4': '€', e: 'é', u: 'ú', i: 'í', o: 'ó', a: 'á' },
    dead: '',
  },
  de: {
    plain: '^1234567890ß´qwertzuiopü+asdfghjklöä#<yxcvbnm,.-',
    shift: '°!"§$%&/()=?`QWERTZUIOPÜ*ASDFGHJKLÖÄ\'>YXCVBNM;:_',
    altgr: { '2': '²', '3': '³', '7': '{', '8': '[', '9': ']', '0': '}', ß: '\\', q: '@', e: '€', '+': '~', '<': '|', m: 'µ' },
    dead: '^´`',
  },
  fr: {
    plain: '²&é"\'(-è_çà)=azertyuiop^$qsdfghjklmù*<wxcvbn,;:!',
    shift: ' 1234567890°+AZERTYUIOP¨£QSDFGHJKLM%µ>WXCVBN?./§',
    altgr: {
      é: '~',
      '"': '#',
      "'": '{',
      '(': '[',
      '-': '|',
      è: '`',
      _: '\\',
      ç: '^',
      à: '@',
      ')': ']',
      '=': '}',
      e: '€',
      $: '¤',
    },
    dead: '^¨',
  },
  es: {
    plain: "º1234567890'¡qwertyuiop`+asdfghjklñ´ç<zxcvbnm,.-",
    shift: 'ª!"·$%&/()=?¿QWERTYUIOP^*ASDFGHJKLÑ¨Ç>ZXCVBNM;:_',
    altgr: { º: '\\', '1': '|', '2': '@', '3': '#', '4': '~', '5': '€', '6': '¬', '`': '[', '+': ']', '´': '{', ç: '}', e: '€' },
    dead: '`^´¨',
  },
  it: {
    plain: "\\1234567890'ìqwertyuiopè+asdfghjklòàù<zxcvbnm,.-",
    shift: '|!"£$%&/()=?^QWERTYUIOPé*ASDFGHJKLç°§>ZXCVBNM;:_',
    altgr: { è: '[', '+': ']', ò: '@', à: '#', e: '€', '5': '€' },
    dead: '',
  },
} as const satisfies Record<string, Layout>

export type LayoutName = keyof typeof LAYOUTS
export const LAYOUT_NAMES = Object.keys(LAYOUTS) as readonly LayoutName[]

/** Combining characters of the dead keys (Unicode 0300-036F). */
export const COMBINING: Readonly<Record<string, string>> = { '`': '\u0300', '´': '\u0301', '^': '\u0302', '¨': '\u0308' }

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_one, index) => from + index)
}
