import { type Config, findConfig, loadConfig } from '../config.ts'
import { Failure, type Problem } from '../contract/errors.ts'
import { builtinDir } from '../paths.ts'
import { checkSections } from '../plugins/check.ts'
import { type CliCommand, parse } from './io.ts'

/** `shopwire check`: each problem on its own line. */
export const check: CliCommand = async (args, io) => {
  const { values } = parse({ args, options: { config: { type: 'string' }, json: { type: 'boolean' } } })
  const file = findConfig(values.config, io.env)
  const problems = await problemsOf(file, io.env)
  if (values.json) io.out(JSON.stringify({ ok: problems.length === 0, file: file ?? null, problems }))
  else if (problems.length === 0) io.out(`${file ?? 'embedded default'}: ok`)
  else for (const problem of problems) io.out(`${problem.path}: ${problem.message}`)
  return problems.length === 0 ? 0 : 1
}

async function problemsOf(file: string | undefined, env: NodeJS.ProcessEnv): Promise<readonly Problem[]> {
  let config: Config
  try {
    config = loadConfig(file, env).config
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    return error.problems.length > 0 ? error.problems : [{ path: file ?? 'config', message: error.message }]
  }
  return checkSections(config.plugins, builtinDir(), config.pluginDirs)
}
