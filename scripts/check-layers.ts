/** Holds the layer table: which folder may import what. Prints each breach as `file: what`, exits 1 when there is one. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import ts from 'typescript'

const root = resolve(import.meta.dirname, '..')

/** Packages that one place alone may import. */
const OWNED: Record<string, RegExp> = {
  sqlite3: /^(daemon\/journal|hq)\//,
  mqtt: /^(daemon\/links|hq)\//,
  aedes: /^daemon\/links\//,
  fastify: /^(daemon\/http|plugins)\//,
  serialport: /^plugins\//,
}

/** What a place may import of the project's own files; the first rule that fits counts. Tests may import more. */
const RULES: { in: RegExp; may: RegExp; test?: RegExp }[] = [
  { in: /^daemon\/contract\//, may: /^daemon\/contract\// },
  { in: /^plugins\/([^/]+)\//, may: /^(daemon\/contract\/|plugins\/SELF\/)/, test: /^daemon\/testing\// },
  { in: /^daemon\/journal\//, may: /^daemon\/(contract\/|journal\/|(clock|log)\.ts)/, test: /^daemon\/testing\// },
  { in: /^daemon\/ledger\//, may: /^daemon\/(contract\/|journal\/|ledger\/|(clock|log)\.ts)/, test: /^daemon\/testing\// },
  { in: /^daemon\/links\//, may: /^daemon\/(contract|journal|dispatch|links)\/|^daemon\/[^/]+\.ts$/, test: /^(daemon|hq)\// },
  { in: /^hq\//, may: /^(daemon\/contract|hq)\//, test: /^daemon\/(testing|clock)/ },
  { in: /^daemon\/(plugins|dispatch|desired|discovery|http)\//, may: /^daemon\/(?!main|gateway|cli\/)/ },
  { in: /^daemon\/testing\//, may: /^(daemon|plugins|hq)\// },
  { in: /^daemon\/main\.ts$/, may: /^(daemon|hq)\// },
  { in: /^daemon\//, may: /^daemon\// },
  { in: /^(scripts|bench)\//, may: /./ },
]

const files = ['daemon', 'plugins', 'hq', 'scripts', 'bench'].flatMap((top) =>
  readdirSync(join(root, top), { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.tsx?$/.test(file))
    .map((file) => join(top, file)),
)
const breaches = files.flatMap(breachesOf)
for (const breach of breaches) process.stdout.write(`${breach}\n`)
process.exit(breaches.length > 0 ? 1 : 0)

function breachesOf(file: string): string[] {
  const found: string[] = []
  const isTest = /(^|[/.-])(test|testing|simulation)\.tsx?$/.test(file) || /\/testing\//.test(file)
  const rule = RULES.find((one) => one.in.test(file))
  const self = rule?.in.exec(file)?.[1] ?? ''
  for (const { fileName } of ts.preProcessFile(readFileSync(join(root, file), 'utf8'), true, true).importedFiles) {
    if (fileName.startsWith('.')) {
      const target = relative(root, resolve(root, dirname(file), fileName))
      const may = rule && new RegExp(rule.may.source.replace('SELF', self))
      if (!may?.test(target) && !(isTest && (rule?.test?.test(target) || /^daemon\/testing\//.test(target))))
        found.push(`${file}: may not import ${target}`)
      continue
    }
    const owner = OWNED[fileName.split('/')[0] ?? '']
    if (owner && !owner.test(file) && !isTest && !/^(scripts|bench)\//.test(file)) found.push(`${file}: may not import ${fileName}`)
  }
  return found
}
