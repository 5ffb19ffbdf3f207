/** Whole pages, for the server: becomes `page.cjs`. */
import type { VNode } from 'preact'
import type { Snapshot } from '../api.ts'
import { App } from './app.tsx'
import { Login } from './login.tsx'
import type { DashboardManifest, LoginOptions, PageOptions } from './page-module.ts'
import { escapeHtml, renderHtml } from './render.ts'
import { firstView } from './view.ts'
import { type Lang, wordsFor } from './words.ts'

export function renderDashboard(snapshot: Snapshot, options: PageOptions): string {
  const view = firstView(snapshot, options)
  const title = view.words.say('title', { shop: snapshot.gateway.store || snapshot.gateway.id })
  const start = { snapshot, lang: options.lang, filter: options.filter, canLogOut: options.canLogOut }
  const body = `<div id="app">${renderHtml(<App view={view} />)}</div><script type="application/json" id="start">${inScript(start)}</script>`
  return shell(options.lang, title, options.manifest, body, `<script type="module" src="/assets/${options.manifest.script}"></script>`)
}

export function renderLogin({ lang, manifest, shop, fault }: LoginOptions): string {
  const words = wordsFor(lang, 'UTC')
  const form: VNode = <Login words={words} shop={shop} fault={fault} />
  return shell(lang, words.say('title', { shop }), manifest, renderHtml(form), '')
}

function shell(lang: Lang, title: string, manifest: DashboardManifest, body: string, script: string): string {
  return `<!doctype html>
<html lang="${lang === 'zh' ? 'zh-CN' : 'en'}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(title)}</title>
<link rel="stylesheet" href="/assets/${manifest.style}">
<link rel="icon" type="image/svg+xml" href="/assets/${manifest.icon}">
${script}
</head>
<body>${body}</body>
</html>
`
}

/** JSON that cannot end the script element it stands in. A data block is not run, so the content policy leaves it alone. */
const inScript = (value: unknown): string => JSON.stringify(value).replaceAll('<', '\\u003c')
