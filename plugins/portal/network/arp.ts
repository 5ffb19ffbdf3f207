/** The kernel's own ARP table: a file, so asking it costs no process. */
import { readFile } from 'node:fs/promises'
import type { Mac } from './api.ts'

/** `ATF_COM` of linux/if_arp.h: it has answered. */
const COMPLETE = 0x2

export async function readArp(device: string): Promise<{ ip: string; mac: Mac }[]> {
  const text = await readFile('/proc/net/arp', 'utf8').catch(() => '')
  return parseArp(text, device)
}

export function parseArp(text: string, device: string): { ip: string; mac: Mac }[] {
  return text.split('\n').flatMap((line) => {
    const [ip, , flags, mac, , at] = line.split(/\s+/)
    if (at !== device || ip === undefined || mac === undefined || (Number(flags) & COMPLETE) === 0) return []
    return [{ ip, mac: mac.toLowerCase() }]
  })
}
