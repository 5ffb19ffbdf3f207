/** `shopwire doctor`'s engine: small checks in a fixed order; what it looks at and how it is shown lie beside it. */
import type { Facts } from './doctor-facts.ts'

/** `warn` wants a look, `fail` wants a hand; `skipped` could not be looked at because something it needs failed. */
export type CheckState = 'ok' | 'warn' | 'fail' | 'skipped'

export interface Finding {
  state: CheckState
  /** One sentence: what was seen. */
  fact: string
  /** The mend: a command where there is one. */
  fix?: string
}

export interface Outcome extends Finding {
  /** One for each thing looked at, where the check looks at several: only those that are not ok. */
  findings?: Finding[]
}

export interface CheckResult extends Outcome {
  name: string
}

export interface Check {
  name: string
  /** Checks whose failure leaves nothing to look at here. */
  needs: readonly string[]
  run(facts: Facts): Promise<Outcome>
}

export interface DoctorReport {
  /** False when anything failed. Warnings do not make it false. */
  ok: boolean
  checks: CheckResult[]
}

/** A check that hangs (a dead mount, a stopped daemon) must not keep the others from being made. */
const CHECK_TIMEOUT_MS = 15_000

export interface DoctorOptions {
  facts: Facts
  checks: readonly Check[]
  timeoutMs?: number
}

/** Never rejects: a check that throws or hangs is a failed check. */
export async function runDoctor({ facts, checks, timeoutMs = CHECK_TIMEOUT_MS }: DoctorOptions): Promise<DoctorReport> {
  const results: CheckResult[] = []
  for (const check of checks) {
    const missing = results.find((one) => check.needs.includes(one.name) && (one.state === 'fail' || one.state === 'skipped'))
    const outcome = missing ? skipped(missing) : await attempt(check, facts, timeoutMs)
    results.push({ name: check.name, ...outcome })
  }
  return { ok: results.every((one) => one.state !== 'fail'), checks: results }
}

function skipped(missing: CheckResult): Outcome {
  return { state: 'skipped', fact: missing.state === 'skipped' ? missing.fact : `because ${missing.name} failed` }
}

async function attempt(check: Check, facts: Facts, timeoutMs: number): Promise<Outcome> {
  let handle: NodeJS.Timeout | undefined
  const late = new Promise<Outcome>((resolve) => {
    handle = setTimeout(
      () => resolve({ state: 'fail', fact: `this check did not end within ${Math.round(timeoutMs / 1_000)} s`, fix: 'sudo dmesg | tail' }),
      timeoutMs,
    )
  })
  try {
    return await Promise.race([check.run(facts), late])
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    return { state: 'fail', fact: `this check itself failed: ${reason}`, fix: 'shopwire doctor --bundle FILE, and report it' }
  } finally {
    clearTimeout(handle)
  }
}

/** The worst of several findings as one outcome; `fine` when there is nothing to say. */
export function worstOf(findings: readonly Finding[], fine: string, summary: (bad: number) => string): Outcome {
  const bad = findings.filter((one) => one.state === 'fail' || one.state === 'warn')
  const [only] = bad
  if (!only) return { state: 'ok', fact: fine }
  if (bad.length === 1) return only
  return { state: bad.some((one) => one.state === 'fail') ? 'fail' : 'warn', fact: summary(bad.length), findings: bad }
}
