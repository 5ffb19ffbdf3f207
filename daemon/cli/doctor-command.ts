import { execFile } from 'node:child_process'
import { builtinDir } from '../paths.ts'
import { checkSections } from '../plugins/check.ts'
import { runDoctor } from './doctor.ts'
import { writeBundle } from './doctor-bundle.ts'
import { CHECKS } from './doctor-checks.ts'
import { gatherFacts } from './doctor-facts.ts'
import { reportLines } from './doctor-print.ts'
import { type CliCommand, parse } from './io.ts'

const PROGRAM_MS = 5_000

/** `shopwire doctor`: exit 1 when something failed; what only wants a look is exit 0. */
export const doctor: CliCommand = async (args, io) => {
  const { values } = parse({ args, options: { config: { type: 'string' }, json: { type: 'boolean' }, bundle: { type: 'string' } } })
  const facts = await gatherFacts({
    configFile: values.config,
    env: io.env,
    pluginDirs: [builtinDir()],
    checkSections: (config) => checkSections(config.plugins, builtinDir(), config.pluginDirs),
    run: runProgram,
  })
  const report = await runDoctor({ facts, checks: CHECKS })
  if (values.json) io.out(JSON.stringify(report))
  else for (const line of reportLines(report, io)) io.out(line)
  if (values.bundle !== undefined) {
    await writeBundle(values.bundle, facts, report)
    io.err(`written to ${values.bundle}, secrets masked`)
  }
  return report.ok ? 0 : 1
}

/** Standard output, also of a program that says no (`systemctl is-active` does so by its exit code). */
function runProgram(program: string, args: string[]): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile(program, args, { timeout: PROGRAM_MS, maxBuffer: 16 * 2 ** 20 }, (error, stdout) => {
      resolve(error !== null && stdout === '' ? undefined : stdout)
    })
  })
}
