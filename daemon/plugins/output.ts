/** What a plugin's process prints, as log lines: cut, counted, and never more than the log can take. */
import type { ChildProcess } from 'node:child_process'
import type { Readable } from 'node:stream'
import type { Clock } from '../contract/plugin.ts'
import type { Log } from '../log.ts'
import { redact } from './redact.ts'

const LINE_MOST = 500
const LINES = 20
const WINDOW_MS = 10_000
const TAIL_MOST = 4_000

/** Returns what gives the last few thousand characters of standard error. */
export function captureOutput(child: ChildProcess, log: Log, clock: Clock): () => string {
  let tail = ''
  capture(child.stdout, (line) => log.info({ stream: 'stdout' }, line), clock)
  capture(
    child.stderr,
    (line) => log.warn({ stream: 'stderr' }, line),
    clock,
    (text) => {
      tail = (tail + text).slice(-TAIL_MOST)
    },
  )
  return () => tail
}

function capture(stream: Readable | null, write: (line: string) => void, clock: Clock, every: (text: string) => void = () => {}): void {
  let rest = ''
  let since = clock.mono()
  let lines = 0

  const line = (text: string): void => {
    const now = clock.mono()
    if (now - since >= WINDOW_MS) {
      if (lines > LINES) write(`${lines - LINES} lines more were held back`)
      since = now
      lines = 0
    }
    lines += 1
    if (lines <= LINES && text.trim() !== '') write(redact(text.length > LINE_MOST ? `${text.slice(0, LINE_MOST)}…` : text))
  }

  stream?.setEncoding('utf8')
  stream?.on('data', (chunk: string) => {
    every(chunk)
    const parts = (rest + chunk).split('\n')
    // A line without an end is cut here, so that it does not grow for ever.
    rest = (parts.pop() ?? '').slice(-2 * LINE_MOST)
    parts.forEach(line)
  })
  stream?.on('end', () => {
    if (rest !== '') line(rest)
  })
  stream?.on('error', () => {})
}
