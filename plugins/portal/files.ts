/** Files that the config names. */
import { readFileSync, statSync } from 'node:fs'
import { extname } from 'node:path'
import { Failure } from '../../daemon/contract/errors.ts'

/** A secret given in place or as a file. Throws `secret-unreadable`. */
export function secretOf(path: string, value: string | undefined, file: string | undefined): string | undefined {
  if (value !== undefined || file === undefined) return value
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (error) {
    throw new Failure('secret-unreadable', `${path}: cannot read ${file}: ${(error as NodeJS.ErrnoException).code ?? 'error'}`, [], error)
  }
}

const PICTURES: Record<string, string> = {
  '.png': 'image/png',
  '.jpg': 'image/jpeg',
  '.jpeg': 'image/jpeg',
  '.webp': 'image/webp',
  '.svg': 'image/svg+xml',
}
const LOGO_MOST = 6 * 1024

/** The logo as a `data:` URI: the page fetches nothing. Throws `config-invalid`. */
export function logoOf(logo: string | undefined, file: string | undefined): string | undefined {
  if (logo !== undefined || file === undefined) return logo
  const type = PICTURES[extname(file).toLowerCase()]
  if (!type) throw new Failure('config-invalid', `plugins.portal.logoFile: ${file} must end in ${Object.keys(PICTURES).join(', ')}`)
  try {
    const { size } = statSync(file)
    if (size > LOGO_MOST) throw new Failure('config-invalid', `plugins.portal.logoFile: ${file} has ${size} bytes; ${LOGO_MOST} at most`)
    return `data:${type};base64,${readFileSync(file).toString('base64')}`
  } catch (error) {
    if (error instanceof Failure) throw error
    throw new Failure('config-invalid', `plugins.portal.logoFile: cannot read ${file}: ${(error as NodeJS.ErrnoException).code ?? 'error'}`)
  }
}
