/** Between the server and the code it renders pages with: `page.cjs`, built beside the browser's bundle. No DOM here. */
import type { Snapshot } from '../api.ts'
import type { Lang } from './words.ts'

/** `manifest.json` of the built dashboard: hashed file names. */
export interface DashboardManifest {
  script: string
  style: string
  icon: string
  /** All files that may be sent. */
  files: string[]
  /** Bytes, gzipped, of what a first visit loads. */
  gzipped: number
}

export interface PageOptions {
  lang: Lang
  manifest: DashboardManifest
  /** The feed's filter, from the address. */
  filter: string
  /** Whether there is a session to leave. */
  canLogOut: boolean
}

export interface LoginOptions {
  lang: Lang
  manifest: DashboardManifest
  shop: string
  /** What the last attempt came to. */
  fault?: { kind: 'wrong' } | { kind: 'wait'; seconds: number }
}

export interface PageModule {
  renderDashboard(snapshot: Snapshot, options: PageOptions): string
  renderLogin(options: LoginOptions): string
}
