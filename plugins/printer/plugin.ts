/** ESC/POS printers: commands to print jobs, and back. */
import { isDeepStrictEqual } from 'node:util'
import type { Command } from '../../daemon/contract/command.ts'
import { Failure } from '../../daemon/contract/errors.ts'
import type { Json, JsonObject } from '../../daemon/contract/json.ts'
import type { DeviceContext, StartPlugin } from '../../daemon/contract/plugin.ts'
import type { PrinterConfig } from './config.ts'
import { type Content, isFinal, type Job } from './jobs/job.ts'
import { Paper } from './paper/paper.ts'
import { renderSvg } from './paper/render-svg.ts'
import { renderText } from './paper/render-text.ts'
import { type Outcome, Printer, runningPrinter } from './printer.ts'
import { EscposParser } from './protocol/escpos-parse.ts'
import { missingCharacters, renderJob } from './render.ts'

const start: StartPlugin = (context) =>
  context.devices<PrinterConfig>(async (device) => {
    const printer = await Printer.start(device)
    return runningPrinter(printer, (command, signal) => handle(device, printer, command, signal))
  })

export default start

interface PrintArgs {
  receipt?: string
  raw?: string
  reprint?: string
  copies: number
  cut?: boolean
  drawer: boolean
  jobId?: string
}

type Device = DeviceContext<PrinterConfig>

async function handle(device: Device, printer: Printer, command: Command, signal: AbortSignal): Promise<Json> {
  const args = command.args as never
  switch (command.command) {
    case 'print':
      return print(device, printer, command.id, args, signal)
    case 'test':
      return run(printer, { id: command.id, content: { kind: 'test' }, copies: 1, cut: device.config.cut, drawer: false }, signal)
    case 'drawer':
      return run(printer, moment(command.id, { kind: 'drawer' }), signal)
    case 'feed':
      return run(printer, moment(command.id, { kind: 'feed', lines: (args as { lines: number }).lines }), signal)
    case 'cut':
      return run(printer, moment(command.id, { kind: 'cut' }), signal)
    case 'status':
      return status(printer)
    case 'jobs':
      return jobs(printer, args)
    case 'preview':
      return preview(device, printer, args)
    case 'cancel':
      return cancel(printer, (args as { jobId: string }).jobId)
    default:
      throw new Failure('command-unknown', `printers have no command "${command.command}"`)
  }
}

type Draft = Omit<Job, 'n' | 'createdAt' | 'bytes'>

const moment = (id: string, content: Content): Draft => ({ id, content, copies: 1, cut: false, drawer: false })

async function print(device: Device, printer: Printer, commandId: string, args: PrintArgs, signal: AbortSignal): Promise<Json> {
  const id = args.jobId ?? commandId
  const draft = args.reprint === undefined ? newJob(id, args, device.config) : reprint(printer, id, args, args.reprint)
  const result = await run(printer, draft, signal)
  const missing = draft.content.kind === 'receipt' ? missingCharacters(draft.content.receipt, device.config.encoding) : []
  return missing.length > 0
    ? { ...result, warnings: [`not in ${device.config.encoding}, printed as "?" or wrong: ${missing.slice(0, 20).join(' ')}`] }
    : result
}

function newJob(id: string, args: PrintArgs, config: PrinterConfig): Draft {
  const content: Content = args.raw === undefined ? { kind: 'receipt', receipt: args.receipt ?? '' } : { kind: 'raw', raw: args.raw }
  const cut = args.cut ?? (content.kind === 'receipt' && config.cut)
  return { id, content, copies: args.copies, cut, drawer: args.drawer }
}

/** Marked on the paper as a reprint, always, and naming the first of a chain of reprints. */
function reprint(printer: Printer, id: string, args: PrintArgs, of: string): Draft {
  const original = printer.job(of)
  if (!original) throw new Failure('job-unknown', `no job "${of}" is kept; the last ones are shown by "jobs"`)
  if (!isFinal(original.progress.phase)) throw new Failure('args-invalid', `args.reprint: job "${of}" is still ${original.progress.phase}`)
  const { content, cut, reprintOf, createdAt } = original.job
  return {
    id,
    content,
    copies: args.copies,
    cut: args.cut ?? cut,
    drawer: args.drawer,
    reprintOf: reprintOf ?? { id: of, at: localTime(createdAt) },
  }
}

