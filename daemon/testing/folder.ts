/**
 * Folders of a test's own. tap's `testdir` goes away before the test's teardowns run: whatever is still open in it makes files meanwhile,
 * tap's removal fails, and the teardowns that would have closed it are never called. `npm run check` keeps it out of the tests.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

/** A name in the folder, and what is in that file; an object is a folder in it. */
export interface Content {
  [name: string]: string | Content
}

export interface Test {
  teardown(done: () => void): unknown
}

/** Made now, gone when the teardowns that were asked for later have run: ask for the folder before you open anything in it. */
export function testFolder(t: Test, content: Content = {}): string {
  return folderIn(t, tmpdir(), content)
}

/** The same inside the repository: a program built into it finds its packages. */
export function programFolder(t: Test): string {
  const parent = resolve(import.meta.dirname, '../../.tap/programs')
  mkdirSync(parent, { recursive: true })
  return folderIn(t, parent, {})
}

function folderIn(t: Test, parent: string, content: Content): string {
  const dir = mkdtempSync(join(parent, 'shopwire-test-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true, maxRetries: 50, retryDelay: 100 }))
  fill(dir, content)
  return dir
}

function fill(dir: string, content: Content): void {
  for (const [name, inside] of Object.entries(content)) {
    const path = join(dir, name)
    if (typeof inside === 'string') writeFileSync(path, inside)
    else {
      mkdirSync(path)
      fill(path, inside)
    }
  }
}
