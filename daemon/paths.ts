import { join } from 'node:path'

/**
 * Where the parts that ship beside the daemon's bundle lie. `SHOPWIRE_HOME` stands in when the sources run unbundled.
 */
const home = (): string => process.env.SHOPWIRE_HOME ?? (typeof __dirname === 'string' ? __dirname : 'dist')

export const builtinDir = (): string => join(home(), 'plugins')
export const runnerFile = (): string => join(home(), 'plugin-runner.cjs')
export const dashboardDir = (): string => join(home(), 'dashboard')
export const docsDir = (): string => join(home(), 'docs')
export const shippedConfig = (name: string): string => join(home(), 'config', name)
/** The bundle itself: `shopwire demo` starts its parts from it. */
export const selfFile = (): string => join(home(), 'shopwire.cjs')
