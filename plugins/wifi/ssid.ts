/** Network names. An SSID is 0 to 32 bytes of anything (IEEE 802.11-2020, 9.4.2.2), not a text: inside this plugin it is their hex. */

/** Lower-case hex of an SSID's bytes: what networks are told apart by. Empty: the name is hidden. */
export type SsidHex = string

export function hexOf(text: string): SsidHex {
  return Buffer.from(text, 'utf8').toString('hex')
}

/** How an SSID is shown: its text, and its hex where the text does not say it all (not UTF-8, control characters, a real U+FFFD). */
export function shown(hex: SsidHex): { ssid: string; ssidHex?: string } {
  const ssid = Buffer.from(hex, 'hex')
    .toString('utf8')
    .replace(/[\u0000-\u001f\u007f-\u009f]/g, '\ufffd')
  return hexOf(ssid) === hex && !ssid.includes('\ufffd') ? { ssid } : { ssid, ssidHex: hex }
}

/** For messages: quoted, so that blanks at its ends are seen. */
export function quoted(hex: SsidHex): string {
  const { ssid, ssidHex } = shown(hex)
  return ssidHex === undefined ? JSON.stringify(ssid) : `${JSON.stringify(ssid)} (${ssidHex})`
}

/**
 * What a shopper takes for the same name: compatibility forms, case, blanks, invisible characters and punctuation do not
 * count (Unicode UAX #15, NFKC).
 */
export function lookOf(hex: SsidHex): string {
  return Buffer.from(hex, 'hex')
    .toString('utf8')
    .normalize('NFKC')
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]/gu, '')
}
