/**
 * Plugin processes that outlived a daemon killed with SIGKILL. A healthy one ends when its channel closes; one in an endless
 * loop cannot, and would keep a serial port from its successor.
 */
import { readdirSync, readFileSync } from 'node:fs'

/** Kills processes marked with `owner` whose parent is not this process. Returns their ids. Linux only; elsewhere nothing is found. */
export function killOrphans(owner: string): number[] {
  const mark = `SHOPWIRE_OWNER=${owner}`
  return processes().filter((pid) => {
    if (pid === process.pid || !environment(pid).includes(mark) || parent(pid) === process.pid) return false
    try {
      process.kill(pid, 'SIGKILL')
      return true
    } catch {
      return false
    }
  })
}

function processes(): number[] {
  try {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
  } catch {
    return []
  }
}

function environment(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0')
  } catch {
    return []
  }
}

/** Field 4 of stat, after the command name, which may hold anything but ends at the last bracket (proc(5)). */
function parent(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
  } catch {
    return undefined
  }
}
