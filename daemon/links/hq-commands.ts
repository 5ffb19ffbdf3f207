/** HQ's commands in, their results out. Dedupe, expiry and journaling are dispatch's. */
import type { CommandRequest, CommandResult } from '../contract/command.ts'
import { asFailure } from '../contract/errors.ts'
import type { Log } from '../log.ts'
import { takeCommand } from './hq-intake.ts'
import { newOutbox, type OutboxEvent, type OutboxState, outboxMachine } from './hq-outbox.machine.ts'

/** Commands of HQ in progress; beyond it they are answered `queue-full`. */
const IN_PROGRESS = 64

export interface HqCommandsOptions {
  submit: (request: CommandRequest, progress: (result: CommandResult) => void) => Promise<CommandResult>
  publish: (result: CommandResult, sent: (refused: string | undefined) => void) => void
  log: Log
}

export class HqCommands {
  readonly #options: HqCommandsOptions
  readonly #outbox: OutboxState = newOutbox()
  #inProgress = 0

  constructor(options: HqCommandsOptions) {
    this.#options = options
  }

  get waiting(): number {
    return this.#outbox.waiting.size
  }

  online(): void {
    this.#feed({ on: 'online' })
  }

  offline(): void {
    this.#feed({ on: 'offline' })
  }

  receive(payload: Buffer): void {
    const taken = takeCommand(payload)
    if ('refused' in taken) {
      const { refused, id } = taken
      this.#options.log.warn({ error: refused.message, command: id ?? null }, 'a command from HQ is malformed; refused')
      if (id !== undefined) this.#answer({ id, status: 'rejected', error: refused })
      return
    }
    const { id, plugin, device, command, args, expiresAt } = taken.message
    if (this.#inProgress >= IN_PROGRESS) {
      this.#answer({ id, status: 'rejected', error: { code: 'queue-full', message: `${IN_PROGRESS} commands are in progress` } })
      return
    }
    this.#inProgress += 1
    const request: CommandRequest = {
      id,
      plugin,
      device,
      command,
      from: 'hq',
      ...(args === undefined ? {} : { args }),
      ...(expiresAt === undefined ? {} : { expiresAt }),
    }
    this.#options
      .submit(request, (result) => this.#answer(result))
      // Dispatch always resolves; should it not, HQ must not wait for ever.
      .catch((error: unknown): CommandResult => ({ id, status: 'unknown', error: asFailure(error).toBody() }))
      .then((result) => {
        this.#inProgress -= 1
        this.#answer(result)
      })
      .catch((error: unknown) => this.#options.log.error({ command: id, error: asFailure(error).message }, 'a result could not be sent'))
  }

  #answer(result: CommandResult): void {
    this.#feed({ on: 'result', result })
  }

  #feed(event: OutboxEvent): void {
    for (const { result } of outboxMachine.step(this.#outbox, event))
      this.#options.publish(result, (refused) => this.#feed({ on: 'settled', result, ok: refused === undefined }))
  }
}
