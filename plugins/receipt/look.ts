/** What people ask about the receipts that are kept. */
import { Failure } from '../../daemon/contract/errors.ts'
import type { Json, JsonObject } from '../../daemon/contract/json.ts'
import type { TillConfig } from './config.ts'
import type { Kept } from './keep.ts'
import { readSheet, type Sheet, sheetLines, sheetText } from './paper/read.ts'
import { renderSvg } from './paper/svg.ts'
import { compileTemplate, extract, type TemplateConfig } from './template/extract.ts'
import { propose } from './template/learn.ts'

const LEARN_FROM = 20

export class Look {
  readonly #kept: Kept
  readonly #config: TillConfig

  constructor(kept: Kept, config: TillConfig) {
    this.#kept = kept
    this.#config = config
  }

  list({ limit = 20 }: { limit?: number }): Json {
    return {
      receipts: this.#kept.list(limit).map(({ at, summary, cutShort }) => ({ at: new Date(at).toISOString(), ...summary, cutShort })),
    }
  }

  async render({ receipt, format }: { receipt: string; format: 'svg' | 'png' | 'text' }): Promise<Json> {
    const sheet = await this.#sheet(receipt)
    switch (format) {
      case 'text':
        return { receipt, text: sheetText(sheet) }
      case 'svg':
        return { receipt, svg: renderSvg(sheet) }
      case 'png': {
        const { renderPng } = await import('./paper/raster.ts')
        return { receipt, png: (await renderPng(sheet, this.#config.font)).toString('base64') }
      }
    }
  }

  /** What the configured template, one given to try, and one proposed from the receipts themselves would extract. */
  async learn({ receipts = LEARN_FROM, template }: { receipts?: number; template?: TemplateConfig }): Promise<Json> {
    const papers: { receipt: string; lines: string[] }[] = []
    for (const { receipt } of this.#kept.list(receipts)) {
      const lines = sheetLines(await this.#sheet(receipt))
      if (lines.some((line) => /[\p{L}\p{N}]/u.test(line))) papers.push({ receipt, lines })
    }
    if (papers.length === 0) throw new Failure('not-found', 'no receipt with text is kept yet; print some through this printer first')
    const proposal = propose(
      papers.map((one) => one.lines),
      this.#config,
    )
    const tried = template ?? this.#config.template
    return {
      receipts: papers.length,
      ...(tried ? { template: this.#tried(tried, papers) } : {}),
      proposal: { config: proposal as unknown as Json, ...this.#tried(proposal, papers) },
    }
  }

  #tried(config: TemplateConfig, papers: readonly { receipt: string; lines: string[] }[]): JsonObject {
    const { template, problems } = compileTemplate(config)
    if (problems.length > 0)
      throw new Failure('args-invalid', problems.map(({ path, message }) => `template.${path}: ${message}`).join('; '), problems)
    const found = papers.map(({ receipt, lines }) => ({ receipt, lines, ...extract(template, lines, this.#config) }))
    return {
      withItems: found.filter((one) => one.items.length > 0).length,
      withTotal: found.filter((one) => one.total !== undefined).length,
      withOrder: found.filter((one) => one.order !== undefined).length,
      checked: found.filter((one) => one.checked === true).length,
      extracted: found as unknown as Json,
    }
  }

  async #sheet(receipt: string): Promise<Sheet> {
    const bytes = await this.#kept.bytes(receipt)
    if (!bytes) throw new Failure('not-found', `no receipt "${receipt}" is kept; \`receipts\` lists those that are`)
    return readSheet(bytes, this.#config.encoding, this.#config.width)
  }
}
