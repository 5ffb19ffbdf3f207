/** Runs nmcli: never through a shell, always with a deadline, a secret never among its arguments. */
import { spawn } from 'node:child_process'
import { faultOf, NmcliFault } from './fault.ts'

/** A crowded hall gives some 50 KB; what goes on for ever is garbage. */
const MOST_BYTES = 4 * 1_048_576
/** Between SIGTERM and SIGKILL. */
const KILL_MS = 2_000

export interface Run {
  /** nmcli is ended after this time, `nmcli-silent`. */
  timeoutMs: number
  signal?: AbortSignal
  /** An open file that nmcli sees as `/proc/self/fd/3`. */
  fd?: number
}

/** Its standard output. Rejects with a `NmcliFault`, or with the signal's reason. */
export function nmcli(args: readonly string[], how: Run): Promise<string> {
  return run('nmcli', args, how)
}

/**
 * The same, with `%` in `args` standing for bytes that no JavaScript string can hold: an SSID that is not UTF-8. The shell gets them
 * as octal digits made here, so nothing of them can be read as a command.
 */
export function nmcliWithBytes(args: readonly string[], bytes: Buffer, how: Run): Promise<string> {
  const octal = [...bytes].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('')
  // The x keeps a line feed at the end, which $( ) would drop.
  const script = `b=$(printf "$1"; printf x); b=\${b%x}; shift; n=$#; while [ $n -gt 0 ]; do a=$1; shift; if [ "$a" = % ]; then a=$b; fi; set -- "$@" "$a"; n=$((n-1)); done; exec nmcli "$@"`
  return run('/bin/sh', ['-c', script, 'sh', octal, ...args], how)
}

function run(program: string, args: readonly string[], { timeoutMs, signal, fd }: Run): Promise<string> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const child = spawn(program, [...args], {
      stdio: ['ignore', 'pipe', 'pipe', ...(fd === undefined ? [] : [fd])],
      // LANGUAGE, which systemd hands on from the system's settings, would win over C.UTF-8 (seen with glibc 2.36): `yes` would be `是`.
      env: { ...process.env, LC_ALL: 'C.UTF-8', LANGUAGE: '', TERM: 'dumb' },
    })
    const out: Buffer[] = []
    const said: Buffer[] = []
    let bytes = 0
    let ending: Error | undefined
    let kill: NodeJS.Timeout | undefined
    const end = (why: Error) => {
      if (ending) return
      ending = why
      child.kill('SIGTERM')
      kill = setTimeout(() => child.kill('SIGKILL'), KILL_MS)
    }
    const late = setTimeout(() => end(new NmcliFault('nmcli-silent')), timeoutMs)
    const stop = () => end(signal?.reason as Error)
    signal?.addEventListener('abort', stop, { once: true })
    const take = (into: Buffer[]) => (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes > MOST_BYTES) end(new NmcliFault('nmcli-garbled'))
      else into.push(chunk)
    }
    child.stdout?.on('data', take(out))
    child.stderr?.on('data', take(said))
    const done = (finish: () => void) => {
      clearTimeout(late)
      clearTimeout(kill)
      signal?.removeEventListener('abort', stop)
      finish()
    }
    child.once('error', (error: NodeJS.ErrnoException) =>
      done(() => reject(new NmcliFault(error.code === 'ENOENT' ? 'no-nmcli' : 'refused'))),
    )
    child.once('close', (code) =>
      done(() => {
        const output = Buffer.concat(out).toString('utf8')
        if (ending) reject(ending)
        else if (code === 0) resolve(output)
        // 127: the shell that looked for it has not found it.
        else if (code === 127) reject(new NmcliFault('no-nmcli'))
        else reject(faultOf(code ?? -1, `${Buffer.concat(said).toString('utf8')}\n${output}`))
      }),
    )
  })
}
