import type { CheckResult, CheckState, DoctorReport, Finding } from './doctor.ts'
import { type Io, paint } from './io.ts'

const MARKS: Record<CheckState, string> = { ok: '●', warn: '▲', fail: '✖', skipped: '○' }
const NAME_WIDTH = 9

/** A mark, a word, a fact for each check, and the mend below what needs one. */
export function reportLines({ checks }: DoctorReport, io: Io): string[] {
  return [...checks.flatMap((one) => lines(one, io)), verdict(checks, io)]
}

function lines(result: CheckResult, io: Io): string[] {
  const { state, name, fact, findings } = result
  const head = `${coloured(io, state, `${MARKS[state]} ${state.padEnd(7)}`)}  ${name.padEnd(NAME_WIDTH)}  ${fact}`
  if (!findings) return [head, ...mend(result, io, '  ')]
  return [head, ...findings.flatMap((one) => [`    ${coloured(io, one.state, MARKS[one.state])} ${one.fact}`, ...mend(one, io, '      ')])]
}

function mend({ fix }: Finding, io: Io, indent: string): string[] {
  return fix === undefined ? [] : [`${indent}${paint(io, 'bold', 'Fix:')} ${fix}`]
}

function verdict(checks: readonly CheckResult[], io: Io): string {
  const count = (state: CheckState) => checks.filter((one) => one.state === state).length
  const [failed, warned, skipped] = [count('fail'), count('warn'), count('skipped')]
  if (failed === 0 && warned === 0) return coloured(io, 'ok', 'All is well.')
  const words = [failed > 0 && `${failed} failed`, warned > 0 && `${warned} to look at`, skipped > 0 && `${skipped} skipped`].filter(
    Boolean,
  )
  return coloured(io, failed > 0 ? 'fail' : 'warn', `${words.join(', ')}.`)
}

/** Blue and yellow: told apart by everyone who tells colours apart at all; the mark and the word say the same. */
function coloured(io: Io, state: CheckState, text: string): string {
  if (state === 'fail') return paint(io, ['bold', 'yellow'], text)
  return paint(io, state === 'ok' ? 'blue' : state === 'warn' ? 'yellow' : 'gray', text)
}
