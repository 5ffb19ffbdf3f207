/** Job content to the bytes of one copy. Pure; the same content and config always give the same bytes. */
import iconv from 'iconv-lite'
import { commands, transform } from 'receiptline'
import { Failure } from '../../daemon/contract/errors.ts'
import type { Encoding, PrinterConfig } from './config.ts'
import type { Job } from './jobs/job.ts'
import { ESCPOS, reprintMark } from './protocol/escpos.ts'
import { MODELS } from './protocol/models.ts'
import { lintReceipt } from './receipt-lint.ts'

export const MAX_BYTES = 1024 * 1024
const MAX_RECEIPT = 256 * 1024

export type RenderConfig = Pick<PrinterConfig, 'encoding' | 'width' | 'model' | 'spacing' | 'drawer' | 'port'>

/** Throws `args-invalid` with a problem for each line that is wrong, or `payload-too-large`. */
export function renderJob(job: Pick<Job, 'id' | 'content' | 'cut' | 'drawer' | 'reprintOf'>, config: RenderConfig, copy = 0): Buffer {
  const { content } = job
  if (content.kind === 'drawer') return drawerPulse(config)
  if (content.kind === 'feed') return ESCPOS.feed(content.lines)
  if (content.kind === 'cut') return ESCPOS.cut
  const body =
    content.kind === 'raw'
      ? Buffer.concat([decodeRaw(content.raw), job.cut ? ESCPOS.cut : Buffer.alloc(0)])
      : renderReceipt(content.kind === 'test' ? testPage(config) : content.receipt, config, job.cut)
  const bytes = Buffer.concat([
    job.drawer && copy === 0 ? drawerPulse(config) : Buffer.alloc(0),
    job.reprintOf ? reprintMark({ id: job.reprintOf.id, at: job.reprintOf.at }, config.encoding) : Buffer.alloc(0),
    body,
  ])
  if (bytes.length > MAX_BYTES) throw tooLarge(bytes.length)
  return bytes
}

const drawerPulse = ({ drawer }: RenderConfig): Buffer => ESCPOS.drawer(drawer.pin, drawer.onMs, drawer.offMs)

export function decodeRaw(raw: string): Buffer {
  // Before decoding: what is far too large is not even copied.
  if (raw.length > Math.ceil(MAX_BYTES / 3) * 4) throw tooLarge(Math.floor((raw.length / 4) * 3))
  if (raw.length === 0 || raw.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(raw))
    throw new Failure('args-invalid', 'args.raw: must be base64 with padding, not empty')
  return Buffer.from(raw, 'base64')
}

const tooLarge = (bytes: number): Failure =>
  new Failure('payload-too-large', `the job is ${bytes} bytes as sent to the printer; at most ${MAX_BYTES} are taken`)

export function renderReceipt(receipt: string, config: RenderConfig, cut: boolean): Buffer {
  if (receipt.length > MAX_RECEIPT)
    throw new Failure('payload-too-large', `the receipt is ${receipt.length} characters; at most ${MAX_RECEIPT} are taken`)
  const problems = lintReceipt(receipt)
  if (problems[0]) throw new Failure('args-invalid', `${problems[0].path}: ${problems[0].message}`, problems)
  const command = {
    ...commands[MODELS[config.model].command],
    charWidth: MODELS[config.model].charWidth,
    // Ends without receiptline's own status request: the mark is this plugin's to send, and each answer must have one question.
    close: () => '',
    command: () => '',
  }
  const open = command.open
  // Leaves out `GS a 0`, which would silence the printer for the time of the job.
  command.open = function (this: typeof command, printer) {
    return open.call(this, printer).replace('\x1da\x00', '')
  }
  try {
    const text = transform(fit(receipt, config.encoding), {
      cpl: config.width,
      encoding: config.encoding,
      spacing: config.spacing,
      cutting: false,
      command,
    })
    const bytes = Buffer.from(text, 'latin1')
    return cut && !endsWithCut(receipt) ? Buffer.concat([bytes, ESCPOS.cut]) : bytes
  } catch (error) {
    throw new Failure('args-invalid', `receipt: ${error instanceof Error ? error.message : String(error)}`, [], error)
  }
}

const endsWithCut = (receipt: string): boolean => /(^|\n)[\t ]*=+[\t ]*$/.test(receipt.trimEnd())

const GB: readonly Encoding[] = ['gb18030', 'cp936']

/** `¥` is a four-byte code in GB18030 that few printers have; `￥` is in every Chinese font. */
function fit(receipt: string, encoding: Encoding): string {
  return GB.includes(encoding) ? receipt.replaceAll('\u00a5', '\uffe5') : receipt
}

const MULTILINGUAL = ['cp437', 'cp852', 'cp858', 'cp866', 'cp1252']

/** Characters of a receipt that the printer does not have and prints as `?`, each once. */
export function missingCharacters(receipt: string, encoding: Encoding): string[] {
  const pages = encoding === 'multilingual' ? MULTILINGUAL : [encoding]
  const odd = new Set<string>()
  for (const character of fit(receipt.replace(/\{[^{}]*\}/g, ''), encoding).normalize()) {
    if (character < '\u0080') continue
    if (!pages.some((page) => has(page, character))) odd.add(character)
  }
  return [...odd]
}

function has(page: string, character: string): boolean {
  const bytes = iconv.encode(character, page)
  // GB18030 has four-byte codes for all of Unicode; printers' fonts only have the two-byte part.
  return bytes.length <= 2 && iconv.decode(bytes, page) === character
}

const HAN: readonly Encoding[] = ['gb18030', 'cp936']

export function testPage(config: RenderConfig): string {
  const chinese = HAN.includes(config.encoding)
  const ruler = '1234567890'.repeat(10).slice(0, config.width)
  return [
    chinese ? '^^^打印测试' : '^^^TEST PAGE',
    ...(chinese ? ['TEST PAGE', '', '如果您能看到这一行，中文打印正常。'] : ['']),
    'The ruler must fit on one line.',
    '---',
    ruler,
    '---',
    '{width: 12 *}',
    `|${chinese ? '地址' : 'Address'} |${config.port.replaceAll('_', '\\_')} |`,
    `|${chinese ? '型号' : 'Model'} |${config.model} |`,
    `|${chinese ? '每行字数' : 'Width'} |${config.width} |`,
    `|${chinese ? '编码' : 'Encoding'} |${config.encoding} |`,
    '{width: auto}',
    '---',
    chinese ? '|苹果 Apple "x2" | ￥12.50|' : '|Apple "x2" | 12.50|',
    chinese ? '|^^^合计 TOTAL | ^^^￥12.50|' : '|^^^TOTAL | ^^^12.50|',
    '',
    '{option: qrcode,5,m; code: shopwire test page}',
    'shopwire',
  ].join('\n')
}
