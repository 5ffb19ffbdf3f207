/** What a grant says goes into nft's and tc's input, and may come from a command: nothing but MACs and numbers gets there. */
import type { Grant, Mac } from './api.ts'

export const isMac = (text: string): text is Mac => /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(text)

/** Ten years. */
const LONGEST_S = 315_360_000
/** 10 Gbit/s, what the class of the whole net has without a limit. */
const FASTEST_KBPS = 10_000_000

/** One line for each thing that is wrong; without the MAC, which is nobody's to log. */
export function wrongGrant({ mac, seconds, downKbps, upKbps, bytesUp, bytesDown }: Grant): string[] {
  const problems: string[] = []
  if (!isMac(mac)) problems.push('mac: not six octets in lower case with colons')
  if (!(seconds >= 0 && seconds <= LONGEST_S)) problems.push(`seconds: ${seconds} is not from 0 to ${LONGEST_S}`)
  for (const [key, value] of Object.entries({ downKbps, upKbps }))
    if (value !== undefined && !(Number.isInteger(value) && value >= 1 && value <= FASTEST_KBPS))
      problems.push(`${key}: ${value} is no whole number from 1 to ${FASTEST_KBPS}`)
  for (const [key, value] of Object.entries({ bytesUp, bytesDown }))
    if (value !== undefined && !(Number.isSafeInteger(value) && value >= 0)) problems.push(`${key}: ${value} is no count of bytes`)
  return problems
}
