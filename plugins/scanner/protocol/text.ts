/** A frame's bytes as text. */

export type Encoding = 'utf8' | 'gb18030' | 'latin1'

export interface Text {
  /** Without NULs and surrounding white space. What could not be decoded is U+FFFD. */
  text: string
  /** False: bytes that are not of this encoding, or control characters that no symbol of the trade carries. */
  clean: boolean
}

/** ASCII control characters that belong into codes: FNC1 as GS, and ISO/IEC 15434's RS and EOT. */
const GS = 0x1d
const RS = 0x1e
const EOT = 0x04
const TAB = 0x09

const decoders = new Map<string, TextDecoder>()

export function decodeText(bytes: Buffer, encoding: Encoding): Text {
  let start = 0
  let end = bytes.length
  // NUL is padding on this wire (a scanner set to 16-bit characters, a break on the line), white space a suffix such as TAB.
  while (start < end && (bytes[start] as number) <= 0x20 && bytes[start] !== GS) start++
  while (end > start && isPadding(bytes[end - 1] as number)) end--
  let high = 0
  let strange = false
  let nul = false
  for (let at = start; at < end; at++) {
    const byte = bytes[at] as number
    high |= byte
    if (byte < 0x20) {
      if (byte === 0) nul = true
      else if (byte !== GS && byte !== RS && byte !== EOT && byte !== TAB) strange = true
    } else if (byte === 0x7f) strange = true
  }
  if (nul) {
    const rest = bytes.subarray(start, end).filter((byte) => byte !== 0)
    return decodeText(Buffer.from(rest), encoding)
  }
  if (high < 0x80) return { text: bytes.toString('latin1', start, end), clean: !strange }
  const part = bytes.subarray(start, end)
  try {
    const text = decoder(encoding, true).decode(part)
    return { text, clean: !strange && !C1.test(text) }
  } catch {
    return { text: decoder(encoding, false).decode(part), clean: false }
  }
}

const C1 = /[\u0080-\u009f\ufffd]/

/** Keeps GS, RS and EOT, which may end an element string or a message. */
function isPadding(byte: number): boolean {
  return byte <= 0x20 && byte !== GS && byte !== RS && byte !== EOT
}

function decoder(encoding: Encoding, fatal: boolean): TextDecoder {
  const key = `${encoding}${fatal}`
  let found = decoders.get(key)
  if (!found) {
    // WHATWG names: `latin1` there is windows-1252, which is what scanners mean by it.
    found = new TextDecoder({ utf8: 'utf-8', gb18030: 'gb18030', latin1: 'windows-1252' }[encoding], { fatal, ignoreBOM: false })
    decoders.set(key, found)
  }
  return found
}

/** `text` without control characters, which a terminal or a till would obey; GS stays, it separates GS1 elements. */
export function printable(text: string): string {
  return text.replace(/[\u0000-\u001c\u001e\u001f\u007f-\u009f]/g, '\ufffd')
}