/** `2026-11-22 16:15:30`, in the shop's time zone. */
function localTime(iso: string): string {
  const at = new Date(iso)
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 19).replace('T', ' ')
}

/** Queues the job, unless there is one of this id: then that one's outcome is the answer. */
async function run(printer: Printer, draft: Draft, signal: AbortSignal): Promise<JsonObject> {
  await printer.entered(draft.id)
  const known = printer.job(draft.id)
  if (!known) await printer.submit(draft)
  else if (!isDeepStrictEqual(essence(known.job), essence(draft)))
    throw new Failure('command-id-reused', `job "${draft.id}" exists with other content; a new job needs a new id`)
  // Nobody waits for the answer any more: what has not started shall not come out later.
  const giveUp = () => printer.cancel(draft.id)
  signal.addEventListener('abort', giveUp, { once: true })
  try {
    return answer(await printer.outcome(draft.id))
  } finally {
    signal.removeEventListener('abort', giveUp)
  }
}

const essence = ({ content, copies, cut, drawer, reprintOf }: Draft) => ({ content, copies, cut, drawer, of: reprintOf?.id })

function answer({ job, progress }: Outcome): JsonObject {
  if (progress.error) throw new Failure(progress.error.code, `job "${job.id}": ${progress.error.message}`)
  return {
    jobId: job.id,
    status: progress.phase,
    copies: progress.copiesDone,
    ...(progress.paper === undefined ? {} : { paper: progress.paper }),
    ...(job.reprintOf ? { reprintOf: job.reprintOf.id } : {}),
  }
}

async function status(printer: Printer): Promise<Json> {
  await printer.probe()
  const { report, shown, queue, active } = printer.state
  const known = report !== undefined && shown !== undefined && shown.state !== 'offline'
  return {
    ...(shown ?? { state: 'offline', detail: 'no-answer' }),
    paper: known ? report.paper : 'unknown',
    ...(known ? { coverOpen: report.coverOpen, drawerPin: report.drawerPin } : {}),
    ...(printer.reportedAt === undefined ? {} : { asOf: printer.reportedAt }),
    waiting: queue.length,
    ...(active ? { printing: active.id } : {}),
  }
}

function jobs(printer: Printer, args: { limit: number; jobId?: string }): Json {
  const all = printer.jobs()
  const found = args.jobId === undefined ? all.slice(0, args.limit) : all.filter(({ job }) => job.id === args.jobId)
  if (args.jobId !== undefined && found.length === 0) throw new Failure('job-unknown', `no job "${args.jobId}" is kept`)
  return { waiting: printer.state.queue.length, jobs: found.map(view) }
}

function view({ job, progress }: Outcome): JsonObject {
  return {
    jobId: job.id,
    kind: job.content.kind,
    status: progress.phase,
    copies: job.copies,
    copiesDone: progress.copiesDone,
    createdAt: job.createdAt,
    ...(progress.finishedAt === undefined ? {} : { finishedAt: progress.finishedAt }),
    ...(progress.paper === undefined ? {} : { paper: progress.paper }),
    ...(progress.error ? { error: { code: progress.error.code, message: progress.error.message } } : {}),
    ...(job.reprintOf ? { reprintOf: job.reprintOf.id } : {}),
  }
}

function preview(device: Device, printer: Printer, args: { jobId?: string; receipt?: string; raw?: string; format: 'svg' | 'text' }): Json {
  const { config } = device
  const job = args.jobId === undefined ? undefined : printer.job(args.jobId)?.job
  if (args.jobId !== undefined && !job) throw new Failure('job-unknown', `no job "${args.jobId}" is kept`)
  const draft = job ?? newJob('preview', { ...args, copies: 1, drawer: false }, config)
  const paper = new Paper(config.encoding, config.width)
  for (const op of new EscposParser().feed(renderJob(draft, config))) paper.apply(op)
  return args.format === 'text' ? { text: renderText(paper) } : { svg: renderSvg(paper) }
}

function cancel(printer: Printer, id: string): Json {
  const known = printer.job(id)
  if (!known) throw new Failure('job-unknown', `no job "${id}" is kept`)
  printer.cancel(id)
  const { phase, error } = printer.job(id)?.progress ?? known.progress
  if (phase !== 'failed' || error?.code !== 'job-cancelled')
    throw new Failure('device-unsupported', `job "${id}" is ${phase}; only a queued job can be cancelled`)
  return { jobId: id, status: 'cancelled' }
}
