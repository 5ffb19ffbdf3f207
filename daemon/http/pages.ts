/** The built dashboard: its manifest and its renderer, loaded when the first page is asked for. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Failure } from '../contract/errors.ts'
import type { DashboardManifest, PageModule } from './dashboard/page-module.ts'
import type { Lang } from './dashboard/words.ts'

export interface Pages {
  manifest: DashboardManifest
  module: PageModule
}

export class PageLoader {
  readonly #dir: string
  #loaded: Promise<Pages> | undefined

  constructor(dir: string) {
    this.#dir = dir
  }

  /** Rejects with `not-found` when no dashboard was built. */
  load(): Promise<Pages> {
    this.#loaded ??= this.#load().catch((error: unknown) => {
      this.#loaded = undefined
      throw new Failure('not-found', 'the dashboard is not built; the API is described at /docs', [], error)
    })
    return this.#loaded
  }

  async #load(): Promise<Pages> {
    const manifest = JSON.parse(await readFile(join(this.#dir, 'manifest.json'), 'utf8')) as DashboardManifest
    const module = (await import(pathToFileURL(join(this.#dir, 'page.cjs')).href)) as PageModule
    return { manifest, module }
  }
}

/** `?lang=` if it is one of ours, else what the browser prefers. */
export function chooseLang(asked: string | undefined, accepts: string | undefined): Lang {
  if (asked === 'zh' || asked === 'en') return asked
  for (const one of (accepts ?? '').split(',')) {
    const tag = one.trim().slice(0, 2).toLowerCase()
    if (tag === 'zh' || tag === 'en') return tag
  }
  return 'en'
}
