/** Keys come from files or systemd credentials, never from the config itself. */
import { readFile } from 'node:fs/promises'
import { isAbsolute, join } from 'node:path'
import { Failure } from '../../../daemon/contract/errors.ts'

/**
 * A key's text. `place`: an absolute path, or the name of a systemd credential (`LoadCredential=NAME:…` in the unit puts it into
 * `$CREDENTIALS_DIRECTORY`, systemd.exec(5)). Rejects with `secret-unreadable`, which names the place and never the content.
 */
export async function readKey(place: string, env: NodeJS.ProcessEnv = process.env): Promise<string> {
  if (isAbsolute(place)) return read(place, place)
  const directory = env.CREDENTIALS_DIRECTORY
  if (place.includes('/') || directory === undefined)
    throw new Failure(
      'secret-unreadable',
      `"${place}" is ${place.includes('/') ? 'no absolute path' : 'a credential, and the unit has none (LoadCredential=)'}`,
    )
  return read(join(directory, place), `credential ${place}`)
}

async function read(file: string, name: string): Promise<string> {
  try {
    return (await readFile(file, 'utf8')).trim()
  } catch (error) {
    throw new Failure('secret-unreadable', `${name} cannot be read: ${(error as NodeJS.ErrnoException).code ?? 'error'}`)
  }
}
